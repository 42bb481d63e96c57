"""What the calling end of HTTP reads in messages and responses, and what bad statuses stand for."""

from collections.abc import Sequence

import httpx2
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ...errors import RpcError, rpc_error
from ...protocol.codec.codec import DECODE_ERRORS

EVENT_STREAM = "text/event-stream"

_SHOWN = 200
_CODES = {401: -32005, 403: -32006, 408: -32002, 413: -32001, 429: -32004, 503: -32004, 504: -32002}


class Envelope(Struct):
    """What of a message matters here."""

    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET

    @property
    def is_answer(self) -> bool:
        """Whether it answers a call."""
        return self.method is UNSET and not (self.result is UNSET and self.error is UNSET)


class _Target(Struct):
    """The params of `rpc.cancel` and `rpc.more`."""

    id: Raw
    upto: int = 0


class _Reply(Struct):
    id: Raw | UnsetType = UNSET
    jsonrpc: str | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode_envelope = msgspec.json.Decoder(Envelope | list[Envelope]).decode
decode_target = msgspec.json.Decoder(_Target).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_encode = msgspec.json.Encoder().encode


class BadStatus(Exception):
    """A status that is no reply."""

    def __init__(self, response: httpx2.Response, body: bytes) -> None:
        super().__init__(response.status_code)
        self.error = _error_of(response, body)


def read_envelopes(message: bytes) -> Sequence[Envelope]:
    """What a message asks; nothing of what cannot be read."""
    try:
        found = _decode_envelope(message)
    except DECODE_ERRORS:
        return [Envelope(id=Raw(b"null"))]  # the server says what it makes of it
    return (found or [Envelope()]) if isinstance(found, list) else [found]


def kind_of(response: httpx2.Response) -> str:
    """The media type of a body, without its parameters."""
    kind: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind


def is_reply(response: httpx2.Response, body: bytes) -> bool:
    """Whether a response with a bad status is a JSON-RPC error all the same."""
    if not kind_of(response).endswith("json"):
        return False
    try:
        reply = _decode_reply(body)
    except DECODE_ERRORS:
        return False
    return not isinstance(reply.error, UnsetType)


def is_readable(body: bytes) -> bool:
    """Whether a body may be messages; a page for people, of some gateway, is none."""
    try:
        _decode_envelope(body)
    except DECODE_ERRORS:
        return False
    return True


def with_id(body: bytes, ids: tuple[bytes, ...]) -> bytes:
    """An error whose id could not be read, as the answer to the one call that it belongs to."""
    if len(ids) != 1 or body[:1] != b"{":
        return body
    try:
        reply = _decode_reply(body)
    except DECODE_ERRORS:
        return body
    if isinstance(reply.error, UnsetType) or bytes(reply.id or b"null") != b"null":
        return body
    reply.id = Raw(ids[0])
    return _encode(reply)


def failure_of(id: bytes, error: RpcError) -> bytes:
    """An error as the answer to one call."""
    members = {"code": error.code, "message": error.message, "data": error.data}
    return _encode({"id": Raw(id), "error": members})


def _error_of(response: httpx2.Response, body: bytes) -> RpcError:
    """The error that a bad status stands for."""
    status = f"HTTP {response.status_code} {response.reason_phrase}".strip()
    if response.is_success:
        status = f"{status}, and no answer to the call"
    data: dict[str, object] = {"status": response.status_code}
    if text := body[:_SHOWN].decode("utf-8", "replace").strip():
        data["body"] = text
    after = response.headers.get("retry-after", "")
    if after.isdigit():
        data["retry_after"] = float(after)
    return rpc_error(_CODES.get(response.status_code, -32000), status, data)
