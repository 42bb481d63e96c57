"""Answers of HTTP, as they are seen from outside."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

EVENTS: Final = "text/event-stream"

_SHOWN = ("content-type", "allow")


class Answer(Struct):
    """An answer of HTTP.

    Args:
        status: of it.
        headers: by name, in any case.
        body: of it; of events the first.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def shown(self) -> bytes:
        """Status, the headers that matter here, and the body."""
        heads = [f"{name}: {self.headers[name]}" for name in _SHOWN if name in self.headers]
        return f"{self.status} ({'; '.join(heads)}) ".encode() + self.body
