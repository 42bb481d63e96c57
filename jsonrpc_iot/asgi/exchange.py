"""One POST: a message in, its answer out, whole or item by item."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
from msgspec import Struct
from msgspec.json import Decoder

from ..channel.changes import Change
from ..channel.tasks import task_group
from ..channel.web import AsgiReceive, AsgiSend, Scope
from ..dispatch.declare.context import Timeout
from ..dispatch.response import ReplyTo
from ..dispatch.run.batch import Pending, run_all
from ..dispatch.run.call import PendingCall
from ..dispatch.run.context import Connection
from ..dispatch.run.item_sender import ItemSender
from ..errors import Busy, RpcError, TransportError
from ..protocol.codec.codec import DECODE_ERRORS, Codec
from ..protocol.limits import Limits
from ..protocol.messages import Id
from ._http import (
    KEEP_ALIVE,
    KEEP_ALIVE_SECONDS,
    Disconnected,
    begin_events,
    end_events,
    send_events,
    wait_for_disconnect,
)
from .requester import Requester, RequestFacts, Stays

_BUSY = Busy(data={"retry_after": 1.0})
_ROOM_BYTES = 1 << 16
_SMALL_BODY = 1 << 15
_INVALID = (-32700, -32600)


class _Error(Struct):
    code: int


class _Failure(Struct):
    error: _Error


_decode_failure = Decoder(_Failure).decode


def status_of(reply: bytes) -> int:
    """The HTTP status of a reply: 400 where a single message could not be understood."""
    if b":-32700" not in reply and b":-32600" not in reply:
        return 200
    try:
        return 400 if _decode_failure(reply).error.code in _INVALID else 200
    except DECODE_ERRORS:  # a result or a batch, with such a number in it
        return 200


class Items(Connection):
    """The way for the items of streamed results: server-sent events, as fast as they are read.

    Args:
        codec: writes the items.
        show: is shown each message that leaves this way.
    """

    def __init__(self, codec: Codec, show: Callable[[bytes], object]) -> None:
        self._codec = codec
        self._show = show
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._news = Change()
        self._room = Change()

    async def wait_for_room(self) -> None:
        """Wait until not too much waits."""
        while self._bytes > _ROOM_BYTES:
            await self._room.wait()

    def push(self, *messages: bytes) -> None:
        """Send messages."""
        for message in messages:
            self._show(message)
            self._waiting.append(b"data: %s\n\n" % message)
            self._bytes += len(message)
        self._news.notify()

    def offer(self, message: bytes) -> bool:
        """Send a message unless too much waits already."""
        if self._bytes > _ROOM_BYTES:
            return False
        self.push(message)
        return True

    async def take(self) -> bytes:
        """Wait for a chunk of events, a comment if none come for a while."""
        if not self._waiting:
            with anyio.move_on_after(KEEP_ALIVE_SECONDS):
                await self._news.wait()
        if not self._waiting:
            return KEEP_ALIVE
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self._room.notify()
        return chunk

    @property
    def is_empty(self) -> bool:
        """Whether all has been taken."""
        return not self._waiting

    async def _call(
        self, method: str, params: Any, result: Any, timeout: Timeout, idempotent: bool
    ) -> Any:
        raise TransportError("HTTP has no way to call a client")

    async def notify(self, method: str, params: Any = None) -> None:
        """Fail: HTTP has no way to notify one client."""
        raise TransportError("HTTP has no way to notify the client of a request")

    def cancel(self, id: Id) -> None:
        """Do nothing: a client that hangs up cancels its call."""

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Do nothing: a client takes items as fast as it reads."""

    def open_items(self, to: ReplyTo) -> ItemSender:
        """What sends the items of a result."""
        sender = ItemSender(to, self._codec, self, None, None)
        sender.grant(sys.maxsize)
        return sender


