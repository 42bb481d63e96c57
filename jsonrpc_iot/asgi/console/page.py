"""Which request gets what of the console.

Browsers get the page where programs get events; what it consists of is below, in `.console`. None
of that is secret, so it needs no token. What the page may load and ask is bounded by its headers.
"""

import re
from urllib.parse import quote

from msgspec.json import encode

from ...channel.door import Door
from ...channel.refusing import place_of
from ...channel.web import CONSOLE_FOLDER, AsgiSend, Scope, WebRules, bearer_token, send_response
from ...errors import Unauthorized
from ...trust import audit
from .._http import (
    EVENT_STREAM,
    NO_STORE,
    POST_ONLY,
    Headers,
    Refusal,
    denied,
    respond,
    weights,
)
from ..requester import RequestFacts
from .assets import INDEX, Asset, assets, index_below
from .session import OneTimeKey

HTML = b"text/html"

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What the page may do: load what is its own, and speak with the address that it comes from."""

_HEADERS: Headers = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),  # it may be kept, but is asked for by its ETag
]
_READING = ("GET", "HEAD")
_ETAG = re.compile(rb'"([^"]*)"')


class Console:
    """Answers those requests of an application that are for the console.

    Args:
        key: is changed for a session; `None` where who uses the page has a token of their own.
        rules: what holds for the application's requests.
        door: says who comes in, and has wrong keys wait for their answer.
    """

    def __init__(self, key: OneTimeKey | None, rules: WebRules, door: Door) -> None:
        self._key = key
        self._rules = rules
        self._door = door

    @property
    def _sign_in(self) -> str:
        """Whether a token "must" or "may" be shown or has "no" use, or the "key" alone counts."""
        if self._key is not None and not self._door.has_keyring:
            return "key"
        if self._door.needs_proof or self._rules.token is not None:
            return "must"
        return "may" if self._door.gives_permissions else "no"

    async def answer(
        self, scope: Scope, below: str | None, headers: dict[bytes, bytes], send: AsgiSend
    ) -> bool:
        """Answer a request if it is for the console.

        Args:
            scope: the request's.
            below: what its path has after the application's, `None` where it is another one.
            headers: its headers.
            send: takes the answer.

        Returns:
            Whether it was.

        Raises:
            Refusal: the console has no such file, or it is to be changed; or the key is wrong.
        """
        method = scope["method"]
        if below == "":
            if method not in _READING or not _wants_page(headers):
                return False
            place = quote(scope["path"].rpartition("/")[2], safe="")
            index = index_below(place, self._sign_in)
            await _send(index, method, headers, send, b"accept, accept-encoding")
            return True
        if below is None or below.split("/", 2)[1] != CONSOLE_FOLDER:
            return False
        name = below[len(CONSOLE_FOLDER) + 2 :]
        if name == "session" and self._key is not None:
            await self._begin_session(self._key, scope, headers, send)
            return True
        found = assets().get(name) if name != INDEX else None
        if found is None:
            raise Refusal(404, "Not found")
        if method not in _READING:
            raise Refusal(405, "GET the file", [(b"allow", b"GET, HEAD")])
        await _send(found, method, headers, send, b"accept-encoding")
        return True

    async def _begin_session(
        self, key: OneTimeKey, scope: Scope, headers: dict[bytes, bytes], send: AsgiSend
    ) -> None:
        if scope["method"] != "POST":
            raise Refusal(405, "POST to begin a session", POST_ONLY)
        shown = bearer_token(headers.get(b"authorization"))
        try:
            token = key.exchange(shown)
        except Unauthorized as wrong:
            info = RequestFacts(scope, shown, self._rules).info
            audit.refused_proof(info.peer, "key", wrong.message)
            await self._door.refuser.wait(place_of(info))
            raise denied(wrong) from None
        await respond(send, 200, encode({"token": token}), headers=NO_STORE)


def _wants_page(headers: dict[bytes, bytes]) -> bool:
    """Whether a client names HTML, and likes it more than events; `*/*` is said by programs too."""
    accepted = weights(headers.get(b"accept", b""))
    return accepted.get(HTML, 0.0) > accepted.get(EVENT_STREAM, 0.0)


async def _send(
    asset: Asset, method: str, headers: dict[bytes, bytes], send: AsgiSend, vary: bytes
) -> None:
    encodings = weights(headers.get(b"accept-encoding", b""))
    takes_packed = encodings.get(b"gzip", encodings.get(b"*", 0.0)) > 0
    etag, body = asset.etag, asset.body
    start = [*_HEADERS, (b"vary", vary)]
    if takes_packed and asset.packed is not None:
        etag, body = f"{etag}-gzip", asset.packed
        start.append((b"content-encoding", b"gzip"))
    start.append((b"etag", f'"{etag}"'.encode()))
    status = 304 if _is_held(headers.get(b"if-none-match", b""), etag) else 200
    if status == 200:
        start += [(b"content-length", b"%d" % len(body)), (b"content-type", asset.kind)]
    if status == 304 or method == "HEAD":
        body = b""
    await send_response(send, status, start, body)


def _is_held(if_none_match: bytes, etag: str) -> bool:
    """Whether a client has that version already (RFC 9110, 13.1.2)."""
    return if_none_match.strip() == b"*" or etag.encode() in _ETAG.findall(if_none_match)
