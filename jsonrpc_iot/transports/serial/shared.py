"""Serial ports at which something else than messages is served too, such as Improv's packets."""

from collections.abc import Callable, Coroutine
from typing import Any

from ...channel.contract import Channel, Listener, Serve, Transport
from ...channel.tasks import task_group
from ...channel.url import Url
from ...channel.wrappers import WrappedListener
from ...protocol.limits import Limits
from . import tuya_dp, uart
from .frame_channel import LineChannel
from .line import TuyaLine


class SharedPort:
    """The transport of serial ports whose lines something else uses as well.

    Args:
        beside: uses a line until it is gone, or the server ends.

    Attributes:
        addresses: of all that listens, without the options of what carries it.
    """

    def __init__(self, beside: Callable[[TuyaLine], Coroutine[Any, Any, None]]) -> None:
        self._beside = beside
        self.addresses: list[str] = []

    async def connect(self, url: Url, limits: Limits) -> Channel:
        """Open a port for messages alone; see `Transport.connect`."""
        return await _transport(url).connect(url, limits)

    async def listen(self, url: Url, limits: Limits) -> Listener:
        """Open a port; see `Transport.listen`."""
        listener = await _transport(url).listen(url, limits)
        self.addresses += listener.addresses
        return WrappedListener(listener, "", self._around)

    def _around(self, handler: Serve) -> Serve:
        async def serve(channel: Channel) -> None:
            assert isinstance(channel, LineChannel)
            async with task_group() as tasks:
                tasks.start_soon(self._beside, channel.line)
                await handler(channel)
                tasks.cancel_scope.cancel()

        return serve


def _transport(url: Url) -> Transport:
    """What carries messages at a port.

    Raises:
        InvalidUrl: it is no serial port.
    """
    transports: dict[str, Transport] = {"uart": uart, "tuya-dp": tuya_dp}
    try:
        return transports[url.scheme.removesuffix("+pty")]
    except KeyError:
        raise url.error("this is no serial port, as in uart:///dev/ttyUSB0") from None
