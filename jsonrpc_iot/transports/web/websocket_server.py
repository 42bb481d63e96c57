"""The serving end of a WebSocket, on any ASGI server."""

import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ...channel.contract import Serve, Take
from ...channel.info import ChannelInfo
from ...channel.refusing import place_at
from ...channel.url import host_port
from ...channel.web import (
    AsgiReceive,
    AsgiSend,
    Scope,
    WebRules,
    deny_websocket,
    refuse_websocket,
    request_attributes,
    token_of,
)
from ...errors import FramingError, TooLarge
from ...protocol.about import about
from ...protocol.limits import Limits
from ...protocol.messages import CodecName
from ...trust import audit
from ..batched import BatchedChannel
from .closing import ABORT, ARRIVED, DIRECT, SUBPROTOCOLS, closing, ending

logger = logging.getLogger("jsonrpc_iot.transports")

_CLOSE_SECONDS = 1.0
_REASON_BYTES = 123  # what a close frame holds (RFC 6455, section 5.5)


async def answer_websocket(
    scope: Scope,
    receive: AsgiReceive,
    send: AsgiSend,
    handler: Serve,
    tasks: TaskGroup,
    rules: WebRules,
    limits: Limits,
    codec: CodecName = "json",
) -> None:
    """Serve a WebSocket until it ends, or refuse it.

    It is accepted at once, or as `asks_first` says; then the answer to a refusal is 401. Of the
    subprotocols that are offered one of ours is chosen; a
    bearer token may be another, which is never said again.

    Args:
        scope: of its request.
        receive: gives its events.
        send: takes them.
        handler: is run with the channel; it may also hand the channel on and return.
        tasks: runs the handler.
        rules: say who may connect.
        limits: of which `receive_bytes` is used here, where the ASGI server has no limit.
        codec: how the messages are written.
    """
    token = token_of(scope)
    if not rules.admits(token):
        if token is not None:
            where = _address(scope, "client")
            audit.refused_proof(where, "token", "it is not the server's")
            await rules.refuser.wait(place_at(where))
        await refuse_websocket(scope, receive, send, 401, "A bearer token is needed")
    elif problem := rules.objection(scope):
        await refuse_websocket(scope, receive, send, 403, problem)
    else:
        await receive()  # the request, of which the scope has told all
        info = ChannelInfo(
            transport=scope["scheme"],
            local=_address(scope, "server", scope["path"]),
            peer=_address(scope, "client"),
            max_message=rules.max_message,
            codec=codec,
        )
        attributes = request_attributes(scope, token, rules)
        channel = WebSocketChannel(scope, receive, send, info, limits, attributes)
        if not getattr(handler, "_asks_first", False):
            await channel.open()
        tasks.start_soon(_serve, handler, channel)
        try:
            await channel.wait_closed()
            if not channel.is_answered and channel.why is not None:
                await deny_websocket(scope, send, 401, channel.why)
        finally:
            channel.abort()


async def _serve(handler: Serve, channel: "WebSocketChannel") -> None:
    try:
        await handler(channel)
    except Exception as error:  # noqa: BLE001  # one connection's failure is its own
        logger.info(
            "%s: a connection failed: %r", channel.info.peer, error, extra=about(channel.info.peer)
        )
        await anyio.aclose_forcefully(channel)


def _address(scope: Scope, end: str, path: str = "") -> str:
    """One end's address; a server on a Unix socket knows none of its clients."""
    address = scope.get(end)
    where = host_port(*address) if address and address[1] is not None else "unknown"
    return f"{scope['scheme']}://{where}{path}"


