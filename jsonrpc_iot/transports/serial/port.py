"""Serial ports as byte streams. What the bytes mean is left to those who frame them.

Ports are opened through pyserial-asyncio-fast, of the extra `uart`; it needs asyncio. A serial
server on TCP (`uart://socket/HOST:PORT`) needs neither.
"""

import asyncio
import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, final
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream
from msgspec import Meta

from ...channel.clock import name_asyncio
from ...channel.options import PacketOptions
from ...channel.url import Url
from ...errors import BindFailed, ConnectFailed
from ..direct import DirectStream
from ..requirements import require_asyncio, require_extra
from ..sockets.dial import connect_tcp
from ..sockets.listener import set_options

if TYPE_CHECKING:
    import serial
    from _typeshed import ReadableBuffer
    from serial_asyncio_fast import SerialTransport

BAUDRATE = 115_200

READ_BUFFER = 64 * 1024
"""Bytes that are kept for a slow reader before the system has to keep them."""

_CLOSE_SECONDS = 2.0
_BUSY = (errno.EBUSY, errno.EAGAIN)
_ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV)
_DENIED = (errno.EACCES, errno.EPERM)


class PortOptions(PacketOptions, frozen=True):
    """Options of a URL that names a serial port.

    Args:
        baudrate: bits per second; 8 data bits, no parity, 1 stop bit.
        frame_gap: seconds between two frames that are sent, at least, for an end that is slow.
        dtr: of the line DTR, which resets many boards; what the system does, unless it is set.
        rts: likewise.
    """

    baudrate: Annotated[int, Meta(gt=0)] = BAUDRATE
    frame_gap: Annotated[float, Meta(ge=0, le=10)] = 0.0
    dtr: bool | None = None
    rts: bool | None = None

    async def open(
        self, url: Url, failure: type[ConnectFailed | BindFailed] = ConnectFailed
    ) -> ByteStream:
        """Open the port of a URL with these options; see `open_port`."""
        return await open_port(url, self.baudrate, failure=failure, dtr=self.dtr, rts=self.rts)


async def open_port(
    url: Url,
    baudrate: int,
    *,
    failure: type[ConnectFailed | BindFailed] = ConnectFailed,
    dtr: bool | None = None,
    rts: bool | None = None,
) -> ByteStream:
    """Open the serial port of a URL, 8N1, for this program alone.

    Args:
        url: `uart:///dev/ttyUSB0`, `uart://COM3` or `uart://socket/HOST:PORT`; any scheme.
        baudrate: bits per second; a serial server on TCP has its own.
        failure: what to raise where the port cannot be opened.
        dtr: as in `PortOptions`.
        rts: likewise.

    Raises:
        ConnectFailed: or `failure`: there is no such port, or it is not to be had.
        InvalidUrl: the URL names no port, or the port cannot have that rate.
        MissingExtra: the extra `uart` is not installed.
        UsageError: a port cannot be opened on trio.
    """
    if url.host == "socket":
        return await _open_socket(url, failure)
    device = _device(url)
    instead = f"; there only {url.scheme}://socket/HOST:PORT does"
    require_asyncio(url, "serial ports work", instead)
    require_extra(url, "serial ports need", "uart", "serial_asyncio_fast")
    import serial_asyncio_fast

    stream = SerialStream()
    port = _new_port(stream)
    for line, state in (("dtr", dtr), ("rts", rts)):
        if state is not None:
            setattr(port, line, state)
    await anyio.to_thread.run_sync(_open_device, url, device, baudrate, failure, port)
    await serial_asyncio_fast.connection_for_serial(
        asyncio.get_running_loop(), lambda: stream, port
    )
    with anyio.CancelScope(shield=True):  # a moment, after which there is something to close
        await stream.made.wait()
    return stream


def _device(url: Url) -> str:
    url.forbid_port()
    if url.path not in ("", "/") and not url.host:
        return url.path
    if url.host and url.path in ("", "/") and sys.platform == "win32":
        return url.host
    raise url.error(
        f"a port looks like {url.scheme}:///dev/ttyUSB0 or {url.scheme}://socket/HOST:PORT"
    )


def _new_port(stream: "SerialStream") -> "serial.Serial":
    """A port of the library, not open yet."""
    import serial

    class Port(serial.Serial):
        """Writes what there is room for, where pyserial (3.5) tries for ever and blocks the loop.

        A port that is gone takes all: the library would log an error with a traceback. What has
        come is read without asking first whether there is anything: the event loop knows.
        """

        def read(self, size: int = 1, /) -> bytes:
            if sys.platform != "win32":
                with suppress(OSError):
                    if data := os.read(self.fileno(), size):
                        return data
            return super().read(size)  # which finds out what is wrong

        def write(self, b: "ReadableBuffer", /) -> int | None:
            try:
                return super().write(b) if sys.platform == "win32" else os.write(self.fileno(), b)
            except BlockingIOError:
                raise
            except OSError:
                stream.is_gone = True
                return len(memoryview(b))

    return Port(exclusive=True)


def _open_device(
    url: Url,
    device: str,
    baudrate: int,
    failure: type[ConnectFailed | BindFailed],
    port: "serial.Serial",
) -> None:
    try:
        port.port, port.baudrate = device, baudrate
        port.open()
    except (ValueError, OverflowError) as error:
        raise url.error(f"{device} cannot have {baudrate} baud: {error}") from error
    except OSError as error:
        raise failure(f"{url}: {_advice(device, error)}") from error


