"""Methods as places of their own, for scripts and people: what a request to one asks and gets.

`POST <path>/METHOD` has the params as its body, `GET <path>/METHOD?key=value` in its query. The
answer is the result alone, or the error object with a status.

Source: the protocol page, section 6, "HTTP".
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ..dispatch.handler import Handler
from ..errors import DeviceOffline
from ..protocol.codec.codec import DECODE_ERRORS
from ..trust.principal import Standing
from ._http import POST_ONLY, Refusal

_STATUSES = {-32700: 400, -32600: 400, -32602: 400, -32005: 401, -32006: 403, -32601: 404}
_BOM = b"\xef\xbb\xbf"


class _Reply(Struct):
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Code(Struct):
    code: int


_encode = msgspec.json.encode
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_code = msgspec.json.Decoder(_Code).decode


def request_for(method: str, params: bytes) -> bytes:
    """The message that a request to a method's place stands for.

    Args:
        method: its name.
        params: in JSON, empty for none.

    Raises:
        Refusal: they are no JSON.
    """
    members: dict[str, Any] = {"id": 1, "method": method}
    try:
        if text := params.removeprefix(_BOM).strip():
            members["params"] = _decode_raw(text)
    except DECODE_ERRORS:
        raise Refusal(400, "The params have to be JSON") from None
    return _encode(members)


def may_be_a_page(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a GET, which has no Origin, may be the work of a page from anywhere.

    Browsers say whose page it is (Fetch Metadata, section 2.3) where nobody can read along, and on
    the same machine. Elsewhere they say no more than that they are browsers.

    Args:
        headers: of the request.

    Raises:
        Refusal: it is that of a page from elsewhere; another port is elsewhere too.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None and site not in (b"same-origin", b"none"):
        raise Refusal(403, "Pages from there may not call")
    return site is None and headers.get(b"user-agent", b"").startswith(b"Mozilla/")


async def params_in(query: bytes, handler: Handler, standing: Standing, only_reads: bool) -> bytes:
    """The params in a query: each value as JSON where its type wants that, else as text.

    Args:
        query: as it stands in the URL.
        handler: of the method; it has the types.
        standing: the caller's; who may not call is told so by the call.
        only_reads: it has to be a method that says that it only reads.

    Raises:
        Refusal: it is no UTF-8, or the method is not for queries, or its device is away.
    """
    may_call = standing.refusal is None and standing.permits(handler.options.requires)
    try:
        kinds = await handler.kinds_in_query(may_call=may_call, only_reads=only_reads)
    except DeviceOffline as away:
        raise Refusal(503, away.message) from None
    if kinds is None:
        marks = 'effect="read"' if only_reads else 'effect="read", or idempotent without effect'
        raise Refusal(405, f"POST the params: the method is not marked {marks}", POST_ONLY)
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refusal(400, "The query has to be UTF-8") from None
    return _encode({name: _value(text, kinds.get(name, Any)) for name, text in pairs})


def _value(text: str, kind: Any) -> Raw | str:
    try:
        raw = _decode_raw(text.strip())
    except DECODE_ERRORS:
        return text
    try:
        msgspec.json.decode(raw, type=kind)
    except DECODE_ERRORS:
        try:
            msgspec.convert(text, kind)
        except msgspec.ValidationError:
            return raw  # neither will do, and so the error is about what was meant
        return text
    return raw


def answer_of(reply: bytes) -> tuple[int, bytes]:
    """The status and the body for a reply."""
    parts = _decode_reply(reply)
    if isinstance(parts.error, UnsetType):
        return 200, b"null" if isinstance(parts.result, UnsetType) else bytes(parts.result)
    return _STATUSES.get(_decode_code(parts.error).code, 500), bytes(parts.error)
