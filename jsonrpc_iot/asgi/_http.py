"""The HTTP that every answer needs: statuses, headers, and bodies within bounds."""

from collections.abc import Sequence
from typing import Any

import anyio

from ..channel.web import AsgiApp, AsgiReceive, AsgiSend, Scope, client_network, send_response
from ..errors import MissingExtra, RpcError, TooLarge, Unauthorized
from ..protocol.budget import Budget, Share
from ..protocol.codec.json import JsonCodec

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b":\n\n"

_DRAIN_SECONDS = 2.0
_SMALL_BODY = 1 << 16  # bytes that are worth to be read for the connection to live on
_BYTES_A_SECOND = 1 << 16  # a body that comes more slowly than this is given up in the end

Headers = Sequence[tuple[bytes, bytes]]


class Refusal(Exception):
    """A request that gets no JSON-RPC answer.

    Args:
        status: the HTTP status.
        problem: one short sentence, in the body.
        headers: more headers.
        error: the error object that takes the place of the sentence.
    """

    def __init__(
        self, status: int, problem: str, headers: Headers = (), error: RpcError | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.headers = headers
        self.error = error

    def body(self) -> tuple[bytes, bytes]:
        """The content type and the body."""
        if self.error is not None:
            reply = JsonCodec().encode_error(None, self.error, "2.0")
            assert reply is not None
            return JSON, reply
        return b"text/plain; charset=utf-8", f"{self.problem}\n".encode()


def accepts(headers: dict[bytes, bytes], kind: bytes) -> bool:
    """Whether a client names a media type among those that it takes."""
    accept = headers.get(b"accept")
    if accept is None or kind not in accept.lower():
        return False
    return weights(accept).get(kind, 0.0) > 0


def weights(accept: bytes) -> dict[bytes, float]:
    """How much a client likes what it names, from 0 to 1 (RFC 9110, 12.4.2).

    Args:
        accept: an Accept header, or one like it.
    """
    found: dict[bytes, float] = {}
    for part in accept.lower().split(b","):
        name, *parameters = (each.strip() for each in part.split(b";"))
        weight = next((_weight(each) for each in parameters if each.startswith(b"q=")), 1.0)
        found[name] = max(weight, found.get(name, 0.0))
    return found


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Headers by name: lines of one name are one list (RFC 9110, 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return found


def _weight(parameter: bytes) -> float:
    try:
        return min(1.0, max(0.0, float(parameter[2:])))
    except ValueError:  # that it does not want it cannot be read there
        return 1.0


class Disconnected(Exception):
    """The client is gone, or takes nothing."""


async def respond(
    send: AsgiSend, status: int, body: bytes, kind: bytes = JSON, headers: Headers = ()
) -> None:
    """Send a whole response."""
    start = [(b"content-length", b"%d" % len(body)), *headers]
    if body:
        start.append((b"content-type", kind))
    await send_response(send, status, start, body)


async def respond_early(
    receive: AsgiReceive,
    send: AsgiSend,
    status: int,
    body: bytes,
    kind: bytes,
    headers: Headers,
) -> None:
    """Send a whole response while the client still sends.

    Most clients read it only when they have sent all, and to close before that would reset the
    connection and lose it. So what comes is dropped, for a while.
    """
    start = [(b"content-length", b"%d" % len(body)), (b"content-type", kind), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with anyio.move_on_after(_DRAIN_SECONDS):
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.body", "body": b""})


async def refuse(
    refusal: Refusal, headers: dict[bytes, bytes], receive: AsgiReceive, send: AsgiSend
) -> None:
    """Answer a request that is refused before its body has been read.

    Args:
        refusal: why.
        headers: of the request.
        receive: gives its body.
        send: takes the answer.
    """
    kind, body = refusal.body()
    left = headers.get(b"content-length", b"0")
    is_small = left.isdigit() and int(left[:20]) <= _SMALL_BODY
    if is_small and b"transfer-encoding" not in headers:
        await respond(send, refusal.status, body, kind, refusal.headers)
    else:
        closing = {**dict(refusal.headers), b"connection": b"close"}.items()
        await respond_early(receive, send, refusal.status, body, kind, list(closing))


async def begin_events(send: AsgiSend, headers: Headers = ()) -> None:
    """Send the head of a stream of events."""
    start = [
        (b"content-type", EVENT_STREAM),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would hold events back
        *headers,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": start})


async def send_events(scope: Scope, send: AsgiSend, chunk: bytes, seconds: float) -> None:
    """Send a part of a stream of events.

    Args:
        scope: the request's.
        send: takes it.
        chunk: whole events.
        seconds: that the client may take for it.

    Raises:
        Disconnected: it takes longer.
    """
    with anyio.move_on_after(seconds):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        return
    connection = scope.get("state", {}).get("jsonrpc_iot")
    if connection is not None:  # of our own listener
        connection.abort()
    raise Disconnected("the client does not read")


async def end_events(send: AsgiSend) -> None:
    """End a stream of events."""
    await send({"type": "http.response.body", "body": b""})


async def wait_for_disconnect(receive: AsgiReceive, scope: anyio.CancelScope) -> None:
    """Cancel a scope when the client goes away. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class Bodies:
    """Reads the bodies of requests, none too large and not too many at once.

    Args:
        limit: bytes of one body.
        in_all: bytes of all that are not complete yet, of which a network gets half at most.
        seconds: that a body may take, and a second more for each 64 KiB.
    """

    def __init__(self, limit: int, in_all: int, seconds: float) -> None:
        self._limit = limit
        self._budget = Budget(0, max(in_all, limit))
        self._seconds = seconds

    async def read(self, scope: Scope, receive: AsgiReceive, length: bytes | None) -> bytes:
        """Read a body.

        Args:
            scope: the request's.
            receive: gives it.
            length: the Content-Length, `None` if the client did not say.

        Raises:
            Refusal: it is too large, or too slow, or there is no room.
            Disconnected: the client is gone.
        """
        if length is not None and (not length.isdigit() or int(length[:20]) > self._limit):
            raise self._too_large(int(length[:20]) if length.isdigit() else 0)
        with anyio.move_on_after(self._seconds) as time:
            return await self._read_parts(
                receive, time, Share(self._budget, client_network(scope), 1)
            )
        raise Refusal(408, "The body takes too long", [(b"connection", b"close")])

    async def _read_parts(
        self, receive: AsgiReceive, time: anyio.CancelScope, share: Share
    ) -> bytes:
        body = bytearray()
        started = anyio.current_time()
        try:
            while True:
                message = await receive()
                part = _part(message)
                body += part
                if len(body) > self._limit:
                    raise self._too_large(len(body))
                if not message.get("more_body"):
                    return bytes(body)
                if not share.take_bytes(len(part)):
                    closing = [(b"retry-after", b"1"), (b"connection", b"close")]
                    raise Refusal(503, "Too many bodies at once", closing)
                time.deadline = started + self._seconds + len(body) / _BYTES_A_SECOND
        finally:
            share.give_back(byte_count=share.byte_count)

    def _too_large(self, size: int) -> Refusal:
        error = TooLarge(data={"size": size, "limit": self._limit})
        # What is left of the body is not read, so the connection has to end.
        return Refusal(413, "The body is too large", [(b"connection", b"close")], error)


def _part(message: Any) -> bytes:
    if message["type"] != "http.request":
        raise Disconnected
    part: bytes = message.get("body", b"")
    return part


def unauthorized() -> Refusal:
    """The refusal of who has no token, or the wrong one."""
    challenge = [(b"www-authenticate", b"Bearer")]
    return Refusal(401, "A bearer token is needed", challenge, Unauthorized())


def denied(refusal: RpcError) -> Refusal:
    """The refusal of who may not do anything here."""
    if isinstance(refusal, Unauthorized):
        return Refusal(401, refusal.message, [(b"www-authenticate", b"Bearer")], refusal)
    return Refusal(403, refusal.message, error=refusal)


NO_STORE: Headers = [(b"cache-control", b"no-store")]
POST_ONLY = [(b"allow", b"POST")]
"""For what nobody may keep."""


def challenge_of(status: int) -> Headers:
    """What a response of that status says of how to prove who one is (RFC 9110, 11.6.1)."""
    return [(b"www-authenticate", b"Bearer")] if status == 401 else ()


def with_cors(app: AsgiApp, origins: tuple[str, ...]) -> AsgiApp:
    """An application that tells browsers which pages may read its answers.

    Raises:
        MissingExtra: the extra `http` is not installed.
    """
    if not origins:
        return app
    try:
        from starlette.middleware.cors import CORSMiddleware
    except ImportError as error:
        raise MissingExtra("CORS needs: pip install 'jsonrpc-iot[http]'") from error
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=["last-event-id"],
    )
