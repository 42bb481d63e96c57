"""Names that a language takes, made of names that came from elsewhere.

They are of ASCII letters, digits and underscores alone, since other letters can look like them.
"""

import re
import unicodedata
from collections.abc import Iterable

from ..errors import UsageError

_MARKS = re.compile("[\u0300-\u036f]")
_OTHER = re.compile(r"[^0-9A-Za-z]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST = 60  # letters


def words(text: str) -> list[str]:
    """What a name is made of: `wifi.scan-all` is `wifi`, `scan`, `all`, and `größe` is `grosse`."""
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", text[: 4 * _MOST].replace("ß", "ss")))
    return [word for word in _OTHER.split(plain[:_MOST]) if word]


def snake(text: str, fallback: str) -> str:
    """A name for a Python attribute. What is one already stays as it is."""
    return _begun("_".join(words(text)) or fallback, fallback)


def camel(text: str, fallback: str) -> str:
    """A name for an attribute as JavaScript has them."""
    first, *rest = words(text) or [fallback]
    return _begun(first + "".join(map(_capital, rest)), fallback)


def pascal(text: str, fallback: str) -> str:
    """A name for a class."""
    return _begun("".join(map(_capital, words(text))) or fallback, fallback)


def upper(text: str, fallback: str) -> str:
    """A name for a constant."""
    return _begun("_".join(words(text)).upper() or fallback, fallback)


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _begun(name: str, fallback: str) -> str:
    """The name with something before a digit, which cannot begin one."""
    return f"{fallback}_{name}" if name[0].isdigit() else name


class Names:
    """Hands out names, each once.

    Args:
        taken: those that are not to be had.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._reserved = frozenset(taken)
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def take_class(self, wanted: str | None, about: str) -> str:
        """The name of a class that somebody may have chosen.

        Args:
            wanted: the choice.
            about: what the class is of, to be called so otherwise.

        Raises:
            UsageError: no class can be called as was chosen.
        """
        if wanted is None:
            return self.take(pascal(about, "Device"))
        if not _IDENTIFIER.fullmatch(wanted) or wanted in self._reserved:
            raise UsageError(f"a class cannot be called {wanted!r}")
        return self.take(wanted)

    def has(self, wanted: str) -> bool:
        """Whether somebody has taken that name; reserved ones do not count."""
        return wanted in self._taken

    def take(self, wanted: str) -> str:
        """That name, or one like it: with an underscore, or a number."""
        name = f"{wanted}_" if wanted in self._reserved else wanted
        number = self._numbers.get(wanted, 1)
        while name in self._taken or name in self._reserved:
            number += 1
            name = f"{wanted}_{number}"
        self._numbers[wanted] = number
        self._taken.add(name)
        return name
