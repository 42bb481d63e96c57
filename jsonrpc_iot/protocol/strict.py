"""Servers that insist on `"jsonrpc": "2.0"`, recognised from how they refuse our first requests.

Such a server answers each request of the IoT dialect with -32600, often without an id, and has run
none of them. So what it refused is sent again as JSON-RPC 2.0, once.
"""

from msgspec import UNSET, Raw

from .codec.codec import Codec
from .messages import ABSENT, Id, Message

_INVALID_REQUEST = -32600


class FirstRequests:
    """Open requests that were sent in the IoT dialect before the other end had spoken.

    Args:
        codec: reads errors, and marks requests.
        in_order: each refusal arrives, and once, so that they can be counted.
    """

    __slots__ = ("_codec", "_in_order", "_open", "_refusals")

    def __init__(self, codec: Codec, *, in_order: bool) -> None:
        self._codec = codec
        self._in_order = in_order
        self._open: dict[int, bytes] = {}
        self._refusals = 0

    def add(self, id: int, request: bytes) -> None:
        """Note a request that is being sent."""
        self._open[id] = request

    def remove(self, id: int) -> None:
        """Forget a request that is answered or given up."""
        self._open.pop(id, None)

    def take(self, message: Message, *, shared: bool) -> dict[int, bytes] | None:
        """What to send again, now that this error has come; `None` if it is no such refusal.

        A refusal without an id may be that of any request. Only when there are as many of them as
        requests is it certain that none of these has run.

        Args:
            message: a response with an error.
            shared: it may be meant for others.
        """
        if not self._open or message.jsonrpc is UNSET or not self._is_invalid(message.error):
            return None
        if message.id is not None:
            return self._again((message.id,)) if message.id in self._open else None
        if shared or (len(self._open) > 1 and not self._in_order):
            return None
        self._refusals += 1
        return {} if self._refusals < len(self._open) else self._again(tuple(self._open))

    def _again(self, ids: "tuple[Id, ...]") -> dict[int, bytes]:
        self._refusals = 0
        return {id: self._codec.mark_2_0(self._open.pop(id)) for id in ids if type(id) is int}

    def _is_invalid(self, error: Raw) -> bool:
        decoded = None if error is ABSENT else self._codec.decode_error(error)
        return decoded is not None and decoded.code == _INVALID_REQUEST
