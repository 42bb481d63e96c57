"""Server-sent events as a client reads them: parsed, and resumed when the connection ends.

Source: HTML Living Standard, section 9.2, "Server-sent events".
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

import anyio
import anyio.lowlevel
import httpx2
from msgspec import Struct

from ...channel.clock import in_time
from ...protocol.about import about
from ...protocol.backoff import Backoff
from .http_replies import EVENT_STREAM, kind_of, unpacked, whole_number

logger = logging.getLogger("jsonrpc_iot.transports")

_SILENT_SECONDS = 45.0  # a server sends a comment every 15 s
_GIVE_UP_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_RETRY_SECONDS = 300.0
_STATUS_OK = 200
_ID = re.compile(rb"[!-~\x80-\xff]([ -~\x80-\xff]{,1022}[!-~\x80-\xff])?|")
"""An id that a header can hold: another one could never be sent back."""


class Event(Struct, frozen=True):
    """One event.

    Args:
        data: a message.
        id: of the last event that had one, this one included; `None` before there was one.
    """

    data: bytes
    id: str | None


class EventParser:
    """Cuts a stream into events.

    Args:
        max_bytes: of one event.

    Attributes:
        id: of the last event that had one, `None` before it.
        retry: seconds after which the server wants to be asked again at the earliest.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._after_cr = False
        self._data = bytearray()
        self._has_gap = False
        self.id: str | None = None
        self.retry = 0.0

    def feed(self, chunk: bytes) -> list[Event]:
        """Take bytes; returns the events that are complete.

        Raises:
            httpx2.ReadError: an event is too large.
        """
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        if b"\n" not in chunk and b"\r" not in chunk:
            self._rest += chunk
            self._check()
            return []
        lines = (bytes(self._rest) + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = lines.split(b"\n")
        self._rest = bytearray(rest)
        events = [event for line in whole if (event := self._line(line)) is not None]
        self._check()
        return events

    def _line(self, line: bytes) -> Event | None:
        if not line:
            if not self._data:
                return None
            event = Event(bytes(self._data[:-1]), self.id)
            self._data.clear()
            return event
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value + b"\n"
        elif name == b"id" and _ID.fullmatch(value):
            self.id = value.decode("utf-8", "replace")
        elif name == b"retry":
            milliseconds = whole_number(value.decode("latin-1"))
            self.retry = min((milliseconds or 0) / 1000, _LONGEST_RETRY_SECONDS)
        elif not name and value.startswith(b"gap") and not self._has_gap:
            self._has_gap = True
            logger.warning("events were lost: the server does not hold them any more")
        return None

    def _check(self) -> None:
        if len(self._data) + len(self._rest) > self._max_bytes:
            raise httpx2.ReadError(f"an event of more than {self._max_bytes} bytes")


async def read_events(response: httpx2.Response, parser: EventParser) -> AsyncIterator[Event]:
    """The events of a response.

    Raises:
        httpx2.RequestError: the connection failed, or an event is too large.
    """
    async with aclosing(unpacked(response)) as chunks:
        async for chunk in chunks:
            for event in parser.feed(chunk):
                yield event


async def _limit_from_connected(scope: anyio.CancelScope, event: str, info: object) -> None:
    """Give a server that took the connection so long to answer that its silence can be told."""
    if event == "connection.connect_tcp.complete":
        scope.deadline = anyio.current_time() + in_time(_SILENT_SECONDS)


class Events:
    """The subscription to a server's notifications.

    Args:
        client: makes the requests.
        place: where they go.
    """

    def __init__(self, client: httpx2.AsyncClient, place: str) -> None:
        self._client = client
        self._place = place
        self._response: httpx2.Response | None = None
        self._last_id: str | None = None
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether the server has events, and sends them."""
        return self._response is not None

    async def open(self) -> int:
        """Subscribe, from behind the last event that arrived.

        Returns:
            The HTTP status. A server without events is a server all the same.

        Raises:
            httpx2.RequestError: nobody answers there.
            TimeoutError: what answers there does not speak HTTP.
        """
        headers = {b"accept": EVENT_STREAM.encode(), b"cache-control": b"no-store"}
        if self._last_id:
            headers[b"last-event-id"] = self._last_id.encode()
        timeout = httpx2.Timeout(_SILENT_SECONDS, connect=10.0)
        with anyio.CancelScope() as scope:
            request = self._client.build_request(
                "GET",
                self._place,
                headers=headers,
                timeout=timeout,
                extensions={"trace": partial(_limit_from_connected, scope)},
            )
            response = await self._client.send(request, stream=True)
        if scope.cancelled_caught:
            raise TimeoutError
        if response.status_code == _STATUS_OK and kind_of(response) == EVENT_STREAM:
            self._response = response
            begin = response.headers.get("last-event-id", "")  # our own servers say so
            if begin and _ID.fullmatch(begin.encode()):
                self._last_id = begin
        else:
            await response.aclose()
        return response.status_code

    async def listen(self, max_bytes: int) -> AsyncIterator[Event]:
        """The events, over as many connections as it takes.

        Raises:
            httpx2.RequestError: the server could not be reached for a while.
        """
        while True:
            assert self._response is not None
            begin = anyio.current_time()
            parser = EventParser(max_bytes)
            try:
                async for event in read_events(self._response, parser):
                    self._last_id = event.id if event.id is not None else self._last_id
                    yield event
            except httpx2.RequestError as error:
                logger.debug("%s: the events end: %r", self._place, error, extra=about(self._place))
            await self.aclose()
            self._backoff.connection_ended(anyio.current_time() - begin)
            await self._reopen(parser.retry)

    async def aclose(self) -> None:
        """End the subscription."""
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()

    async def _reopen(self, shortest_pause: float) -> None:
        end = anyio.current_time() + shortest_pause + _GIVE_UP_SECONDS
        while True:
            await anyio.sleep(max(shortest_pause, self._backoff.next_pause()))
            # On asyncio a sleep that is over is not cancelled, even if its scope is meanwhile.
            await anyio.lowlevel.checkpoint_if_cancelled()
            try:
                status = await self.open()
            except (httpx2.RequestError, TimeoutError, ValueError):  # at a head without sense
                if anyio.current_time() >= end:
                    raise
                continue
            if self.is_open:
                return
            if anyio.current_time() >= end:
                raise httpx2.ReadError(f"events ended, and now there is HTTP {status}")
