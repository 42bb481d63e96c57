"""The calling end of HTTP as a channel: a POST for each message, events for what is pushed.

Requests go out at once, each in a POST of its own, so that a slow call holds up no other one;
notifications are waited for, so that what is sent after one arrives after it. A POST that ends
ends what it carried: an answer with a status that is no reply, or that leaves a call out, becomes
an error response to that call, and a connection that fails costs what went over it. Only when
nobody answers any more the channel ends.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import final

import anyio
import anyio.lowlevel
import httpx2
from anyio.abc import TaskGroup
from msgspec import UnsetType

from ...channel.changes import Change
from ...channel.contract import TellFailed
from ...channel.info import ChannelInfo
from ...errors import ChannelClosed, RpcError, ServerError
from ...protocol.about import about
from ...protocol.codec.codec import DECODE_ERRORS
from ...protocol.items import FIRST_CREDIT
from ..batched import BatchedChannel
from ..sockets.tls import reason
from .http_events import EventParser, Events, read_events
from .http_replies import (
    EVENT_STREAM,
    Answer,
    BadStatus,
    Envelope,
    answers_in,
    decode_target,
    failure_of,
    is_reply,
    kind_of,
    read_envelopes,
    requests_in,
    stripped,
    unpacked,
)

logger = logging.getLogger("jsonrpc_iot.transports")

_WAITING_BYTES = 1 << 20  # over it no more events are read
_CLOSE_SECONDS = 0.5
HEADERS = {
    "content-type": "application/json",
    "accept": f"application/json, {EVENT_STREAM}",
}

# A connection that failed; whether the server got the request is unknown.
FAILED = (httpx2.RequestError, httpx2.StreamError, OSError, anyio.BrokenResourceError)
UNREACHABLE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)


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


@final
class HttpChannel(BatchedChannel):
    """The calling end of HTTP.

    Args:
        client: makes the requests; the channel closes it.
        place: where they go.
        events: the subscription, open if the server has events.
        info: the facts about the channel.
        receive_bytes: of the largest answer.
        check: raises one of `DECODE_ERRORS` where a body is no message for whoever takes it.

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
        check: Callable[[bytes], object],
    ) -> None:
        super().__init__()
        self._info = info
        self._client = client
        self._place = place
        self._events = events
        self._receive_bytes = receive_bytes
        self._check = check
        self._tasks: TaskGroup | None = None
        self._listening = anyio.CancelScope()
        self._posts: dict[bytes, _Post] = {}  # by the request's id
        self._messages: dict[bytes, tuple[bytes, ...]] = {}  # their ids
        self._received: list[bytes] = []
        self._received_bytes = 0
        self._news = Change()
        self._room = Change()
        self._tell_failed: TellFailed | None = None
        self._broken = False
        self._closed = False
        self._at_end = False
        self.refused = 0

    def start(self, tasks: TaskGroup) -> None:
        """Begin to listen for events; see `Channel.start`."""
        self._tasks = tasks
        if self._events.is_open:
            tasks.start_soon(self._listen)

    def tell_failed(self, tell: TellFailed) -> None:
        """Tell of calls whose connection failed; without it such a one ends the channel."""
        self._tell_failed = tell

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
        requests = requests_in(item, envelopes)
        if requests:
            self._tasks.start_soon(self._call, item, requests)
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

    async def _call(self, message: bytes, requests: Mapping[bytes, bytes]) -> None:
        """Make a POST and take in what answers it."""
        with anyio.CancelScope() as scope:
            if self._closed:
                return
            post = _Post(scope)
            self._posts.update(dict.fromkeys(requests, post))
            self._messages[message] = tuple(requests)
            try:
                await self._post(message, requests, post)
            except Exception as error:  # noqa: BLE001  # whatever a server sends is this call's own
                self._fail(requests, error)
            finally:
                self._messages.pop(message, None)
                for id in requests:
                    if self._posts.get(id) is post:
                        del self._posts[id]
                self._news.notify()

    async def _notify(self, message: bytes) -> None:
        try:
            await self._post(message, {}, None)
        except BadStatus as failure:
            self.refused += 1
            logger.warning(
                "%s: a notification was refused: %s",
                self._place,
                failure.error,
                extra=about(self._place),
            )
        except UNREACHABLE as error:
            self._break(error)
            raise anyio.BrokenResourceError from error
        except Exception as error:  # noqa: BLE001  # whatever a server sends is its own affair
            self.refused += 1
            logger.warning(
                "%s: a notification may be lost: %s",
                self._place,
                reason(error),
                extra=about(self._place),
            )

    def _fail(self, requests: Mapping[bytes, bytes], error: Exception) -> None:
        """Fail calls that are not answered."""
        tell = self._tell_failed
        if isinstance(error, UNREACHABLE) or (isinstance(error, FAILED) and tell is None):
            self._break(error)
            return
        failure = error.error if isinstance(error, BadStatus) else _unreadable(error)
        for id, request in requests.items():
            if tell is None:
                self._arrive(failure_of(id, failure))
            elif isinstance(error, FAILED):
                why = f"{self._place}: {reason(error)}; outcome unknown"
                tell(request, ChannelClosed(why))
            else:
                tell(request, failure)

    async def _post(
        self, message: bytes, requests: Mapping[bytes, bytes], post: _Post | None
    ) -> None:
        request = self._client.build_request("POST", self._place, content=message, headers=HEADERS)
        response = await self._client.send(request, stream=True)
        try:
            if kind_of(response) == EVENT_STREAM and response.status_code == 200:
                await self._take_events(response, requests, post)
                return
            body = stripped(await self._body(response))
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        if not body and response.is_success and not requests:
            return
        found = (
            answers_in(body, self._check)
            if response.is_success or is_reply(response, body)
            else None
        )
        if found is None:
            raise BadStatus(response, body)
        answered, nameless = found
        if answered or nameless is None or not requests:
            self._arrive(body)
        self._end(requests, answered, nameless or BadStatus(response, body))

    def _end(
        self, requests: Mapping[bytes, bytes], answered: Collection[bytes], why: Answer | BadStatus
    ) -> None:
        """Fail what a POST carried and its answer leaves out."""
        left = {id: each for id, each in requests.items() if id not in answered}
        if isinstance(why, Answer):
            self._arrive(*map(why.to, left))
        else:
            self._fail(left, why)

    async def _take_events(
        self, response: httpx2.Response, requests: Mapping[bytes, bytes], post: _Post | None
    ) -> None:
        """Take in the events that answer a POST, items no faster than there is credit."""
        items = 0
        answered: set[bytes] = set()
        nameless: Answer | None = None
        async for event in read_events(response, EventParser(self._receive_bytes)):
            head = read_envelopes(event.data)[0]
            if post is not None and head.method == "rpc.item":
                await post.wait_for_credit(items)
                items += 1
            elif (found := answers_in(event.data, self._check)) is not None:
                answered |= found[0]
                nameless = nameless or found[1]
            await self._wait_for_room()
            self._arrive(event.data)
        self._end(requests, answered, nameless or BadStatus(response, b""))

    async def _body(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async with aclosing(unpacked(response)) as parts:
            async for part in parts:
                body += part
                if len(body) > self._receive_bytes:
                    raise httpx2.ReadError(f"an answer of more than {self._receive_bytes} bytes")
        return bytes(body)

    async def _listen(self) -> None:
        """Take in events, and subscribe again when they end, until that fails for too long."""
        with self._listening:
            try:
                async for event in self._events.listen(self._receive_bytes):
                    await self._wait_for_room()
                    self._arrive(event.data)
            except Exception as error:  # noqa: BLE001  # whatever a server sends ends no program
                self._break(error)

    async def _wait_for_room(self) -> None:
        while self._received_bytes > _WAITING_BYTES:
            await self._room.wait()

    def _arrive(self, *messages: bytes) -> None:
        self._received.extend(messages)
        self._received_bytes += sum(map(len, messages))
        self._news.notify()

    def _break(self, error: Exception) -> None:
        if not self._closed:
            logger.info("%s: %s", self._place, reason(error), extra=about(self._place))
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
        self._received_bytes = 0
        self._room.notify()
        return messages


def _unreadable(error: Exception) -> RpcError:
    return ServerError(f"the answer makes no sense: {type(error).__name__}")
