"""Pages of lists: as many rows as are wanted and fit the caller's channel, and where to go on."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import msgspec

from jsonrpc_iot import Context, InvalidParams, TooLarge

R = TypeVar("R")
C = TypeVar("C")

_ENVELOPE = 160  # bytes of a response besides its rows, its id and its cursor, and some to spare


def encode_cursor(place: Any) -> str:
    """A place between two rows as callers have it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def decode_cursor(cursor: str | None, kind: type[C]) -> C | None:
    """The place that a cursor stands for, `None` for the beginning.

    Raises:
        InvalidParams: it is none of ours.
    """
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=kind)
    except (ValueError, msgspec.MsgspecError):
        message = "Expected a cursor from `next`"
        raise InvalidParams(data={"path": "$.cursor", "message": message}) from None


class Page(Generic[R]):
    """One page while it comes together.

    Args:
        context: of the call; its channel bounds the page.
        limit: rows at most.

    Attributes:
        rows: what is on it.
        next: where the next page begins, `None` as long as there is none.
    """

    def __init__(self, context: Context, limit: int) -> None:
        largest = None if context.info is None else context.info.max_message
        self._largest = largest
        self._size = _ENVELOPE + len(msgspec.json.encode(str(context.id)))
        self._limit = limit
        self._place: Any = None
        self.rows: list[R] = []
        self.next: str | None = None

    def add(self, row: R, place: Any) -> bool:
        """Add a row; returns whether it has its place, else the page is full.

        Args:
            row: as it travels.
            place: what the next page begins behind, if this row is the last one.

        Raises:
            TooLarge: it fits no page; `next` of its data goes on behind it.
        """
        size = len(msgspec.json.encode(row)) + 1
        cursor = encode_cursor(place)
        is_over = self._largest is not None and self._size + size + len(cursor) > self._largest
        if is_over and not self.rows:
            assert self._largest is not None
            raise TooLarge(data={"size": size, "limit": self._largest, "next": cursor})
        if is_over or len(self.rows) >= self._limit:
            self.next = encode_cursor(self._place)
            return False
        self._size += size
        self._place = place
        self.rows.append(row)
        return True


async def fitting(
    context: Context, rows: AsyncGenerator[R, None], use: str
) -> AsyncGenerator[R, None]:
    """Yield the rows of a whole answer, as long as it can be sent.

    Args:
        context: of the call.
        rows: all of them.
        use: the method that has pages of the same.

    Raises:
        TooLarge: they do not fit, and the data says what to use. No more of them are read than
            show it.
    """
    largest = None if context.info is None else context.info.max_message
    size = _ENVELOPE + len(msgspec.json.encode(str(context.id)))
    async with aclosing(rows):
        async for row in rows:
            if largest is not None and not context.is_streamed:
                size += len(msgspec.json.encode(row)) + 1
                if size > largest:
                    raise TooLarge(data={"size": size, "limit": largest, "use": use})
            yield row
