"""The device's end of GATT links: a channel for each central, and the listener that accepts them.

Which Bluetooth carries them is left to others: they hand in what centrals do, and implement
`Central`.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from ...channel.clock import now
from ...channel.contract import Listener, Serve
from ...channel.info import ChannelInfo
from ...errors import MessageTooLarge
from ...protocol.about import about
from ._channel import CallbackChannel
from ._options import GattOptions, describe

logger = logging.getLogger("jsonrpc_iot.transports")

Work = Callable[[], Coroutine[Any, Any, None]]

_CLOSE_SECONDS = 2.0
_SUBSCRIBE_SECONDS = 3.0
_WAITING_CHANNELS = 64


class Central(ABC):
    """A central that is connected, as the Bluetooth below sees it.

    Args:
        address: its Bluetooth address.

    Attributes:
        address: as above.
        is_there: until it leaves.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_there = True
        self._news = asyncio.Event()

    def has_changed(self) -> None:
        """It has subscribed, or left."""
        self._news.set()

    async def subscribes(self, seconds: float) -> bool:
        """Wait until it has subscribed, which is `False` where it does not in time, or leaves."""
        with anyio.move_on_after(seconds):
            while self.is_there and not self.is_subscribed:
                self._news.clear()
                await self._news.wait()
        return self.is_subscribed

    @property
    @abstractmethod
    def largest(self) -> int:
        """Bytes of the largest notification that reaches it whole."""

    @property
    @abstractmethod
    def is_subscribed(self) -> bool:
        """Whether it hears notifications."""

    @abstractmethod
    async def notify(self, message: bytes) -> None:
        """Send one notification, and wait while many are waiting to leave.

        Raises:
            anyio.BrokenResourceError: the link is gone.
        """

    @abstractmethod
    async def disconnect(self) -> None:
        """End the link, if it is still there."""


class CentralChannel(CallbackChannel):
    """The messages from and to one central.

    Args:
        central: at the other end.
        info: the facts about it.

    Attributes:
        unheard: messages to a central that does not hear notifications.
    """

    def __init__(self, central: Central, info: ChannelInfo) -> None:
        super().__init__(info)
        self.unheard = 0
        self._central = central
        self._patience_ends = now() + _SUBSCRIBE_SECONDS

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Channel.drops`."""
        return {**super().drops, "deaf": self.unheard}

    async def send(self, item: bytes) -> None:
        """Notify the central; see `Channel.send`.

        One that has just come may write before it subscribes: it is waited for, for a while.

        Raises:
            MessageTooLarge: it would be truncated on its way.
        """
        await anyio.lowlevel.checkpoint()
        self._check()
        if not self._info.fits(item):
            raise MessageTooLarge(len(item), self._info.max_message or 0)
        if not await self._central.subscribes(self._patience_ends - now()):
            self._check()
            level = logging.DEBUG if self.unheard else logging.WARNING
            peer = self._info.peer
            logger.log(level, "%s has not subscribed and hears no answers", peer, extra=about(peer))
            self.unheard += 1
            return
        await self._central.notify(item)
        self._check()

    async def aclose(self) -> None:
        """End the link."""
        if self._close() and not self._is_lost:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self._central.disconnect()
        await anyio.lowlevel.checkpoint()


class PeripheralListener(Listener):
    """Serves the centrals of one device.

    A central gets its channel when it first writes or subscribes. How it writes and the MTU of its
    link are facts of the channel; if they turn out to be others before a message has come, the
    central gets another channel. Later on only an MTU that grows counts.

    Args:
        options: of the URL.
        address: the URL that reaches the device.
        max_centrals: those that are served at once; others are disconnected.

    Attributes:
        addresses: the one URL.
        refused: centrals that were too many.
    """

    addresses: Sequence[str] = ()
    is_exposed: bool = True  # whoever is near may connect
    is_shared = True  # all centrals share the adapter

    def __init__(self, options: GattOptions, address: str, max_centrals: int) -> None:
        self.refused = 0
        self._options = options
        self._address = address
        self.addresses = [address]
        self._max_centrals = max_centrals
        self._channels: dict[Central, CentralChannel] = {}
        self._work, self._todo = anyio.create_memory_object_stream[CentralChannel | Work](
            _WAITING_CHANNELS
        )

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Listener.drops`."""
        return {"turned_away": self.refused}

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        async with anyio.create_task_group() as tasks:
            async for each in self._todo:
                if isinstance(each, CentralChannel):
                    task_group.start_soon(handler, each)
                else:
                    tasks.start_soon(each)

    async def aclose(self) -> None:
        """End all links; where there is more to give back, a subclass does it."""
        for channel in tuple(self._channels.values()):
            await channel.aclose()
        self._channels.clear()
        self._work.close()
        self._todo.close()

    def written(self, central: Central, message: bytes, *, acknowledged: bool) -> bool:
        """Take what a central wrote; returns at once and never raises.

        Returns:
            Whether there was room for it. The central may be told so when the write is one that is
            acknowledged; others are lost.
        """
        channel = self._channel(central, acknowledged)
        return channel is not None and channel.queue(message)

    def subscribed(self, central: Central) -> None:
        """A central hears notifications from here on."""
        central.has_changed()
        if central not in self._channels:
            self._channel(central, acknowledged=True)

    def mtu_changed(self, central: Central) -> None:
        """The MTU of a central's link is another one."""
        channel = self._channels.get(central)
        if channel is not None:
            self._channel(central, channel.info.reliable)

    def left(self, central: Central) -> None:
        """The link to a central is gone."""
        central.has_changed()
        channel = self._channels.pop(central, None)
        if channel is not None:
            channel.lose()

    def do_soon(self, work: Work) -> None:
        """Run that while serving."""
        self._hand_over(work)

    def _hand_over(self, each: "CentralChannel | Work") -> bool:
        """Have `serve` begin with that; says whether there was room."""
        try:
            self._work.send_nowait(each)
        except anyio.WouldBlock:
            logger.warning("%s: too much happens at once", self._address)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            logger.debug("%s: serves no more", self._address)
        else:
            return True
        return False

    def _channel(self, central: Central, acknowledged: bool) -> CentralChannel | None:
        """The channel of a central, which is a new one where it has to be."""
        scheme = self._address.partition("://")[0]
        radio = self._address.partition("?")[0]
        info = describe(
            self._options,
            transport=scheme,
            local=self._address,
            peer=("gatt://" if scheme == "gatt" else f"{radio}?address=") + central.address,
            value=central.largest,
            reliable=acknowledged,
        )
        channel = self._channels.get(central)
        if channel is not None:
            if channel.has_taken or channel.info == info:
                channel.info.grow(info.max_message or 0)
                return channel
            channel.lose()
        elif len(self._channels) >= self._max_centrals:
            self.refused += 1
            self.do_soon(central.disconnect)
            return None
        channel = CentralChannel(central, info)
        if not self._hand_over(channel):
            self.refused += 1
            return None
        self._channels[central] = channel
        return channel
