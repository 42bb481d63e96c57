"""Notifications as server-sent events: one log of the newest, which every subscriber reads.

A subscriber is a place in the log, so that a thousand of them need no more memory than one. Whoever
falls so far behind that events have left the log misses those, which a comment `: gap` tells and
`dropped` counts.

Source of the format: HTML Living Standard, section 9.2, "Server-sent events".
"""

import secrets
import threading
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

import anyio
import anyio.from_thread
import anyio.lowlevel

from ..channel.changes import Change
from ..channel.tasks import task_group
from ..channel.web import AsgiReceive, AsgiSend, Scope, client_network
from ..protocol.network import Seats
from ..protocol.patterns import Patterns
from ..trust.principal import Standing
from ._http import (
    KEEP_ALIVE,
    KEEP_ALIVE_SECONDS,
    Disconnected,
    Refusal,
    begin_events,
    end_events,
    send_events,
    wait_for_disconnect,
)
from .requester import Stays

GAP = b": gap\n\n"

_CHUNK_BYTES = 1 << 16


class Event(NamedTuple):
    """One notification as it is sent, its name, and the permission to hear it."""

    data: bytes
    method: str
    requires: str | None


class Hearing:
    """What one subscriber may and wants to hear.

    Args:
        standing: who it is; a stranger by default.
        patterns: the names that it wants; `None` for all.
        peer: where it is, for logs.

    Attributes:
        peer: as above.
        standing: as above.
    """

    __slots__ = ("_patterns", "peer", "standing")

    def __init__(
        self,
        standing: Standing | None = None,
        patterns: Patterns | None = None,
        peer: str = "somebody",
    ) -> None:
        self.peer = peer
        self.standing = standing or Standing()
        self._patterns = patterns

    def hears(self, method: str, requires: str | None) -> bool:
        """Whether an event is for it."""
        may_hear = self.standing.permits(requires)
        return may_hear and (self._patterns is None or self._patterns.match(method))


_ALL_OPEN = Hearing()


