"""Servers that insist on `"jsonrpc": "2.0"`, recognised from how they refuse our first requests.

Such a server answers each request of the IoT dialect with -32600, often without an id, and has run
none of them. So what it refused is sent again as JSON-RPC 2.0, once.
"""

from collections.abc import Callable

from msgspec import UNSET, Raw

from .codec.codec import Codec
from .messages import ABSENT, Message
from .retries import Repeats

_INVALID_REQUEST = -32600
_NONE: dict[int, bytes] = {}  # never written to


def _forget(request: bytes) -> None:
    """Send nothing again."""


class FirstRequests:
    """Open requests that were sent in the IoT dialect before the other end had spoken.

    Args:
        codec: reads errors, and marks requests.
        in_order: each refusal arrives, and once, so that they can be counted.

    Attributes:
        send: takes the requests that are sent again.
    """

    __slots__ = ("_codec", "_in_order", "_open", "_refusals", "send")

    def __init__(self, codec: Codec, *, in_order: bool) -> None:
        self._codec = codec
        self._in_order = in_order
        self._open = _NONE
        self._refusals = 0
        self.send: Callable[[bytes], object] = _forget

    def add(self, id: int, request: bytes) -> None:
        """Note a request that is being sent."""
        if self._open is _NONE:
            self._open = {}
        self._open[id] = request

    def remove(self, id: int) -> None:
        """Forget a request that is answered or given up."""
        self._open.pop(id, None)

    def are_refused(self, message: Message, repeats: Repeats | None, *, shared: bool) -> bool:
        """Whether an error is such a refusal; then what has certainly not run is sent again.

        A refusal without an id may be that of any request. Only when there are as many of them as
        requests is it certain that none of these has run.

        Args:
            message: a response.
            repeats: of the requests, where messages get lost.
            shared: the response may be meant for others.
        """
        if not self._open or message.jsonrpc is UNSET or not self._is_invalid(message.error):
            return False
        if message.id is None:
            if shared or (len(self._open) > 1 and not self._in_order):
                return False
            self._refusals += 1
            ids = tuple(self._open) if self._refusals >= len(self._open) else ()
        elif type(message.id) is int and message.id in self._open:
            ids = (message.id,)
        else:
            return False
        for id in ids:
            self._refusals = 0
            request = self._codec.mark_2_0(self._open.pop(id))
            if repeats is not None:
                repeats.replace(id, request)
            self.send(request)
        return True

    def _is_invalid(self, error: Raw) -> bool:
        decoded = None if error is ABSENT else self._codec.decode_error(error)
        return decoded is not None and decoded.code == _INVALID_REQUEST
