"""Server-sent events as a client reads them: parsed, and resumed when the connection ends.

Source: HTML Living Standard, section 9.2, "Server-sent events".
"""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import anyio.lowlevel
import httpx2
from msgspec import Struct

from ...protocol.backoff import Backoff
from .http_replies import EVENT_STREAM, kind_of

logger = logging.getLogger("jsonrpc_iot.transports")

_SILENT_SECONDS = 45.0  # a server sends a comment every 15 s
_GIVE_UP_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_STATUS_OK = 200


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
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._after_cr = False
        self._data: list[bytes] = []
        self._size = 0
        self.id: str | None = None

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
            event = Event(b"\n".join(self._data), self.id)
            self._data, self._size = [], 0
            return event
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"id" and b"\0" not in value:
            self.id = value.decode("utf-8", "replace")
        elif not name and value.startswith(b"gap"):
            logger.warning("events were lost: the server does not hold them any more")
        return None

    def _check(self) -> None:
        if self._size + len(self._rest) > self._max_bytes:
            raise httpx2.ReadError(f"an event of more than {self._max_bytes} bytes")


async def read_events(response: httpx2.Response, max_bytes: int) -> AsyncIterator[Event]:
    """The events of a response.

    Raises:
        httpx2.RequestError: the connection failed, or an event is too large.
    """
    parser = EventParser(max_bytes)
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            for event in parser.feed(chunk):
                yield event


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
        """
        headers = {"accept": EVENT_STREAM, "cache-control": "no-store"}
        if self._last_id is not None:
            headers["last-event-id"] = self._last_id
        timeout = httpx2.Timeout(_SILENT_SECONDS, connect=10.0)
        request = self._client.build_request("GET", self._place, headers=headers, timeout=timeout)
        response = await self._client.send(request, stream=True)
        if response.status_code == _STATUS_OK and kind_of(response) == EVENT_STREAM:
            self._response = response
            # Our own servers say where the stream begins.
            self._last_id = response.headers.get("last-event-id", self._last_id)
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
            try:
                async for event in read_events(self._response, max_bytes):
                    self._last_id = event.id if event.id is not None else self._last_id
                    yield event
            except httpx2.RequestError as error:
                logger.debug("%s: the events end: %r", self._place, error)
            await self.aclose()
            self._backoff.connection_ended(anyio.current_time() - begin)
            await self._reopen()

    async def aclose(self) -> None:
        """End the subscription."""
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()

    async def _reopen(self) -> None:
        end = anyio.current_time() + _GIVE_UP_SECONDS
        while True:
            await anyio.sleep(self._backoff.next_pause())
            # On asyncio a sleep that is over is not cancelled, even if its scope is meanwhile.
            await anyio.lowlevel.checkpoint_if_cancelled()
            try:
                status = await self.open()
            except httpx2.RequestError:
                if anyio.current_time() >= end:
                    raise
                continue
            if self.is_open:
                return
            if anyio.current_time() >= end:
                raise httpx2.ReadError(f"events ended, and now there is HTTP {status}")
