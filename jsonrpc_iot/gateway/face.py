"""A device as it shows itself where it has an address for itself."""

from typing import Any

from ..channel.clock import now
from ..dispatch.declare.context import Context
from ..dispatch.declare.options import Options
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.handler import Handler
from ..errors import JsonRpcIotError, RpcError, ServerError
from .device import LOOP, TRACE, Device

_PING = "rpc.ping"
_PING_SECONDS = 10.0


class Face(Dispatcher):
    """A device as it shows itself at its own address.

    Args:
        device: answers all but what is between a caller and this address.
        token: the gateway's, by which it knows itself.
        asks_device: the device answers `rpc.ping` too, so that who asks learns whether it is there.
    """

    def __init__(self, device: Device, token: str, *, asks_device: bool = False) -> None:
        super().__init__(title=device.name)
        self._device = device
        self._token = token
        self._forward("", device)
        self.method(TRACE)(self._trace)
        if asks_device:
            ping = Handler(_PING, self._ping, Options(idempotent=True))
            self._table.replace([(self._table.methods, (_PING, ping, ()))])

    async def _ping(self, context: Context) -> Any:
        """Find out whether the device is there."""
        if context.principal is None:  # a stranger learns nothing of it, and costs it nothing
            return True
        if self._device.target is None:
            self._device.hurry()
        deadline = now() + _PING_SECONDS
        target = await self._device.find(deadline)
        try:
            left = max(0.0, min(deadline, context.deadline or deadline) - now())
            return await target.call(_PING, result=Any, timeout=left, idempotent=True)
        except RpcError:
            raise
        except JsonRpcIotError as error:
            raise self._device.refusal(error) from None

    async def _trace(self, token: str) -> None:
        """Find out whether the gateway that asks leads back to itself."""
        if token == self._token:
            raise ServerError(LOOP)
        target = self._device.target
        if target is not None:
            await target.call(TRACE, {"token": token}, result=None, timeout=2.0)