class WebSocketChannel(BatchedChannel):
    """A WebSocket of an ASGI server, which is accepted once somebody sends or receives.

    Args:
        scope: of its request.
        receive: gives its events.
        send: takes them.
        info: the facts about the channel.
        limits: of which `receive_bytes` is used here.
        attributes: what `extra` tells.

    Attributes:
        is_answered: whether the other end has been told that it is accepted.
        why: the reason for which this end is going to close.
    """

    def __init__(
        self,
        scope: Scope,
        receive: AsgiReceive,
        send: AsgiSend,
        info: ChannelInfo,
        limits: Limits,
        attributes: Mapping[Any, Callable[[], Any]],
    ) -> None:
        super().__init__()
        self._info = info
        self._scope = scope
        self._asgi_receive = receive
        self._asgi_send = send
        self._limit = max(limits.receive_bytes, info.max_message or 0)
        self._attributes = attributes
        self._is_binary = info.codec == "msgpack"
        self._closed = anyio.Event()
        self._sending = False
        self._sent = 0
        self._end: tuple[int, str] | None = None
        self._answered = anyio.Event()
        self._is_open = False
        self.is_answered = False
        self.why: str | None = None
        arrived = scope.get("extensions", {}).get(ARRIVED)
        self._arrived: Callable[[], int] = arrived["count"] if arrived else int
        self._direct: Mapping[str, Callable[..., Any]] = scope.get("extensions", {}).get(DIRECT, {})
        self._read_ahead: MutableMapping[str, Any] | None = None

    @property
    def pieces_sent(self) -> int:
        """See `Channel.pieces_sent`."""
        return self._sent

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """What is known of the request that opened the channel."""
        return self._attributes

    def offer_to(self, take: Take) -> None:
        """See `Channel.offer_to`."""
        if self._direct:
            self._direct["offer_to"](partial(self._offer, take))

    def _offer(self, take: Take, message: bytes, is_text: bool) -> bool:
        is_fit = is_text != self._is_binary and len(message) <= self._limit
        return is_fit and not self._closed.is_set() and take((message,))

    async def _next_batch(self) -> list[bytes]:
        if self._closed.is_set():
            raise anyio.ClosedResourceError
        if self._end is not None:
            raise self._ending(*self._end)
        if not self._is_open:
            await self.open()
        event = self._read_ahead or await self._asgi_receive()
        self._read_ahead = None
        messages: list[bytes] = []
        while (message := self._message_in(event)) is not None:
            messages.append(message)
            if not self._arrived():
                return messages
            event = await self._asgi_receive()
        if messages:
            self._read_ahead = event
            return messages
        raise await self._failure_in(event)

    def _message_in(self, event: MutableMapping[str, Any]) -> bytes | None:
        """The message that an event brings, `None` if it brings none that is taken."""
        if event["type"] != "websocket.receive":
            return None
        text: str | None = event.get("text")
        if (text is None) != self._is_binary:
            return None
        message: bytes = event["bytes"] if text is None else text.encode(errors="surrogateescape")
        return message if len(message) <= self._limit else None

    async def _failure_in(self, event: MutableMapping[str, Any]) -> Exception:
        """What whoever receives gets for an event that brings no such message."""
        if event["type"] != "websocket.receive":
            self._end = event.get("code", 1006), event.get("reason") or ""
            if event.get("violation") and self._end[0] == 1009:
                return FramingError(TooLarge(data={"limit": self._limit}))
            return self._ending(*self._end)
        if (event.get("text") is None) != self._is_binary:
            kind = "binary" if self._is_binary else "text"
            return await self._refuse(1003, f"send {kind} frames")
        return await self._refuse(1009, f"more than {self._limit} bytes")

    def send_now(self, messages: Sequence[bytes]) -> int:
        """See `Channel.send_now`."""
        if not self._direct or self._sending or not self._is_open:
            return 0
        self._check_open()
        for sent, message in enumerate(messages):
            try:
                if not self._direct["send_now"](self._event_of(message)):
                    return sent
            except Exception as error:
                raise self._failure() from error
            self._sent += 1
        return len(messages)

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        self._check_open()
        if not self._is_open:
            await self.open()
        self._sending = True
        try:
            await self._asgi_send(self._event_of(item))
            self._sent += 1
        except Exception as error:
            raise self._failure() from error
        finally:
            self._sending = False

    async def open(self) -> None:
        """Accept the WebSocket, whoever is the first to need that."""
        offered = self._scope.get("subprotocols", ())
        chosen = next((each for each in SUBPROTOCOLS if each in offered), None)
        if self.is_answered:
            await self._answered.wait()
            return
        self.is_answered = True
        try:
            await self._asgi_send({"type": "websocket.accept", "subprotocol": chosen})
            self._is_open = True
        except Exception as error:
            raise self._failure() from error
        finally:
            self._answered.set()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise anyio.ClosedResourceError
        if self._end is not None:
            raise anyio.BrokenResourceError(closing(*self._end))

    def _event_of(self, message: bytes) -> dict[str, Any]:
        if self._is_binary:
            return {"type": "websocket.send", "bytes": message}
        return {"type": "websocket.send", "text": message.decode()}

    def _failure(self) -> Exception:
        """What whoever sends gets; each ASGI server has its own way to say that nobody is there."""
        is_ours = self._closed.is_set()
        return anyio.ClosedResourceError() if is_ours else anyio.BrokenResourceError()

    def tell_why(self, reason: str) -> None:
        """See `Channel.tell_why`."""
        self.why = reason

    async def aclose(self) -> None:
        """Say goodbye and close; a peer that does not read is cut off."""
        if self.why is None:
            await self._close(1000)
        else:
            await self._close(1008, self.why.encode()[:_REASON_BYTES].decode(errors="ignore"))

    async def wait_closed(self) -> None:
        """Wait until this end has closed the channel."""
        await self._closed.wait()

    def abort(self) -> None:
        """Close at once."""
        self._closed.set()
        self._end = self._end or (1006, "")
        cut_off = self._scope.get("extensions", {}).get(ABORT)
        if cut_off is not None:
            cut_off["stalled"]()

    async def _close(self, code: int, reason: str = "") -> None:
        if self._closed.is_set():
            return
        if not self.is_answered and self.why is not None:  # whoever took the request says no
            self._closed.set()
            return
        said = False
        try:
            if self._end is None and not self._sending:
                with anyio.move_on_after(_CLOSE_SECONDS):
                    try:
                        if not self.is_answered:
                            await self.open()
                        await self._asgi_send(
                            {"type": "websocket.close", "code": code, "reason": reason}
                        )
                    except Exception as error:  # noqa: BLE001  # there is nobody to tell
                        logger.debug(
                            "%s: closing failed: %r",
                            self._info.peer,
                            error,
                            extra=about(self._info.peer),
                        )
                    said = True
        finally:
            self._closed.set()
            if not said:
                self.abort()

    async def _refuse(self, code: int, reason: str) -> anyio.BrokenResourceError:
        """Close, since the other end has broken a rule; returns what whoever receives gets."""
        logger.info(
            "%s: refused a message: %s", self._info.peer, reason, extra=about(self._info.peer)
        )
        await self._close(code, reason)
        self._end = code, reason
        return anyio.BrokenResourceError(closing(code, reason))

    def _ending(self, code: int, reason: str) -> Exception:
        if self._closed.is_set():
            return anyio.ClosedResourceError()
        return ending(code, reason)