class Running:
    """The calls of one POST that take time, in a `with` block.

    Args:
        begun: the calls.
        caller: for whom they run.
        limits: of which `in_flight` is used here.

    Attributes:
        calls: those that there was room for.
        is_cancelled: `cancel` was called.
    """

    def __init__(self, begun: Pending, caller: Requester, limits: Limits) -> None:
        room = max(0, limits.in_flight - caller.running)
        self._begun = begun
        self.calls, self._turned_away = begun.calls[:room], begun.calls[room:]
        self._caller = caller
        self.is_cancelled = False

    def expel(self, error: RpcError) -> None:
        """Stop all, and answer them with an error: who called may not stay."""
        for pending in self.calls:
            pending.cancel(error)

    def cancel(self) -> None:
        """Stop all, also those that have not begun: nobody waits for the reply."""
        self.is_cancelled = True
        for pending in self.calls:
            pending.cancel()

    def __enter__(self) -> "Running":
        self._caller.running += len(self.calls)
        return self

    def __exit__(self, *failure: object) -> None:
        self._caller.running -= len(self.calls)
        for pending in self.calls:
            pending.leave()

    @property
    def streams(self) -> bool:
        """Whether a result goes item by item."""
        return any(pending.items is not None for pending in self.calls)

    async def run(self) -> bytes | None:
        """Run all, as many as may run at once; returns the reply."""
        reply: bytes | None = None
        for pending in self._turned_away:
            reply = self._begun.finish(pending, pending.refuse(_BUSY))
        return await run_all(self._begun, self.calls) if self.calls else reply


class Callers:
    """Those for whom something runs.

    Args:
        limits: as in `Running`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requesters: dict[str, Requester] = {}
        self._running: dict[Running, RequestFacts] = {}

    def expel(self, error: RpcError, stays: Stays) -> None:
        """Answer the calls of those who may not stay with an error."""
        for running, facts in tuple(self._running.items()):
            if not stays(facts.info.peer, facts.standing):
                running.expel(error)

    @property
    def calls(self) -> Iterator[PendingCall]:
        """The calls that run."""
        return (call for running in tuple(self._running) for call in running.calls)

    def of(self, share: str) -> Requester:
        """Who sends a request, by what all its requests share."""
        return self._requesters.get(share) or Requester(share)

    @contextmanager
    def running(self, begun: Pending, caller: Requester, facts: RequestFacts) -> Iterator[Running]:
        """The calls of a request, counted among those of its sender while the block runs."""
        self._requesters[caller.share] = caller
        try:
            with Running(begun, caller, self._limits) as running:
                self._running[running] = facts
                yield running
        finally:
            self._running.pop(running, None)
            if not caller.running:
                self._requesters.pop(caller.share, None)


async def run_to_end(
    running: Running, scope: Scope, receive: AsgiReceive, size: int
) -> bytes | None:
    """Run calls, and cancel them when the client goes away.

    Args:
        running: the calls.
        scope: the request's.
        receive: tells when the client is gone.
        size: bytes of the body.

    Raises:
        Disconnected: it did.
    """
    reply: bytes | None = None
    finished = False
    connection = scope.get("state", {}).get("jsonrpc_iot")
    # A connection of our own listener tells by itself, which saves a task, unless a big body made
    # uvicorn pause reading.
    if connection is not None and size <= _SMALL_BODY:
        connection.on_lost.add(running.cancel)
        try:
            reply = await running.run()
        finally:
            connection.on_lost.discard(running.cancel)
        if running.is_cancelled:
            raise Disconnected
        return reply
    async with task_group() as tasks:
        tasks.start_soon(wait_for_disconnect, receive, tasks.cancel_scope)
        reply = await running.run()
        finished = True
        tasks.cancel_scope.cancel()
    if not finished:
        raise Disconnected
    return reply


async def run_in_events(
    running: Running,
    items: Items,
    scope: Scope,
    receive: AsgiReceive,
    send: AsgiSend,
    send_seconds: float,
) -> None:
    """Run calls and send what they yield as events, the reply as the last one.

    Args:
        running: the calls.
        items: the way that their items take.
        scope: the request's.
        receive: tells when the client is gone.
        send: takes the response.
        send_seconds: how long the client may take nothing.

    Raises:
        Disconnected: the client went away, or took longer.
    """
    await begin_events(send)
    over = False

    async def run() -> None:
        nonlocal over
        reply = await running.run()
        over = True
        items.push(*filter(None, (reply,)))

    async with task_group() as tasks:
        tasks.start_soon(wait_for_disconnect, receive, tasks.cancel_scope)
        tasks.start_soon(run)
        while not (over and items.is_empty):
            await send_events(scope, send, await items.take(), send_seconds)
        await end_events(send)
        tasks.cancel_scope.cancel()
    if not over:
        raise Disconnected
