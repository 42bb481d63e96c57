"""Which methods an assistant may call: those that only read, and what somebody has opened."""

from collections.abc import Iterable

from ...protocol.patterns import Patterns


class Opened:
    """What is open to an assistant.

    Args:
        patterns: names of methods, and beginnings of names as in `lamp.*`, that are open beside
            those that read. What is a danger is opened by its whole name alone.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self._patterns = Patterns(patterns)
        self._names = frozenset(patterns)
        self._unused = dict.fromkeys(patterns)

    def take_unused(self) -> list[str]:
        """The patterns that no method has had a name of so far; each is given once."""
        unused = list(self._unused)
        self._unused.clear()
        return unused

    def permits(self, names: Iterable[str], effect: object) -> bool:
        """Whether a method may be called.

        Args:
            names: its names: with its device's before it, and without.
            effect: what it says that it does, which may be nothing.
        """
        names = tuple(names)
        for pattern in tuple(self._unused):
            if any(map(Patterns([pattern]).match, names)):
                del self._unused[pattern]
        if effect == "read":
            return True
        if effect == "danger":
            return not self._names.isdisjoint(names)
        return any(map(self._patterns.match, names))
