"""What the calling end of HTTP reads in messages and responses, and what bad statuses stand for.

Whatever a server or a proxy sends comes to a message or an error here.
"""

import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import httpx2
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ...errors import RpcError, rpc_error
from ...protocol.codec.codec import DECODE_ERRORS

EVENT_STREAM = "text/event-stream"

ENCODINGS = "gzip, deflate"
"""What bodies may be packed in; `unpacked` takes no others."""

_BOM = b"\xef\xbb\xbf"
_PIECE = 1 << 16
_LONGEST_NUMBER = 9
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


class Answer(Struct, omit_defaults=True):
    """What of a reply matters here."""

    jsonrpc: str | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET

    def to(self, id: bytes) -> bytes:
        """The same error as the answer to one call."""
        return _encode(Answer(self.jsonrpc, Raw(id), self.error))


_NULL = Raw(b"null")
_decode_answers = msgspec.json.Decoder(Answer | list[Answer]).decode
_decode_entries = msgspec.json.Decoder(list[Raw]).decode
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


def requests_in(message: bytes, envelopes: Sequence[Envelope]) -> dict[bytes, bytes]:
    """The requests of a message, by their ids.

    Args:
        message: a single one, or a batch of them.
        envelopes: what `read_envelopes` made of it.
    """
    entries = [message] if len(envelopes) == 1 else map(bytes, _decode_entries(message))
    pairs = zip(envelopes, entries, strict=True)
    return {bytes(each.id): entry for each, entry in pairs if not isinstance(each.id, UnsetType)}


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


def answers_in(
    body: bytes, check: Callable[[bytes], object]
) -> tuple[set[bytes], Answer | None] | None:
    """What a body answers: the ids, and the first error that names none.

    Args:
        body: as it came.
        check: raises one of `DECODE_ERRORS` where whoever takes the body would not read it.

    Returns:
        `None` if it is no message at all; a page for people, of some gateway, is none.
    """
    try:
        found = _decode_answers(body)
        check(body)
    except DECODE_ERRORS:
        return None
    replies = found if isinstance(found, list) else [found]
    ids = {bytes(each.id) for each in replies if isinstance(each.id, Raw)} - {b"null"}
    nameless = (each for each in replies if not isinstance(each.id, Raw) or each.id == _NULL)
    return ids, next((each for each in nameless if each.error is not UNSET), None)


async def unpacked(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """A body in pieces of at most 64 KiB, however small the bytes are that become them.

    Raises:
        httpx2.RequestError: it does not arrive, or cannot be unpacked.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(f"a body in the encoding {encoding!r}")
    is_plain = encoding in ("", "identity")
    inflating = zlib.decompressobj(zlib.MAX_WBITS | 32)  # whichever of the two it is
    async with aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            if is_plain:
                yield chunk
                continue
            packed = chunk
            while packed:
                try:
                    piece = inflating.decompress(packed, _PIECE)
                except zlib.error as error:
                    raise httpx2.DecodingError(str(error)) from None
                packed = inflating.unconsumed_tail
                yield piece


def stripped(body: bytes) -> bytes:
    """A body without a byte order mark and what surrounds a message."""
    return body.strip().removeprefix(_BOM).strip()


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
    if seconds := whole_number(response.headers.get("retry-after", "")):
        data["retry_after"] = float(seconds)
    return rpc_error(_CODES.get(response.status_code, -32000), status, data)


def whole_number(text: str) -> int | None:
    """A number of seconds or the like, `None` for anything else."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number else None
