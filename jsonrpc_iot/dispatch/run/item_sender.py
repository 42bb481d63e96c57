"""Results that leave item by item, from the server's side."""

from collections.abc import AsyncIterable, Iterable
from typing import Protocol

import anyio
import anyio.lowlevel
from msgspec import UnsetType

from ...errors import Cancelled, TooLarge
from ...protocol.budget import Share
from ...protocol.codec.codec import Codec
from ...protocol.items import Count, ItemToSend, SentItems
from ...protocol.messages import Request
from ..response import ReplyTo

_BREATH = 64  # items after which others have their turn, on a link that loses none


class Sink(Protocol):
    """What takes messages for the other end."""

    async def wait_for_room(self) -> None:
        """Wait until not too much waits."""

    def push(self, *messages: bytes) -> None:
        """Send messages; never waits."""

    def offer(self, message: bytes) -> bool:
        """Send a message unless too much waits already."""


class ItemSender:
    """Sends the items of one result as far as the reader's credit goes.

    Args:
        to: where the response goes, and so do the items.
        codec: writes them.
        sink: takes them.
        share: room for items that may have to be sent again, `None` where none gets lost.
        patience: seconds to wait for credit where a reader may vanish unnoticed, `None` elsewhere.

    Attributes:
        to: as above.
    """

    def __init__(
        self,
        to: ReplyTo,
        codec: Codec,
        sink: Sink,
        share: Share | None,
        patience: float | None,
    ) -> None:
        assert not isinstance(to.id, UnsetType)
        self.to = to
        self._id = to.id
        self._codec = codec
        self._sink = sink
        self._sent = SentItems(share)
        self._patience = patience
        self._breath = _BREATH if share is None else 1
        self._credit: anyio.Event | None = None
        self._is_last = False

    async def send_all(self, items: Iterable[object] | AsyncIterable[object]) -> Count:
        """Send all items; returns the result that ends the stream.

        Raises:
            TooLarge: an item does not fit the channel.
            Unencodable: the codec has no form for an item.
            Cancelled: the reader is gone.
        """
        if isinstance(items, AsyncIterable):
            async for item in items:
                await self._send(item)
        else:
            for item in items:
                await self._send(item)
        return Count(self._sent.count)

    def grant(self, upto: int) -> None:
        """Take credit."""
        self._sent.grant(upto)
        if self._credit is not None:
            self._credit.set()

    def expect_no_credit(self) -> None:
        """Send what there is credit for, and end: nothing more is heard of the reader."""
        self._is_last = True
        if self._credit is not None:
            self._credit.set()

    def again(self, missing: Iterable[int]) -> bool:
        """Send items again; says whether all of them are still kept."""
        messages = self._sent.again(missing)
        for message in messages or ():
            self._sink.offer(message)  # a reader that asks for ever must not fill the memory
        return messages is not None

    def forget(self) -> None:
        """Keep no items any more."""
        self._sent.forget()

    async def _send(self, item: object) -> None:
        message = self._encode(item)
        if not self._sent.may_send:
            await self._wait_for_credit()
        await self._sink.wait_for_room()
        self._sent.add(message)
        self._sink.push(message)
        if self._sent.count % self._breath == 0:
            await anyio.lowlevel.checkpoint()

    def _encode(self, item: object) -> bytes:
        to = self.to
        params = ItemToSend(self._id, self._sent.count, item)
        message = self._codec.encode_request(Request("rpc.item", to.jsonrpc, params=params))
        if to.limit is not None and len(message) > to.limit:
            raise TooLarge(data={"size": len(message), "limit": to.limit})
        return message

    async def _wait_for_credit(self) -> None:
        with anyio.move_on_after(self._patience):
            while not self._sent.may_send and not self._is_last:
                self._credit = anyio.Event()
                await self._credit.wait()
        if not self._sent.may_send:
            raise Cancelled("The reader is gone")
