"""One connection to a platform: lines in both directions, and what the kernel did with them."""

import logging
import ssl
from collections.abc import Callable
from functools import partial

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream

from jsonrpc_iot import TransportError
from jsonrpc_iot.transports.sockets import tls as secure
from jsonrpc_iot.transports.sockets.dial import connect_tcp
from jsonrpc_iot.transports.sockets.listener import set_options
from jsonrpc_iot.transports.sockets.stream import SocketStream

from ..kernel import set_patience, unconfirmed

logger = logging.getLogger("jsonrpc_iot.novacloud")

_GONE = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,
)
_PARTING_BYTES = 1 << 20

reason = partial(secure.reason, has_url=False)


class LinkLost(TransportError):
    """The connection cannot be had, or is over; the text says why."""


class LinkClosed(LinkLost):
    """The platform has ended the connection in good order; nothing is wrong with the line."""


class LinkSilent(LinkLost):
    """The other end takes what is sent and says nothing, as a balancer without platforms does."""


class Link:
    """A connection to a platform, once `open` has made it.

    Args:
        write_seconds: that one write may take, and the other end's kernel to confirm it.
        max_line: bytes of the longest line that is taken.
        mask: blacks out what must be in no log.

    Attributes:
        written: bytes that the kernel has taken.
        address: of the other end.
    """

    address: str
    _stream: ByteStream
    _incoming: BufferedByteReceiveStream

    def __init__(self, write_seconds: float, max_line: int, mask: Callable[[str], str]) -> None:
        self._write_seconds = write_seconds
        self._max_line = max_line
        self._mask = mask
        self._turn = anyio.Lock()
        self._is_broken = False
        self.written = 0

    async def open(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        seconds: float,
        last: str | None = None,
    ) -> None:
        """Connect.

        Args:
            host: a name or an address.
            port: of TCP.
            tls: how to secure it, `None` not to.
            seconds: to connect within, the TLS handshake included.
            last: an address that is tried after the others that the name has.

        Raises:
            LinkLost: nobody answers there, or its certificate is not trusted.
        """
        try:
            with anyio.fail_after(seconds):
                stream = await connect_tcp(host, port, last=last)
                try:
                    self.address = stream.host
                    set_options(stream)
                    set_patience(stream, self._write_seconds)
                    self._stream = stream
                    if tls is not None:
                        self._stream = await TLSStream.wrap(
                            stream, hostname=host, ssl_context=tls, standard_compatible=False
                        )
                except BaseException:
                    await anyio.aclose_forcefully(stream)
                    raise
        except TimeoutError:
            raise LinkLost(f"no connection within {seconds:g} s") from None
        except (UnicodeError, *_GONE) as error:
            raise LinkLost(reason(error)) from error
        self._incoming = BufferedByteReceiveStream(self._stream)

    async def send(self, data: bytes, *, secret: bool = False) -> None:
        """Send whole lines.

        Args:
            data: the lines.
            secret: they are in no log.

        Raises:
            LinkLost: they did not leave in time, or the connection is over. A part of them may
                have been sent, so nothing more can be.
        """
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("> %s", "(secret)" if secret else self._mask(data.decode().rstrip("\n")))
        async with self._turn:
            if self._is_broken:
                raise LinkLost("the connection is over")
            self._is_broken = True  # unless all of it leaves
            try:
                with anyio.move_on_after(self._write_seconds) as waiting:
                    await self._stream.send(data)
            except _GONE as error:
                raise LinkLost(f"writing failed: {reason(error)}") from error
            if waiting.cancelled_caught:
                raise LinkLost(f"nothing could be written for {self._write_seconds:g} s")
            self._is_broken = False
            self.written += len(data)

    async def receive(self) -> bytes:
        """Wait for a line; returns it without its end.

        Raises:
            LinkLost: none will come, or it is too long.
        """
        try:
            line = await self._incoming.receive_until(b"\n", self._max_line)
        except anyio.DelimiterNotFound:
            raise LinkLost(f"a line is longer than {self._max_line} bytes") from None
        except anyio.IncompleteRead as error:
            raise LinkClosed(f"the platform closed it: {reason(error)}") from error
        except _GONE as error:
            raise LinkLost(f"the platform closed it: {reason(error)}") from error
        if line and logger.isEnabledFor(logging.DEBUG):
            logger.debug("< %s", self._mask(line.decode(errors="backslashreplace")))
        return line

    @property
    def taken(self) -> int:
        """Bytes that the other end's kernel has confirmed; where ours does not say, all of them.

        Raises:
            LinkLost: the connection is over, and nobody will know.
        """
        waiting = unconfirmed(self._stream)
        if waiting is None:
            raise LinkLost("the connection is over")
        return self.written - waiting

    async def part(self, seconds: float) -> None:
        """Close in good order: say that nothing more comes, and read to the end for so long.

        Otherwise the kernel might reset the connection, and the last lines would be lost.
        """
        with anyio.move_on_after(seconds):
            try:
                if not self._is_broken and isinstance(self._stream, SocketStream):
                    await self._stream.send_eof()
                    read = 0
                    while read < _PARTING_BYTES:
                        read += len(await self._stream.receive())
            except _GONE:
                pass
        await anyio.aclose_forcefully(self._stream)
