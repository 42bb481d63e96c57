"""What a client hears: notifications by name, and the events of a device that are made of them."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import UNSET, Raw, Struct

from ..dispatch.declare.callbacks import Callbacks
from ..protocol.about import about
from ..protocol.codec.codec import DECODE_ERRORS, Codec
from ..protocol.messages import ABSENT, Message
from ..protocol.patterns import Patterns

logger = logging.getLogger("jsonrpc_iot.client")

_WAITING_NOTIFICATIONS = 256


class Notification(Struct, frozen=True, omit_defaults=True):
    """A notification from the other end.

    Args:
        method: its name.
        params: an object or an array, `None` if it has none.
    """

    method: str
    params: Any = None


class Notifications:
    """Who wants to hear which notification of a device, over all of a client's channels.

    Attributes:
        missed: notifications that came while 256 others waited in a `stream`.
        on_change: is called when others are wanted than before.
    """

    def __init__(self) -> None:
        self._receivers: dict[str, Callbacks] = {}
        self._streams: dict[MemoryObjectSendStream[Notification], Sequence[str]] = {}
        self._filters: dict[MemoryObjectSendStream[Notification], Patterns] = {}
        self._hearers = Callbacks()
        self.on_change: Callable[[], object] = lambda: None
        self._endings = Callbacks()
        self._is_over = False
        self.missed = 0

    @asynccontextmanager
    async def stream(
        self, patterns: Sequence[str] = ()
    ) -> AsyncIterator[MemoryObjectReceiveStream[Notification]]:
        """The notifications that come while the block runs; see `Client.notifications`."""
        send, receive = anyio.create_memory_object_stream[Notification](_WAITING_NOTIFICATIONS)
        with send, receive:
            if self._is_over:
                send.close()
            self._streams[send] = patterns
            if patterns:
                self._filters[send] = Patterns(patterns)
            self.on_change()
            try:
                yield receive
            finally:
                self._discard(send)
                self.on_change()

    def wanted(self, others: Sequence[str]) -> list[str] | None:
        """The names and patterns that are listened to, sorted; `None` for all.

        All are sent as long as nobody has asked for some alone.

        Args:
            others: names that have a receiver elsewhere.
        """
        if self._hearers or not self._filters or len(self._filters) < len(self._streams):
            return None
        patterns = {each for stream in self._streams.values() for each in stream}
        return sorted({*patterns, *self._receivers, *others})

    def _discard(self, stream: MemoryObjectSendStream[Notification]) -> None:
        self._streams.pop(stream, None)
        self._filters.pop(stream, None)

    def hear(self, receive: Callable[[Notification], object]) -> Callable[[], None]:
        """Have a callback called with each, for who does not wait for them.

        Returns:
            A function that ends this.
        """
        leave = self._hearers.add(receive)
        self.on_change()
        return leave

    def listen(
        self, method: str, receive: Callable[[Codec, Raw], object], end: Callable[[], object]
    ) -> Callable[[], None]:
        """Have one callback called with codec and params of each, another when none follow.

        Returns:
            A function that ends this.
        """
        if self._is_over:
            end()
        receivers = self._receivers.setdefault(method, Callbacks())
        leaves = receivers.add(receive), self._endings.add(end)
        self.on_change()

        def leave() -> None:
            for each in leaves:
                each()
            if not len(receivers) and self._receivers.get(method) is receivers:
                del self._receivers[method]
                self.on_change()

        return leave

    def publish(self, codec: Codec, message: Message) -> None:
        """Tell those who want to hear it."""
        receivers = self._receivers.get(cast(str, message.method))
        if receivers is not None:
            receivers.tell(codec, message.params)
        if self._streams or self._hearers:
            self._put(codec, message)

    def _put(self, codec: Codec, message: Message) -> None:
        """Tell those who hear all, and put a notification into all streams."""
        assert message.method is not UNSET
        try:
            params = None if message.params is ABSENT else codec.decode_value(message.params, Any)
        except DECODE_ERRORS as error:  # a number that no float holds
            logger.warning(
                "%s: dropped a notification: %s",
                message.method,
                error,
                extra=about(method=message.method),
            )
            return
        notification = Notification(message.method, params)
        self._hearers.tell(notification)
        for stream in tuple(self._streams):
            wanted = self._filters.get(stream)
            if wanted is not None and not wanted.match(message.method):
                continue
            try:
                stream.send_nowait(notification)
            except anyio.WouldBlock:
                self.missed += 1
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._discard(stream)

    def end(self) -> None:
        """Tell all that nothing follows."""
        self._is_over = True
        for stream in self._streams:
            stream.close()
        self._endings.tell()
