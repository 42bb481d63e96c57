"""The calling end of HTTP as a channel: a POST for each message, events for what is pushed.

Requests go out at once, each in a POST of its own, so that a slow call holds up no other one;
notifications are waited for, so that what is sent after one arrives after it. A POST whose
connection fails ends the channel, as on other transports. An answer with a status that is no
reply becomes an error response to the call.
"""

import logging
import ssl
from collections import deque
from collections.abc import Sequence
from typing import final

import anyio
import anyio.lowlevel
import httpx2
import msgspec
from anyio.abc import TaskGroup
from msgspec import UNSET, Raw, Struct, UnsetType

from ..channel import Channel, ChannelInfo
from ..errors import ConnectFailed, RpcError, rpc_error
from ..protocol.limits import Limits
from ..protocol.stream import FIRST_CREDIT
from ..url import Url
from ._httpevents import Events, read_events

logger = logging.getLogger("jsonrpc_iot.transports")

EVENT_STREAM = "text/event-stream"

_RECEIVE_BYTES = 16 << 20
_CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 30.0
_KEEP_SECONDS = 3.0  # shorter than any server's
_CLOSE_SECONDS = 0.5
_SHOWN = 200
_CODES = {401: -32005, 403: -32006, 408: -32002, 413: -32001, 429: -32004, 503: -32004, 504: -32002}

# A connection that failed; whether the server got the request is unknown.
_FAILED = (httpx2.RequestError, httpx2.StreamError, OSError, anyio.BrokenResourceError)


class _Envelope(Struct):
    """What of a message matters here."""

    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET


class _Target(Struct):
    """The params of `rpc.cancel` and `rpc.more`."""

    id: Raw
    upto: int = 0


class _Reply(Struct):
    id: Raw | UnsetType = UNSET
    jsonrpc: str | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode_envelope = msgspec.json.Decoder(_Envelope | list[_Envelope]).decode
_decode_target = msgspec.json.Decoder(_Target).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_encode = msgspec.json.Encoder().encode


class _Post:
    """One POST that is under way.

    Attributes:
        scope: ends it.
        upto: items below it may be taken in; further ones wait on the wire.
        news: there is more credit.
    """

    __slots__ = ("news", "scope", "upto")

    def __init__(self, scope: anyio.CancelScope) -> None:
        self.scope = scope
        self.upto = FIRST_CREDIT
        self.news = anyio.Event()

    def grant(self, upto: int) -> None:
        """Take credit."""
        self.upto = max(self.upto, upto)
        self.news.set()
        self.news = anyio.Event()

    async def wait_for_credit(self, count: int) -> None:
        """Wait until one more than that many items may be taken in."""
        while count >= self.upto:
            await self.news.wait()


class _BadStatus(Exception):
    """A status that is no reply."""

    def __init__(self, response: httpx2.Response, body: bytes) -> None:
        super().__init__(response.status_code)
        self.error = _error_of(response, body)


async def open_channel(
    url: Url,
    place: str,
    context: ssl.SSLContext | None,
    token: str | None,
    max_message: int,
    limits: Limits,
) -> Channel:
    """Reach a server, and subscribe to its events where it has such.

    Args:
        url: to be shown.
        place: where the requests go.
        context: for TLS, `None` without.
        token: the bearer token, `None` without.
        max_message: bytes of the largest message that is sent.
        limits: of which `in_flight` and `receive_bytes` are used here.

    Raises:
        ConnectFailed: nobody answers there, or the server refuses the token.
    """
    client = httpx2.AsyncClient(
        verify=True if context is None else context,
        headers={} if token is None else {"authorization": f"Bearer {token}"},
        timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS, write=_WRITE_SECONDS),
        limits=httpx2.Limits(
            max_connections=limits.in_flight + 2,
            max_keepalive_connections=limits.in_flight,
            keepalive_expiry=_KEEP_SECONDS,
        ),
        trust_env=url.is_exposed,  # no proxy leads to this machine
    )
    events = Events(client, place)
    try:
        status = await events.open()
        if status in (401, 403, 407):
            raise ConnectFailed(f"{url}: HTTP {status}, the server wants another token")
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await client.aclose()
        if isinstance(error, (*_FAILED, httpx2.InvalidURL)):
            raise ConnectFailed(f"{url}: {_reason(error)}") from error
        raise
    info = ChannelInfo(
        transport=url.scheme,
        local=f"{url.scheme}://client",
        peer=place,
        max_message=max_message,
    )
    receive_bytes = max(limits.receive_bytes, _RECEIVE_BYTES)
    return HttpChannel(client, place, events, info, receive_bytes)


