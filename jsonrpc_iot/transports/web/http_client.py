"""The calling end of HTTP as a channel: a POST for each message, events for what is pushed.

Requests go out at once, each in a POST of its own, so that a slow call holds up no other one;
notifications are waited for, so that what is sent after one arrives after it. A POST whose
connection fails ends the channel, as on other transports. An answer with a status that is no
reply becomes an error response to the call.
"""

import logging
import ssl
from collections.abc import Sequence
from typing import final
from urllib.parse import quote

import anyio
import anyio.lowlevel
import httpx2
from anyio.abc import TaskGroup
from msgspec import UnsetType

from ...channel.changes import Change
from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...channel.url import Url, host_port
from ...errors import ConnectFailed
from ...protocol.codec.codec import DECODE_ERRORS
from ...protocol.items import FIRST_CREDIT
from ...protocol.limits import Limits
from ..batched import BatchedChannel
from .http_events import Events, read_events
from .http_replies import (
    EVENT_STREAM,
    BadStatus,
    Envelope,
    decode_target,
    failure_of,
    is_readable,
    is_reply,
    kind_of,
    read_envelopes,
    with_id,
)
from .options import HttpOptions, host_and_port

logger = logging.getLogger("jsonrpc_iot.transports")

_RECEIVE_BYTES = 16 << 20
_CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 30.0
_KEEP_SECONDS = 3.0  # shorter than any server's
_CLOSE_SECONDS = 0.5
_HEADERS = {
    "content-type": "application/json",
    "accept": f"application/json, {EVENT_STREAM}",
}
_PING = b'{"jsonrpc":"2.0","id":0,"method":"rpc.ping"}'

# A connection that failed; whether the server got the request is unknown.
_FAILED = (httpx2.RequestError, httpx2.StreamError, OSError, anyio.BrokenResourceError)


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
        self.news = Change()

    def grant(self, upto: int) -> None:
        """Take credit."""
        self.upto = max(self.upto, upto)
        self.news.notify()

    async def wait_for_credit(self, count: int) -> None:
        """Wait until one more than that many items may be taken in."""
        while count >= self.upto:
            await self.news.wait()


async def open_channel(
    url: Url,
    limits: Limits,
    options: HttpOptions,
    token: str | None,
    context: ssl.SSLContext | None,
) -> Channel:
    """Reach a server, and subscribe to its events where it has such.

    Args:
        url: where.
        limits: of which `in_flight` and `receive_bytes` are used here.
        options: of the URL.
        token: is sent as a bearer token.
        context: for TLS.

    Raises:
        ConnectFailed: nobody answers there, nothing is at the path, or the token is refused.
        InvalidUrl: the URL has no host.
    """
    place = f"{url.scheme}://{host_port(*host_and_port(url))}{quote(url.path) or '/'}"
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
        if status == 404 and not await _takes_posts(client, place):
            raise ConnectFailed(f"{url}: HTTP 404, nothing is served at this path")
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
        max_message=options.max,
    )
    receive_bytes = max(limits.receive_bytes, _RECEIVE_BYTES)
    return HttpChannel(client, place, events, info, receive_bytes)


async def _takes_posts(client: httpx2.AsyncClient, place: str) -> bool:
    """Whether anything is at a path whose GET gives 404, as it does where only POST is routed."""
    response = await client.post(place, content=_PING, headers=_HEADERS)
    return response.status_code != 404 or is_reply(response, response.content)


