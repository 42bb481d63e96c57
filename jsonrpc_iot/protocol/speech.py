"""How one end writes to the other: in its dialect, with the extensions that it knows."""

from math import inf
from typing import Any

from msgspec import UNSET, UnsetType

from .codec.codec import Codec, Jsonrpc
from .messages import Dialect, Request


class Speech:
    """What one end of a conversation says.

    Args:
        codec: writes it.
        dialect: the one to use until the other end has spoken.
        extensions: whether the other end understands `timeout`, `rpc.cancel` and the like; `None`
            while nobody knows.
        is_lossy: requests may get lost, and come again.

    Attributes:
        codec: as above.
        extensions: as above.
        jsonrpc: the member of that name in the other end's last valid message, `None` before it.
    """

    __slots__ = ("_default", "_is_lossy", "codec", "extensions", "jsonrpc")

    def __init__(
        self, codec: Codec, dialect: Dialect, extensions: bool | None, *, is_lossy: bool
    ) -> None:
        self.codec = codec
        self.extensions = extensions
        self.jsonrpc: Jsonrpc | None = None
        self._default: Jsonrpc = UNSET if dialect == "iot" else "2.0"
        self._is_lossy = is_lossy

    @property
    def jsonrpc_to_send(self) -> Jsonrpc:
        """The `jsonrpc` member for what we send of our own accord."""
        return self._default if self.jsonrpc is None else self.jsonrpc

    def notification(self, method: str, params: Any, traceparent: str | None = None) -> bytes:
        """The bytes of a notification.

        Args:
            method: its name.
            params: an object or an array to be, `None` for no params.
            traceparent: the trace that it belongs to.

        Raises:
            UsageError: the codec has no form for the params, or they are no object or array.
        """
        return self._request(method, params, traceparent=traceparent)

    def _request(
        self,
        method: str,
        params: Any,
        id: int | UnsetType = UNSET,
        timeout: float | None = None,
        stream: bool = False,
        traceparent: str | None = None,
    ) -> bytes:
        """The bytes of a request; extensions are left out for who does not know them."""
        members = UNSET if params is None else params
        if not self.extensions:
            request = Request(method, self.jsonrpc_to_send, id, members, stream=stream)
            return self.codec.encode_request(request)
        wait = UNSET if timeout is None or timeout == inf else timeout
        # Where a copy may come late, each request to an end that knows extensions shows one.
        is_bare = wait is UNSET and not stream and id is not UNSET
        return self.codec.encode_request(
            Request(
                method,
                self.jsonrpc_to_send,
                id,
                members,
                wait,
                stream,
                UNSET if traceparent is None else traceparent,
                retry=False if is_bare and self._is_lossy else UNSET,
            )
        )
