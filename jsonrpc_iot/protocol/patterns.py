"""Which notifications an end wants to hear: names, and beginnings of names as in `door.*`."""

from collections.abc import Iterable

MAX_PATTERNS = 64
"""As many patterns one peer may have."""


class Patterns:
    """A set of names.

    Args:
        patterns: names as they are, and those that end with `*` for all that begin so.
    """

    __slots__ = ("_beginnings", "_names")

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = frozenset(patterns)
        self._beginnings = tuple(each[:-1] for each in patterns if each.endswith("*"))
        self._names = patterns

    def match(self, name: str) -> bool:
        """Whether a name is among them."""
        return name in self._names or name.startswith(self._beginnings)