def _advice(device: str, error: OSError) -> str:
    """What is wrong with a port, and what to do."""
    if error.errno in _ABSENT:
        return f"there is no device {device}; is it plugged in? `jsonrpc-iot discover` lists ports"
    if error.errno in _DENIED:
        return f"no permission for {device}; join the group that owns it, {_group(device)}"
    if error.errno in _BUSY:
        return f"another program has {device} open"
    return f"{device} cannot be opened as a serial port: {error}"


def _group(device: str) -> str:
    """The group that may use a device."""
    try:
        import grp

        return grp.getgrgid(os.stat(device).st_gid).gr_name
    except (ImportError, OSError, KeyError):
        return "often dialout"


async def _open_socket(url: Url, failure: type[ConnectFailed | BindFailed]) -> ByteStream:
    url.forbid_port()
    try:
        parts = urlsplit(f"/{url.path}")
        host, port, rest = parts.hostname, parts.port, parts.path
    except ValueError:
        host, port, rest = None, None, ""
    if not host or port is None or rest:
        raise url.error(f"a serial server looks like {url.scheme}://socket/192.0.2.7:4001")
    try:
        stream = await connect_tcp(host, port)
        set_options(stream)
    except (OSError, UnicodeError) as error:
        raise failure(f"{url}: no serial server answers there: {error}") from error
    return stream


@final
class SerialStream(DirectStream, asyncio.Protocol):
    """An open serial port. It has no end: it is there, or it is unplugged.

    To the library it is the protocol of its transport; `made` says that they have met.
    """

    def __init__(self) -> None:
        self.made = asyncio.Event()
        self.is_gone = False  # the library must not see that a write has failed
        self._received = bytearray()
        self._take: Callable[[bytes], bool] | None = None
        self._news = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._lost = asyncio.Event()
        self._closed = False
        self._is_awaited = False
        self._paused = False
        self._receiving = anyio.ResourceGuard("reading from")
        self._sending = anyio.ResourceGuard("writing to")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The port is open."""
        self._transport = cast("SerialTransport", transport)
        # Each byte that the system did not take pauses writing, until it has taken all.
        self._transport.set_write_buffer_limits(high=0, low=0)
        self.made.set()

    def data_received(self, data: bytes) -> None:
        """Keep what came and is not taken; where that is much, let the system keep the rest."""
        is_awaited = self._is_awaited and not self._received
        if is_awaited and self._take is not None:
            name_asyncio()
            if self._take(data):
                return
        self._received += data
        self._news.set()
        if len(self._received) >= READ_BUFFER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The system has not taken all."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """The system has taken all.

        The library (0.16) goes on watching for room when nothing is left to write, and then fails
        in a loop. The buffer is empty here, so that flushing it only ends the watching.
        """
        self._transport.flush()
        self._drained.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The port is unplugged, or closed."""
        for event in (self._news, self._drained, self._lost):
            event.set()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Wait for bytes.

        Raises:
            BrokenResourceError: the adapter was unplugged, and all that came before was received.
            ClosedResourceError: this end has closed it.
        """
        with self._receiving:
            await anyio.lowlevel.checkpoint_if_cancelled()
            while True:
                if self._closed:
                    self._gone()
                if self._received:
                    return self._oldest(max_bytes)
                if self._lost.is_set():
                    self._gone()
                self._is_awaited = True
                try:
                    await self._news.wait()
                finally:
                    self._is_awaited = False

    def offer_to(self, take: Callable[[bytes], bool]) -> None:
        """See `DirectStream.offer_to`."""
        self._take = take

    def send_now(self, data: bytes) -> bytes:
        """Send what the system takes at once, or all later; see `DirectStream.send_now`."""
        if self._closed or self.is_gone or self._transport.is_closing():
            self._gone()
        if not self._drained.is_set():
            return data
        self._transport.write(data)
        return b""

    async def send(self, item: bytes) -> None:
        """Send bytes; returns when the system has all of them.

        A call that is cancelled leaves its bytes to be sent.

        Raises:
            BrokenResourceError: the adapter was unplugged.
            ClosedResourceError: this end has closed it.
        """
        with self._sending:
            await anyio.lowlevel.checkpoint_if_cancelled()
            await self._drain()
            self._transport.write(item)
            await self._drain()

    async def send_eof(self) -> None:
        """Do nothing: a serial line has no way to say that no more will come."""
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the port, once the line has the bytes that were sent; others are lost."""
        if not self._closed:
            self._closed = True
            if not self._transport.is_closing():
                if self._drained.is_set():
                    self._transport.close()
                else:  # of a send that was cancelled
                    self._transport.abort()
            self._news.set()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._lost.wait()
        await anyio.lowlevel.checkpoint()

    def _oldest(self, max_bytes: int) -> bytes:
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if not self._received and not self._lost.is_set():
            self._news.clear()
        if self._paused and len(self._received) < READ_BUFFER // 2:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _drain(self) -> None:
        await self._drained.wait()
        if self._closed or self.is_gone or self._transport.is_closing():
            self._gone()

    def _gone(self) -> NoReturn:
        raise anyio.ClosedResourceError if self._closed else anyio.BrokenResourceError
