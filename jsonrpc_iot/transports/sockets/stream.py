"""Connected stream sockets, as byte streams."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import anyio
import anyio.abc

from ...protocol.network import network_of
from ..direct import DirectStream
from ..poller import Poller
from ..readable import Readable

PIECE = 1 << 16
"""Bytes that are read or written at once."""


class SocketStream(DirectStream, anyio.abc.SocketStream):
    """A connected socket, which is read and written without detours.

    anyio's own stream (4.16) goes through a transport of asyncio that it pauses and resumes for
    each message, and that takes in whatever comes until a first `receive` has had to wait.

    Args:
        raw: connected; the stream closes it.

    Attributes:
        poller: watches it on trio while it rests.
    """

    poller: Poller | None = None

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        self._raw = raw
        self._readable = Readable(raw.fileno(), self._receive)
        self._take: Callable[[bytes], bool] | None = None
        self._rest = b""
        self._on_close: Callable[[Any], object] | None = None

    @property
    def _raw_socket(self) -> socket.socket:
        return self._raw

    @property
    def host(self) -> str:
        """The other end's address; empty for one that has none, or is gone already."""
        try:
            address = self._raw.getpeername()
        except OSError:
            return ""
        return address[0] if isinstance(address, tuple) else ""

    @property
    def network(self) -> str:
        """Who shares the places with it of which nobody may take all."""
        return network_of(self.host) if self.host else ""

    def offer_to(self, take: Callable[[bytes], bool]) -> None:
        """See `DirectStream.offer_to`."""
        self._take = take
        self._readable.take = self._offer

    def rest(self, wake: Callable[[], object]) -> bool:
        """Offer what comes though nobody receives; see `Channel.rest`."""
        return not self._rest and self._readable.rest(wake, self.poller)

    @property
    def is_resting(self) -> bool:
        """Whether it is open and needs nobody."""
        return self._readable.is_resting

    def break_off(self) -> None:
        """Have whoever uses it, also when it rests, find that the link is gone."""
        self._readable.fail(anyio.BrokenResourceError())
        with suppress(OSError):  # it was gone already
            self._raw.shutdown(socket.SHUT_RDWR)

    def when_closed(self, tell: Callable[[Self], object]) -> None:
        """Have somebody told when this end closes it."""
        self._on_close = tell

    def _receive(self) -> bytes:
        return self._raw.recv(PIECE)

    def _offer(self, data: bytes) -> bytes | None:
        assert self._take is not None
        return None if self._take(data) else data

    async def receive(self, max_bytes: int = PIECE) -> bytes:
        """Wait for bytes.

        Raises:
            anyio.EndOfStream: the other end sends no more.
            anyio.BrokenResourceError: the connection is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
        if not self._rest:
            try:
                self._rest = await self._readable.next()
            except OSError as error:
                raise anyio.BrokenResourceError from error
        if not self._rest:
            raise anyio.EndOfStream
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    def send_now(self, data: bytes) -> bytes:
        """Send what the system takes at once; see `DirectStream.send_now`."""
        try:
            return data[self._raw.send(data) :]
        except (BlockingIOError, InterruptedError):
            return data
        except OSError as error:
            if self._raw.fileno() < 0:
                raise anyio.ClosedResourceError from None
            raise anyio.BrokenResourceError from error

    async def send(self, item: bytes) -> None:
        """Send bytes; raises what `send_now` does."""
        while item := self.send_now(item):
            await anyio.wait_writable(self._raw)

    async def send_eof(self) -> None:
        """Say that no more will be sent.

        Raises:
            anyio.BrokenResourceError: the connection is gone.
        """
        try:
            self._raw.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Close the socket."""
        if self._raw.fileno() >= 0:
            self._readable.close()
            self._raw.close()
            if self._on_close is not None:
                self._on_close(self)