@final
class HttpChannel(Channel):
    """The calling end of HTTP.

    Args:
        client: makes the requests; the channel closes it.
        place: where they go.
        events: the subscription, open if the server has events.
        info: the facts about the channel.
        receive_bytes: of the largest answer.

    Attributes:
        refused: notifications that the server answered with a bad status.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        place: str,
        events: Events,
        info: ChannelInfo,
        receive_bytes: int,
    ) -> None:
        self._client = client
        self._place = place
        self._events = events
        self._info = info
        self._receive_bytes = receive_bytes
        self._tasks: TaskGroup | None = None
        self._posts: dict[bytes, _Post] = {}  # by the request's id
        self._messages: dict[bytes, tuple[bytes, ...]] = {}  # their ids
        self._received: deque[bytes] = deque()
        self._news = anyio.Event()
        self._broken = False
        self._closed = False
        self._at_end = False
        self.refused = 0

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    def start(self, tasks: TaskGroup) -> None:
        """Begin to listen for events; see `Channel.start`."""
        self._tasks = tasks
        if self._events.is_open:
            tasks.start_soon(self._listen)

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        await self._wait()
        return self._received.popleft()

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        await self._wait()
        messages = list(self._received)
        self._received.clear()
        return messages

    async def send(self, item: bytes) -> None:
        """Send one message. Returns when a notification has arrived, at once for a request.

        Raises:
            anyio.BrokenResourceError: the link is gone.
            anyio.ClosedResourceError: this end has closed the channel, or not started it.
        """
        await anyio.lowlevel.checkpoint()
        if self._closed or self._tasks is None:
            raise anyio.ClosedResourceError
        if self._broken:
            raise anyio.BrokenResourceError
        envelopes = _read(item)
        ids = tuple(bytes(each.id) for each in envelopes if not isinstance(each.id, UnsetType))
        if ids:
            self._tasks.start_soon(self._call, item, ids)
        elif not self._handle_here(envelopes):
            await self._notify(item)

    async def send_eof(self) -> None:
        """Send no more; the channel ends when all answers are here."""
        self._at_end = True
        self._wake()

    def forget(self, message: bytes) -> None:
        """Hang up on a call for which nobody waits any more; the server cancels it."""
        for id in self._messages.pop(message, ()):
            if (post := self._posts.get(id)) is not None:
                post.scope.cancel()

    async def aclose(self) -> None:
        """End all requests and close the connections."""
        self._closed = True
        for post in tuple(self._posts.values()):
            post.scope.cancel()
        self._wake()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._events.aclose()
            await self._client.aclose()
        await anyio.lowlevel.checkpoint()

    def _handle_here(self, envelopes: Sequence[_Envelope]) -> bool:
        """Do what a notification to the server asks for, where HTTP has a way of its own."""
        if len(envelopes) != 1:
            return False
        (one,) = envelopes
        if one.method not in ("rpc.cancel", "rpc.more") or isinstance(one.params, UnsetType):
            return False
        target = _decode_target(one.params)
        post = self._posts.get(bytes(target.id))
        if post is not None and one.method == "rpc.more":
            post.grant(target.upto)
        elif post is not None:
            post.scope.cancel()
        return True

    async def _call(self, message: bytes, ids: tuple[bytes, ...]) -> None:
        """Make a POST and take in what answers it."""
        with anyio.CancelScope() as scope:
            post = _Post(scope)
            self._posts.update(dict.fromkeys(ids, post))
            self._messages[message] = ids
            try:
                await self._post(message, ids, post)
            except _BadStatus as failure:
                self._take(*(_failure(id, failure.error) for id in ids))
            except _FAILED as error:
                self._break(error)
            finally:
                self._messages.pop(message, None)
                for id in ids:
                    if self._posts.get(id) is post:
                        del self._posts[id]
                self._wake()

    async def _notify(self, message: bytes) -> None:
        try:
            await self._post(message, (), None)
        except _BadStatus as failure:
            self.refused += 1
            logger.warning("%s: a notification was refused: %s", self._place, failure.error)
        except _FAILED as error:
            self._break(error)
            raise anyio.BrokenResourceError from error

    async def _post(self, message: bytes, ids: tuple[bytes, ...], post: _Post | None) -> None:
        headers = {
            "content-type": "application/json",
            "accept": f"application/json, {EVENT_STREAM}",
        }
        request = self._client.build_request("POST", self._place, content=message, headers=headers)
        response = await self._client.send(request, stream=True)
        try:
            if _kind(response) == EVENT_STREAM and response.status_code == 200:
                await self._take_events(response, post)
                return
            body = await self._body(response)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        if not body and response.is_success:
            if ids:
                raise _BadStatus(response, body)
            return
        if response.is_success or _is_reply(response, body):
            self._take(_with_id(body, ids))
        else:
            raise _BadStatus(response, body)

    async def _take_events(self, response: httpx2.Response, post: _Post | None) -> None:
        """Take in the events that answer a POST, items no faster than there is credit."""
        items = 0
        async for event in read_events(response, self._receive_bytes):
            if post is not None and _read(event.data)[0].method == "rpc.item":
                await post.wait_for_credit(items)
                items += 1
            self._take(event.data)

    async def _body(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > self._receive_bytes:
                raise httpx2.ReadError(f"an answer of more than {self._receive_bytes} bytes")
        return bytes(body)

    async def _listen(self) -> None:
        """Take in events, and subscribe again when they end, until that fails for too long."""
        try:
            async for event in self._events.listen(self._receive_bytes):
                self._take(event.data)
        except _FAILED as error:
            self._break(error)

    def _take(self, *messages: bytes) -> None:
        self._received.extend(messages)
        self._wake()

    def _break(self, error: Exception) -> None:
        if not self._closed:
            logger.info("%s: %s", self._place, _reason(error))
        self._broken = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _wait(self) -> None:
        await anyio.lowlevel.checkpoint()
        while not self._received:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._broken:
                raise anyio.BrokenResourceError
            if self._at_end and not self._posts:
                raise anyio.EndOfStream
            await self._news.wait()


def _read(message: bytes) -> Sequence[_Envelope]:
    """What a message asks; nothing of what cannot be read."""
    try:
        found = _decode_envelope(message)
    except msgspec.DecodeError:
        return [_Envelope(id=Raw(b"null"))]  # the server says what it makes of it
    return (found or [_Envelope()]) if isinstance(found, list) else [found]


def _kind(response: httpx2.Response) -> str:
    kind: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind


def _is_reply(response: httpx2.Response, body: bytes) -> bool:
    """Whether a response with a bad status is a JSON-RPC error all the same."""
    if not _kind(response).endswith("json"):
        return False
    try:
        reply = _decode_reply(body)
    except msgspec.DecodeError:
        return False
    return not isinstance(reply.error, UnsetType)


def _with_id(body: bytes, ids: tuple[bytes, ...]) -> bytes:
    """An error whose id could not be read, as the answer to the one call that it belongs to."""
    if len(ids) != 1 or body[:1] != b"{":
        return body
    try:
        reply = _decode_reply(body)
    except msgspec.DecodeError:
        return body
    if isinstance(reply.error, UnsetType) or bytes(reply.id or b"null") != b"null":
        return body
    reply.id = Raw(ids[0])
    return _encode(reply)


def _error_of(response: httpx2.Response, body: bytes) -> RpcError:
    """The error that a bad status stands for."""
    status = f"HTTP {response.status_code} {response.reason_phrase}".strip()
    if response.is_success:
        return rpc_error(-32000, f"{status}, and no answer to the call")
    data: dict[str, object] = {"status": response.status_code}
    if text := body[:_SHOWN].decode("utf-8", "replace").strip():
        data["body"] = text
    after = response.headers.get("retry-after", "")
    if after.isdigit():
        data["retry_after"] = float(after)
    return rpc_error(_CODES.get(response.status_code, -32000), status, data)


def _failure(id: bytes, error: RpcError) -> bytes:
    members = {"code": error.code, "message": error.message, "data": error.data}
    return _encode({"id": Raw(id), "error": members})


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
