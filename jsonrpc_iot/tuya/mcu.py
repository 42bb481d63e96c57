"""The end of a Tuya serial line that runs the product."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import ByteStream

from ..errors import TransportError
from ..protocol.tuya.datapoints import DataPoint, encode_datapoints
from ..protocol.tuya.frame import Command, Frame, NetworkStatus
from ..protocol.tuya.role import Mcu, Product, read_network_status
from .link import DataPointLink

StatusHandler = Callable[[NetworkStatus | int], Awaitable[object] | object]
S = TypeVar("S", bound=StatusHandler)


class TuyaMcu(DataPointLink):
    """Answers a Tuya module as its protocol wants it, while the `async with` block runs.

    It answers heartbeats, the query of the product, the working mode, the network status, and the
    query of all DataPoints with those that were reported.

    Args:
        where: as in `TuyaLink`.
        product: what it says of itself, or the product's id alone.
        working_mode: empty where the module shows its state by itself, otherwise the numbers of the
            module's pins for the state's lamp and the reset button.
    """

    def __init__(
        self,
        where: str | ByteStream,
        product: Product | str,
        *,
        working_mode: bytes = b"",
    ) -> None:
        super().__init__(where)
        if isinstance(product, str):
            product = Product(product, "1.0.0")
        self._mcu = Mcu(product, working_mode)

    @property
    def network_status(self) -> NetworkStatus | int | None:
        """What the module last said of its network, `None` before."""
        return self._mcu.network_status

    def on_network_status(self, handler: S) -> S:
        """Register a handler of the network status, as often as the module tells it."""

        def tell(frame: Frame) -> Awaitable[object] | object:
            status = read_network_status(frame)
            return None if status is None else handler(status)

        self._handlers.commands[Command.NETWORK_STATUS].append(tell)
        return handler

    def set(self, *points: DataPoint) -> None:
        """Keep values for the module's query of all DataPoints, without reporting them.

        Raises:
            ValueError: one is too long for a frame.
        """
        for point in points:
            self._mcu.encode(self._mcu.sends, encode_datapoints([point]))
        self._mcu.datapoints.update({point.id: point for point in points})

    async def report(self, *points: DataPoint, confirm: bool = False) -> None:
        """Report values, in one frame, and keep them for the module's query of all.

        Args:
            points: what they are.
            confirm: wait for the module to say that it took them; up to 5.5 s.

        Raises:
            ChannelClosed: the port is gone.
            TransportError: the module did not take them, or did not say so in time.
        """
        self.set(*points)
        if not confirm:
            await self._send_datapoints(self._mcu, points)
            return
        try:
            taken = await self.line.report_and_confirm(encode_datapoints(points))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise self._gone() from None
        if not taken:
            ids = ", ".join(str(point.id) for point in points)
            raise TransportError(f"{self.address}: the module did not take DataPoints {ids}")

    def _role(self) -> Mcu:
        return self._mcu
