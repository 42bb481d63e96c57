"""The methods under `rpc.` that every dispatcher has."""

from typing import Any

from .context import Context
from .errors import InvalidParams
from .openrpc import document, document_of_one
from .protocol.messages import Id
from .service import method, notification, service
from .table import HandlerTable

_ENVELOPE_BYTES = len('{"jsonrpc":"2.0","id":"","result":}')


@service("rpc")
class Builtin:
    """The built-in methods of one dispatcher.

    Args:
        table: the dispatcher's handlers.
    """

    def __init__(self, table: HandlerTable) -> None:
        self._table = table

    @method(idempotent=True)
    def ping(self) -> bool:
        """Answer `true`: this peer is there, and knows the protocol's extensions."""
        return True

    @method(idempotent=True)
    def methods(self, context: Context) -> list[str]:
        """List the names that the caller may call, sorted."""
        return self._table.names_for(context)

    @method(idempotent=True)
    def discover(self, context: Context, method: str | None = None) -> dict[str, Any]:
        """Describe the methods that the caller may call, as an OpenRPC document.

        With `method` it holds that one alone, cut down to what fits one message.
        """
        names = self._table.names_for(context)
        if method is None:
            return document([self._table.methods[name] for name in names], _version())
        if method not in names:
            raise InvalidParams(data={"path": "$.method", "message": "No method of that name"})
        limit = None if context.info is None else context.info.max_message
        room = None if limit is None else limit - _ENVELOPE_BYTES - len(str(context.id))
        return document_of_one(self._table.methods[method], _version(), room)

    @notification
    def more(
        self, context: Context, id: Id, upto: int = 0, missing: list[int] | None = None
    ) -> None:
        """Let a streamed call send its items below `upto`, and send missing ones again."""
        context.more(id, upto, missing or ())

    @notification
    def cancel(self, id: Id, context: Context) -> None:
        """Cancel the caller's running call of that id, which then answers -32003."""
        context.cancel(id)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("jsonrpc-iot")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
