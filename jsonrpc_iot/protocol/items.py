"""Results that travel item by item: what either end remembers of one, without I/O or clock.

Items are numbered from 0 and leave as far as the reader's credit goes. Where messages get lost the
sender keeps what it has sent for a while, and the reader asks for what is missing.

Source: the protocol page, section 1, "Methods under `rpc.`".
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from .budget import Share
from .messages import Id

FIRST_CREDIT = 8
"""Items that may be sent before the reader has said anything."""

WIDEST = 256
"""Items that may be under way to a fast reader where none gets lost."""

_KEPT_ITEMS = 128
_ASKED_AT_ONCE = 16  # so that the request fits a packet of 220 bytes


class ReceivedItem(Struct, frozen=True):
    """The params of `rpc.item` as they come in."""

    id: int
    seq: Annotated[int, Meta(ge=0)]
    item: Raw


class ItemToSend(Struct, frozen=True):
    """The params of `rpc.item` on their way out."""

    id: Id | Raw
    seq: int
    item: Any


class Credit(Struct, frozen=True, omit_defaults=True):
    """The params of `rpc.more`."""

    id: int
    upto: int = 0
    missing: Sequence[int] = ()


class Count(Struct, frozen=True):
    """The result that ends a stream: how many items there were."""

    count: Annotated[int, Meta(ge=0)]


class SentItems:
    """The sending end of one stream.

    Args:
        share: room for items that may have to be sent again, `None` where none gets lost.

    Attributes:
        count: items sent so far.
        upto: items below it may be sent.
    """

    __slots__ = ("_kept", "_share", "count", "upto")

    def __init__(self, share: Share | None) -> None:
        self.count = 0
        self.upto = FIRST_CREDIT
        self._share = share
        self._kept: dict[int, bytes] = {}  # oldest first

    @property
    def may_send(self) -> bool:
        """Whether there is credit for the next item."""
        return self.count < self.upto

    def add(self, message: bytes) -> None:
        """Note that the next item is being sent."""
        if self._share is not None and self._share.take_bytes(len(message)):
            self._kept[self.count] = message
            if len(self._kept) > _KEPT_ITEMS:
                self._drop(next(iter(self._kept)))
        self.count += 1

    def grant(self, upto: int) -> None:
        """Take credit; it is never taken back."""
        self.upto = max(self.upto, upto)

    def again(self, missing: Iterable[int]) -> list[bytes] | None:
        """The messages of items that the reader lacks.

        What was never sent is no item, and where nothing gets lost nothing is sent again.

        Returns:
            The messages, `None` when one of them is not kept any more.
        """
        if self._share is None:
            return []
        sent = sorted({seq for seq in missing if 0 <= seq < self.count})
        if any(seq not in self._kept for seq in sent):
            return None
        return [self._kept[seq] for seq in sent]

    def forget(self) -> None:
        """Keep nothing any more."""
        while self._kept:
            self._drop(next(iter(self._kept)))

    def _drop(self, seq: int) -> None:
        message = self._kept.pop(seq)
        if self._share is not None:
            self._share.give_back(byte_count=len(message))


class ReceivedItems:
    """The receiving end of one stream: items come out in order, each once.

    Args:
        window: items that may be under way or wait to be taken.
        widest: what the window of a long stream grows to as long as items are taken as they come.

    Attributes:
        arrived: items that have come in so far.
        count: how many there are in all, once that is known.
        strays: items that came twice, or without credit.
    """

    __slots__ = ("_granted", "_items", "_next", "arrived", "count", "strays", "widest", "window")

    def __init__(self, window: int, widest: int = 0) -> None:
        self.window = window
        self.widest = widest
        self.arrived = 0
        self.count: int | None = None
        self.strays = 0
        self._granted = max(window, FIRST_CREDIT)
        self._items: dict[int, Raw] = {}
        self._next = 0

    @property
    def granted(self) -> int:
        """Items below it may be sent to us."""
        return self._granted

    @property
    def is_complete(self) -> bool:
        """Whether all items were taken."""
        return self.count is not None and self._next >= self.count

    def put(self, seq: int, item: Raw) -> None:
        """Note an item that has come in."""
        if not self._next <= seq < self._granted or seq in self._items:
            self.strays += 1
            return
        self.arrived += 1
        self._items[seq] = item

    def fill(self, items: list[Raw]) -> None:
        """Take all items at once."""
        self._items = dict(enumerate(items))
        self.arrived = self.count = len(items)

    def take(self) -> Raw | None:
        """The next item, `None` while it is not here."""
        item = self._items.pop(self._next, None)
        if item is not None:
            self._next += 1
        return item

    def grant(self) -> int | None:
        """The credit to give, as `upto`; `None` while there is enough of it."""
        if self.count is not None or self._next + self.window - self._granted < self.window // 2:
            return None
        if not self._items and 4 * self.window <= min(self._next, 4 * self.widest - 1):
            self.window = min(2 * self.window, self.widest)
        self._granted = self._next + self.window
        return self._granted

    def missing(self, *, tail: bool = False) -> list[int]:
        """Items that should be here, the first few.

        Args:
            tail: those too for which there is credit, and which may never have been sent.
        """
        end = self._granted if tail else max(self._items, default=self._next)
        end = end if self.count is None else self.count
        gaps = (seq for seq in range(self._next, end) if seq not in self._items)
        return [seq for seq, _ in zip(gaps, range(_ASKED_AT_ONCE), strict=False)]