@final
class HttpChannel(BatchedChannel):
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
        super().__init__()
        self._info = info
        self._client = client
        self._place = place
        self._events = events
        self._receive_bytes = receive_bytes
        self._tasks: TaskGroup | None = None
        self._listening = anyio.CancelScope()
        self._posts: dict[bytes, _Post] = {}  # by the request's id
        self._messages: dict[bytes, tuple[bytes, ...]] = {}  # their ids
        self._received: list[bytes] = []
        self._news = Change()
        self._broken = False
        self._closed = False
        self._at_end = False
        self.refused = 0

    def start(self, tasks: TaskGroup) -> None:
        """Begin to listen for events; see `Channel.start`."""
        self._tasks = tasks
        if self._events.is_open:
            tasks.start_soon(self._listen)

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
        envelopes = read_envelopes(item)
        if any(each.is_answer for each in envelopes):
            return  # to what the server cannot have asked: an error for what it sent
        ids = tuple(bytes(each.id) for each in envelopes if not isinstance(each.id, UnsetType))
        if ids:
            self._tasks.start_soon(self._call, item, ids)
        elif not self._handle_here(envelopes):
            await self._notify(item)

    async def send_eof(self) -> None:
        """Send no more; the channel ends when all answers are here."""
        self._at_end = True
        self._news.notify()

    def forget(self, message: bytes) -> None:
        """Hang up on a call for which nobody waits any more; the server cancels it."""
        for id in self._messages.pop(message, ()):
            if (post := self._posts.get(id)) is not None:
                post.scope.cancel()

    async def aclose(self) -> None:
        """End all requests and close the connections."""
        self._closed = True
        self._listening.cancel()
        for post in tuple(self._posts.values()):
            post.scope.cancel()
        self._news.notify()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._events.aclose()
            await self._client.aclose()
        await anyio.lowlevel.checkpoint()

    def _handle_here(self, envelopes: Sequence[Envelope]) -> bool:
        """Do what a notification to the server asks for, where HTTP has a way of its own."""
        if len(envelopes) != 1:
            return False
        (one,) = envelopes
        if one.method not in ("rpc.cancel", "rpc.more") or isinstance(one.params, UnsetType):
            return False
        try:
            target = decode_target(one.params)
        except DECODE_ERRORS:  # whoever wrote it may say what is wrong with it
            return False
        post = self._posts.get(bytes(target.id))
        if post is not None and one.method == "rpc.more":
            post.grant(target.upto)
        elif post is not None:
            post.scope.cancel()
        return True

    async def _call(self, message: bytes, ids: tuple[bytes, ...]) -> None:
        """Make a POST and take in what answers it."""
        with anyio.CancelScope() as scope:
            if self._closed:
                return
            post = _Post(scope)
            self._posts.update(dict.fromkeys(ids, post))
            self._messages[message] = ids
            try:
                await self._post(message, ids, post)
            except BadStatus as failure:
                self._arrive(*(failure_of(id, failure.error) for id in ids))
            except _FAILED as error:
                self._break(error)
            finally:
                self._messages.pop(message, None)
                for id in ids:
                    if self._posts.get(id) is post:
                        del self._posts[id]
                self._news.notify()

    async def _notify(self, message: bytes) -> None:
        try:
            await self._post(message, (), None)
        except BadStatus as failure:
            self.refused += 1
            logger.warning("%s: a notification was refused: %s", self._place, failure.error)
        except _FAILED as error:
            self._break(error)
            raise anyio.BrokenResourceError from error

    async def _post(self, message: bytes, ids: tuple[bytes, ...], post: _Post | None) -> None:
        request = self._client.build_request("POST", self._place, content=message, headers=_HEADERS)
        response = await self._client.send(request, stream=True)
        try:
            if kind_of(response) == EVENT_STREAM and response.status_code == 200:
                await self._take_events(response, post)
                return
            body = await self._body(response)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        if not body and response.is_success:
            if ids:
                raise BadStatus(response, body)
            return
        if is_readable(body) if response.is_success else is_reply(response, body):
            self._arrive(with_id(body, ids))
        else:
            raise BadStatus(response, body)

    async def _take_events(self, response: httpx2.Response, post: _Post | None) -> None:
        """Take in the events that answer a POST, items no faster than there is credit."""
        items = 0
        is_answered = False
        async for event in read_events(response, self._receive_bytes):
            head = read_envelopes(event.data)[0]
            if post is not None and head.method == "rpc.item":
                await post.wait_for_credit(items)
                items += 1
            is_answered = is_answered or head.is_answer
            self._arrive(event.data)
        if not is_answered:
            raise BadStatus(response, b"")

    async def _body(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > self._receive_bytes:
                raise httpx2.ReadError(f"an answer of more than {self._receive_bytes} bytes")
        return bytes(body)

    async def _listen(self) -> None:
        """Take in events, and subscribe again when they end, until that fails for too long."""
        with self._listening:
            try:
                async for event in self._events.listen(self._receive_bytes):
                    self._arrive(event.data)
            except _FAILED as error:
                self._break(error)

    def _arrive(self, *messages: bytes) -> None:
        self._received.extend(messages)
        self._news.notify()

    def _break(self, error: Exception) -> None:
        if not self._closed:
            logger.info("%s: %s", self._place, _reason(error))
        self._broken = True
        self._news.notify()

    async def _next_batch(self) -> list[bytes]:
        await anyio.lowlevel.checkpoint()
        while not self._received:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._broken:
                raise anyio.BrokenResourceError
            if self._at_end and not self._posts:
                raise anyio.EndOfStream
            await self._news.wait()
        messages, self._received = self._received, []
        return messages


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
