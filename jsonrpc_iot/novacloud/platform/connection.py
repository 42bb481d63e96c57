"""One TCP connection of a device: lines in, lines out, and no task of its own for sending."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio
from anyio.abc import ByteStream, TaskGroup

from jsonrpc_iot.transports.sockets.stream import PIECE, SocketStream
from jsonrpc_iot.transports.sockets.tls import reason as cause_of

from ..kernel import unconfirmed
from .node.term import Term
from .settings import PlatformSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)

_PARTING_SECONDS = 1.0


class Lines:
    """Cuts bytes into lines.

    Args:
        limit: bytes of the longest line.

    Attributes:
        limit: as above; it may be changed.
    """

    __slots__ = ("_rest", "_skipping", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest: bytearray | None = None  # most connections have none most of the time
        self._skipping = False

    @property
    def waiting(self) -> int:
        """Bytes of a line whose end has not come yet."""
        return self.limit + 1 if self._skipping else len(self._rest or b"")

    def feed(self, data: bytes) -> list[bytes | None]:
        """Take bytes; returns the lines that end in them, `None` for one that is too long."""
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return []
        head = data[:end]
        if self._rest is not None:
            head = bytes(self._rest) + head
            self._rest = None
        parts: list[bytes | None] = [*head.split(b"\n")]
        if self._skipping:
            self._skipping = False
            parts[0] = None
        self._keep(data[end + 1 :])
        return [
            None if part is None or len(part) > self.limit else part
            for part in parts
            if part is None or len(part) > self.limit or (part and not part.isspace())
        ]

    def _keep(self, rest: bytes) -> None:
        if not rest or self._skipping:
            return
        if self._rest is None:
            self._rest = bytearray()
        self._rest += rest
        if len(self._rest) > self.limit:
            self._rest = None
            self._skipping = True


class _Waiting(NamedTuple):
    """A line that the system has not taken yet; members as the parameters of `send`."""

    line: bytes
    sent: Callable[[], object] | None
    wanted: Callable[[], bool] | None


class DeviceConnection:
    """A device at the other end of a stream.

    Args:
        stream: carries the bytes.
        peer: its address, for the log.
        tasks: runs what has to wait until the device reads.
        settings: of which `line`, `write_seconds` and `unsent` are used here.
        term: when it is over, nothing is written any more.

    Attributes:
        closed: why no more is read or written, `""` while it is.
        named: the device has said who it is.
        written: bytes that the system has taken.
    """

    __slots__ = (
        "_confirmed",
        "_lines",
        "_settings",
        "_socket",
        "_stream",
        "_tasks",
        "_term",
        "_unsent",
        "_waiting",
        "closed",
        "named",
        "peer",
        "written",
    )

    def __init__(
        self,
        stream: ByteStream,
        peer: str,
        tasks: TaskGroup,
        settings: PlatformSettings,
        term: Term,
    ) -> None:
        self._stream = stream
        self._tasks = tasks
        self._settings = settings
        self._term = term
        self._lines = Lines(settings.line)
        self._socket = stream if isinstance(stream, SocketStream) else None
        self._waiting: deque[_Waiting] | None = None
        self._unsent = 0
        self._confirmed: int | None = None
        self.peer = peer
        self.closed = ""
        self.named = False
        self.written = 0

    @property
    def confirmed(self) -> int:
        """Bytes of those written that the device's machine has acknowledged, also after the end."""
        if self._confirmed is None:
            # Of TLS the kernel counts more bytes than we do, so this is rather too little.
            waiting = unconfirmed(self._stream)
            return 0 if waiting is None else max(self.written - waiting, 0)
        return self._confirmed

    @property
    def waiting(self) -> int:
        """Bytes that have come of a line whose end has not."""
        return self._lines.waiting

    def resize(self, line: int) -> None:
        """Take longer lines, or no more so long ones, from now on."""
        self._lines.limit = line

    async def receive(self) -> Sequence[bytes | None]:
        """Wait for bytes; returns the lines that end in them, `None` for one that is too long.

        Raises:
            EndOfStream, BrokenResourceError, ClosedResourceError, OSError: none will come.
        """
        data = await self._stream.receive(PIECE)
        if self.closed:
            raise anyio.ClosedResourceError
        return self._lines.feed(data)

    def send(
        self,
        line: bytes,
        sent: Callable[[], object] | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> None:
        """Send a line without waiting; a device that does not read loses its connection.

        Args:
            line: with its newline.
            sent: is called once the system has taken the whole line.
            wanted: is asked when a line that had to wait is due, and says whether it is to go.
        """
        if self.closed or not self._may_write():
            return
        if self._waiting is None and self._socket is not None:
            try:
                rest = self._socket.send_now(line)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                self.close(f"writing failed: {cause_of(error)}")
                return
            self.written += len(line) - len(rest)
            if not rest:
                if sent is not None:
                    sent()
                return
            wanted = wanted if rest == line else None
            line = rest
        if self._waiting is None:
            self._waiting = deque()
            self._tasks.start_soon(self._write)
        self._waiting.append(_Waiting(line, sent, wanted))
        self._unsent += len(line)
        if self._unsent > self._settings.unsent:
            self.close("does not read")

    def _may_write(self) -> bool:
        """Whether this node may speak to the device; where it may not, the connection ends."""
        if self._term.is_over:
            self.close("the node's lease is over")
        return not self.closed

    def close(self, reason: str) -> None:
        """Read and write no more; who waits in `receive` gets an exception."""
        if not self.closed:
            self._note_end(reason)
            self._tasks.start_soon(anyio.aclose_forcefully, self._stream)

    def end(self) -> None:
        """Note that nobody reads from it any more; what is still to be sent is dropped."""
        if not self.closed:
            self._note_end("closed")

    def _note_end(self, reason: str) -> None:
        self._confirmed = self.confirmed  # nobody can tell once the socket is closed
        self.closed = reason

    async def part(self) -> None:
        """Let the device read the last line: closing with bytes unread would throw it away."""
        with anyio.move_on_after(_PARTING_SECONDS):
            try:
                if self._socket is not None and self._waiting is None:
                    await self._socket.send_eof()
                for _ in range(64):
                    await self._stream.receive(PIECE)
            except GONE:
                pass

    async def _write(self) -> None:
        assert self._waiting is not None
        try:
            while self._waiting and self._may_write():
                line, sent, wanted = self._waiting[0]
                if wanted is None or wanted():
                    with anyio.move_on_after(self._settings.write_seconds) as patience:
                        await self._stream.send(line)
                    if patience.cancelled_caught:
                        self.close("does not read")
                        return
                    self.written += len(line)
                else:
                    sent = None
                self._waiting.popleft()
                self._unsent -= len(line)
                if sent is not None:
                    sent()
            self._waiting = None
        except GONE:
            self.close("writing failed")
        except Exception:
            logger.exception("a connection failed")
            self.close("writing failed")
