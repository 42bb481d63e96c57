"""The end of a Tuya serial line that leads to the network."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import ByteStream

from ..protocol.tuya.datapoints import DataPoint
from ..protocol.tuya.frame import NetworkStatus
from ..protocol.tuya.module import Module
from ..protocol.tuya.role import Product
from ..transports.serial.tuya_dp import local_time
from .link import DataPointLink

OnlineHandler = Callable[[bool], Awaitable[object] | object]
H = TypeVar("H", bound=OnlineHandler)


class TuyaModule(DataPointLink):
    """Looks after an MCU as a Tuya module does, while the `async with` block runs.

    It sends heartbeats, every second until the MCU answers and then every 15 s; asks for product
    and working mode, tells the network status and asks for all DataPoints whenever the MCU has
    started; and answers when it is asked for the time or the signal strength.

    Args:
        where: as in `TuyaLink`.
        network_status: what it tells the MCU.
        rssi: signal strength in dBm for an MCU that asks, -128 to 127, 0 for unknown.
    """

    def __init__(
        self,
        where: str | ByteStream,
        *,
        network_status: NetworkStatus = NetworkStatus.CLOUD,
        rssi: int = 0,
    ) -> None:
        super().__init__(where)
        self._module = Module(network_status, local_time)
        if not -128 <= rssi <= 127:
            raise ValueError(f"rssi {rssi} is not in -128 to 127")
        self._module.rssi = rssi
        self._online_handler: OnlineHandler | None = None

    @property
    def is_online(self) -> bool:
        """Whether the MCU answers heartbeats."""
        return self._module.is_online

    @property
    def product(self) -> Product | None:
        """What the MCU says of itself, `None` before it has."""
        return self._module.product

    @property
    def working_mode(self) -> bytes | None:
        """What the MCU says of the module's lamp and button, `None` before it has."""
        return self._module.working_mode

    def on_online(self, handler: H) -> H:
        """Register a handler of the MCU's coming (`True`) and going (`False`)."""
        self._online_handler = handler
        return handler

    async def wait_online(self) -> None:
        """Wait until the MCU answers, and has said what product it is or was asked three times.

        Raises:
            ChannelClosed: the port is gone.
        """
        try:
            await self.line.wait(lambda: self.is_online and self._module.is_introduced)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            raise self._gone() from None

    async def set(self, *points: DataPoint) -> None:
        """Have the MCU take values, all in one frame. It reports what changed by them.

        Raises:
            ChannelClosed: the port is gone.
        """
        await self._send_datapoints(self._module, points)

    async def query(self) -> None:
        """Ask the MCU to report all its DataPoints, until it does; raises `ChannelClosed`."""
        await self._ask(self._module.query(anyio.current_time()))

    async def set_network_status(self, status: NetworkStatus) -> None:
        """Tell the MCU another network status, until it answers; raises `ChannelClosed`."""
        await self._ask(self._module.set_network_status(status, anyio.current_time()))

    async def _ask(self, frames: list[bytes]) -> None:
        self.line.look_again()  # whoever reads has to see what is due now
        await self._send(*frames)

    def _role(self) -> Module:
        return self._module

    async def _notice_changes(self) -> None:
        online = self.is_online
        await self.line.wait(lambda: self.is_online is not online)
        if (handler := self._online_handler) is not None:
            self._handlers.put(lambda: handler(not online))
