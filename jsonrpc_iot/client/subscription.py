"""What the device is told of the notifications that a client wants."""

import logging

from msgspec import Raw

from ..dispatch.dispatcher import Dispatcher
from ..errors import JsonRpcIotError, RpcError
from ..peer.asking import learn_extensions
from ..peer.calls import Calls
from ..protocol.about import about
from .notifications import Notifications

logger = logging.getLogger("jsonrpc_iot.client")


class Subscription:
    """Keeps a device informed, over one channel after the other.

    Args:
        notifications: knows what is listened to.
        dispatcher: has receivers of notifications too.
    """

    def __init__(self, notifications: Notifications, dispatcher: Dispatcher) -> None:
        self._notifications = notifications
        self._dispatcher = dispatcher
        self._told: list[str] | None = None

    @property
    def is_due(self) -> bool:
        """Whether the device has to be told."""
        return self._wanted() != self._told

    def forget(self) -> None:
        """Begin anew with a device that knows nothing, and sends all."""
        self._told = None

    async def tell(self, calls: Calls, timeout: float | None) -> None:
        """Tell the device, if it has to know and understands it.

        Raises:
            CallTimeout: no answer came in time.
            ChannelClosed: the channel is closed.
        """
        if not self.is_due or not await learn_extensions(calls, timeout):
            return
        wanted = self._told = self._wanted()
        try:
            if wanted is None:
                await calls.call("rpc.unsubscribe", None, Raw, timeout, True)
            else:
                await calls.call("rpc.subscribe", wanted, Raw, timeout, True)
        except RpcError as error:  # it sends all, and the streams pick from that
            logger.debug(
                "%s: no subscriptions: %s", calls.info.peer, error, extra=about(calls.info.peer)
            )

    async def tell_quietly(self, calls: Calls, timeout: float | None) -> None:
        """Tell the device; what goes wrong is logged, since nobody waits."""
        try:
            await self.tell(calls, timeout)
        except JsonRpcIotError as error:
            logger.info(
                "%s: subscribing failed: %s", calls.info.peer, error, extra=about(calls.info.peer)
            )

    def _wanted(self) -> list[str] | None:
        return self._notifications.wanted(self._dispatcher.received)