class EventLog:
    """The newest notifications, numbered, within bounds.

    Args:
        max_events: as many are kept.
        max_bytes: of all that are kept; the newest is kept whatever its size.
        max_subscribers: that read at once.

    Attributes:
        closed: no more will come.
        dropped: events that a subscriber did not get since it read too slowly, counted for each.
    """

    def __init__(self, max_events: int, max_bytes: int, max_subscribers: int = 10_000) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: dict[int, Event] = {}  # oldest first
        self._bytes = 0
        self._first = self._next = 1
        self._epoch = secrets.token_hex(4)  # the numbers of another run mean nothing here
        self._lock = threading.Lock()
        self._news = Change()
        self._loop: tuple[int, anyio.lowlevel.EventLoopToken] | None = None
        self.closed = False
        self._seats: Seats[anyio.CancelScope] = Seats(
            max_subscribers, lambda subscriber: subscriber.cancel()
        )
        self._hearings: dict[Hearing, anyio.CancelScope] = {}
        self.dropped = 0

    @property
    def subscribers(self) -> int:
        """How many read at the moment."""
        return len(self._hearings)

    @property
    def last_id(self) -> str:
        """The id of the newest event, or what stands for it before there is one."""
        return f"{self._epoch}-{self._next - 1}"

    def publish(self, message: bytes, method: str = "", requires: str | None = None) -> int:
        """Add a notification. Any thread may call it.

        Args:
            message: the notification.
            method: its name.
            requires: the permission to hear it.

        Returns:
            How many subscribers hear it.
        """
        with self._lock:
            event = b"id: %s-%d\ndata: %s\n\n" % (self._epoch.encode(), self._next, message)
            self._events[self._next] = Event(event, method, requires)
            self._next += 1
            self._bytes += len(event)
            while len(self._events) > self._max_events or (
                self._bytes > self._max_bytes and len(self._events) > 1
            ):
                self._bytes -= len(self._events.pop(self._first).data)
                self._first += 1
        self._wake()
        return sum(each.hears(method, requires) for each in tuple(self._hearings))

    def expel(self, stays: Stays) -> None:
        """Let those subscribers end that may not stay."""
        for hearing, place in tuple(self._hearings.items()):
            if not stays(hearing.peer, hearing.standing):
                place.cancel()

    def close(self) -> None:
        """Let all subscribers end, once they have read what there is."""
        self.closed = True
        self._wake()

    def place_after(self, event_id: str | None) -> tuple[int, bool]:
        """Where a subscriber begins to read.

        Args:
            event_id: of the last event that it has, `None` if it begins now.

        Returns:
            The number of its first event, and whether some before that are lost.
        """
        if event_id is None:
            return self._next, False
        epoch, _, number = event_id.rpartition("-")
        if epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 20:
            place = int(number) + 1
            if self._first <= place <= self._next:
                return place, False
        return self._first, True

    def read(self, place: int, hearing: Hearing = _ALL_OPEN) -> tuple[bytes, int]:
        """The events at a place that are for a subscriber.

        Returns:
            As many as make a good chunk, and the place after them. Where some are lost the chunk
            begins with a comment.
        """
        with self._lock:
            parts: list[bytes] = []
            size = 0
            if place < self._first:
                self.dropped += self._first - place
                place = self._first
                parts.append(GAP)
            while place < self._next and size < _CHUNK_BYTES:
                event = self._events[place]
                if hearing.hears(event.method, event.requires):
                    parts.append(event.data)
                    size += len(event.data)
                place += 1
        return b"".join(parts), place

    async def wait(self, place: int) -> None:
        """Wait until there is something at a place, or the log is closed."""
        while place >= self._next and not self.closed:
            await self._news.wait()

    async def serve(
        self,
        scope: Scope,
        receive: AsgiReceive,
        send: AsgiSend,
        event_id: str | None,
        send_seconds: float,
        hearing: Hearing | None = None,
    ) -> None:
        """Send the events to one subscriber until either end has enough.

        Args:
            scope: the request's.
            receive: tells when the client is gone.
            send: takes the response.
            event_id: the last one that the client has.
            send_seconds: how long the client may take nothing.
            hearing: what it may and wants to hear.

        Raises:
            Disconnected: it took longer.
            Refusal: there are too many.
        """
        hearing = hearing or Hearing()
        with anyio.CancelScope() as place:
            share = hearing.standing.share_of(client_network(scope))
            if not self._seats.take(place, share):
                raise Refusal(503, "Too many subscribers", [(b"connection", b"close")])
            self._hearings[hearing] = place
            try:
                await self._serve(scope, receive, send, event_id, send_seconds, hearing)
            finally:
                self._hearings.pop(hearing, None)
                self._seats.leave(place)
        if place.cancelled_caught:
            await end_events(send)

    async def _serve(
        self,
        scope: Scope,
        receive: AsgiReceive,
        send: AsgiSend,
        event_id: str | None,
        send_seconds: float,
        hearing: Hearing,
    ) -> None:
        self._loop = threading.get_ident(), anyio.lowlevel.current_token()
        place, has_gap = self.place_after(event_id)
        current = event_id if event_id is not None and not has_gap else self.last_id
        await begin_events(send, [(b"last-event-id", current.encode())])
        async with task_group() as tasks:
            tasks.start_soon(wait_for_disconnect, receive, tasks.cancel_scope)
            if has_gap:
                await send_events(scope, send, GAP, send_seconds)
            await self._feed(scope, send, place, send_seconds, hearing)
            tasks.cancel_scope.cancel()

    async def _feed(
        self, scope: Scope, send: AsgiSend, place: int, send_seconds: float, hearing: Hearing
    ) -> None:
        quiet_until = anyio.current_time() + KEEP_ALIVE_SECONDS
        while True:
            chunk, place = self.read(place, hearing)
            if not chunk and self.closed:
                await end_events(send)
                return
            if not chunk:
                with anyio.CancelScope(deadline=quiet_until):
                    await self.wait(place)
                    continue
            try:
                await send_events(scope, send, chunk or KEEP_ALIVE, send_seconds)
                quiet_until = anyio.current_time() + KEEP_ALIVE_SECONDS
            except Disconnected:
                self.dropped += self._next - place
                raise

    def _wake(self) -> None:
        """Wake all subscribers, from whatever thread."""
        if self._loop is None:  # there never was one
            return
        thread, token = self._loop
        if thread == threading.get_ident():
            self._news.notify()
            return
        try:
            anyio.from_thread.run_sync(self._news.notify, token=token)
        except RuntimeError:  # that event loop is over, and its subscribers are gone
            self._loop = None


def last_event_of(scope: Scope, headers: Mapping[bytes, bytes]) -> str | None:
    """The id of the last event that a client has, `None` if it begins now.

    Browsers send it as a header when they come back by themselves. A page that comes back with a
    new ticket can send none, and has it in the query, as in `?last_event_id=…`.
    """
    last = headers.get(b"last-event-id")
    if last is None:
        return dict(parse_qsl(_query_of(scope))).get("last_event_id")
    return last.decode("latin-1")


def patterns_of(scope: Scope) -> Patterns | None:
    """The names of events that a request wants alone, as in `?events=door.*,lamp.changed`."""
    wanted = [value for name, value in parse_qsl(_query_of(scope)) if name == "events"]
    return Patterns(name for each in wanted for name in each.split(",")) if wanted else None


def _query_of(scope: Scope) -> str:
    """The query as text, whatever is in it."""
    query: bytes = scope.get("query_string", b"")
    return query.decode("latin-1")
