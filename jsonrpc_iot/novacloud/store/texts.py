"""Texts without NUL, which PostgreSQL takes nowhere, and SQLite not in lists.

NUL and the character behind it are written in two: so all texts come back as they were, and their
order stays. Single texts go through here by themselves, those in arrays do not.
"""

from collections.abc import Iterable

NUL, NEXT = "\x00", "\x01"
_NUL_IN_TWO, _NEXT_IN_TWO = "\x01\x01", "\x01\x02"


def to_sql(text: str) -> str:
    """A text as the tables have it."""
    if NEXT in text:
        text = text.replace(NEXT, _NEXT_IN_TWO)
    return text.replace(NUL, _NUL_IN_TWO) if NUL in text else text


def from_sql(text: str) -> str:
    """A text as it was."""
    if NEXT not in text:
        return text
    return text.replace(_NUL_IN_TWO, NUL).replace(_NEXT_IN_TWO, NEXT)


def is_storable(text: str) -> bool:
    """Whether it is one that can be encoded: half a surrogate pair is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def all_to_sql(texts: Iterable[str]) -> list[str]:
    """The texts of an array."""
    return [to_sql(text) for text in texts]
