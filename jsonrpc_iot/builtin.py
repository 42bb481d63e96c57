"""The methods under `rpc.` that every dispatcher has."""

from collections.abc import Callable

from .context import Context
from .protocol.messages import Id
from .service import method, notification, service


@service("rpc")
class Builtin:
    """The built-in methods of one dispatcher.

    Args:
        methods: gives the names that a caller may call.
    """

    def __init__(self, methods: Callable[[Context], list[str]]) -> None:
        self._methods = methods

    @method(idempotent=True)
    def ping(self) -> bool:
        """Answer `true`: this peer is there, and knows the protocol's extensions."""
        return True

    @method(idempotent=True)
    def methods(self, context: Context) -> list[str]:
        """List the names that the caller may call, sorted."""
        return self._methods(context)

    @notification
    def cancel(self, id: Id, context: Context) -> None:
        """Cancel the caller's running call of that id, which then answers -32003."""
        context.caller.cancel(id)
