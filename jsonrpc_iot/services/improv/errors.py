"""The one error of Improv, and what its numbers say."""

from jsonrpc_iot import RpcError
from jsonrpc_iot.protocol.improv.messages import ErrorState

_TEXTS: dict[int, str] = {
    ErrorState.INVALID_PACKET: "Invalid packet",
    ErrorState.UNKNOWN_COMMAND: "Unknown command",
    ErrorState.UNABLE_TO_CONNECT: "Unable to connect",
    ErrorState.NOT_AUTHORIZED: "Not authorized",
    ErrorState.BAD_HOSTNAME: "Bad hostname",
}


class ImprovError(RpcError):
    """A command failed on the device.

    Args:
        state: why, of `ErrorState` or not; it is the error's code.
    """

    code = ErrorState.UNKNOWN.value
    message = "Unknown error"

    def __init__(self, state: int) -> None:
        super().__init__(code=int(state), message=_TEXTS.get(state, type(self).message))
