"""Pseudo terminals: a serial line without hardware; programs open its far end by its path."""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import final

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from ...errors import BindFailed, UsageError
from ..direct import DirectStream
from ..readable import Readable

logger = logging.getLogger("jsonrpc_iot.transports")

_PIECE = 1 << 16  # bytes that are read at once
_UNREAD_SECONDS = 2.0
_STILL_UNREAD_SECONDS = 0.05


def open_pty(link: str | None = None) -> tuple[ByteStream, str]:
    """Make a line, raw in both directions.

    Args:
        link: a symbolic link to make, whose name outlives the line when it is made again. One that
            points nowhere is replaced.

    Returns:
        This end, and the path of the far one: the link's, where there is one. Programs may open and
        close that as often as they like. As on a wire, what nobody reads for some seconds is lost.

    Raises:
        BindFailed: there is something at the link's place, or the system gives no line.
        UsageError: the system has no ptys.
    """
    if not hasattr(os, "openpty"):
        raise UsageError("this system has no ptys; use a real port or a serial server on TCP")
    import tty

    try:
        master, slave = os.openpty()
    except OSError as error:
        raise BindFailed(f"cannot make a pty: {error}") from error
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        path = os.ttyname(slave)
        if link is not None:
            _make_link(Path(link), path)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return _Master(master, slave, path, link), link or path


def _make_link(link: Path, path: str) -> None:
    try:
        if link.is_symlink() and not link.exists():
            link.unlink()
        link.symlink_to(path)
    except FileExistsError:
        raise BindFailed(f"{link} is there already: remove it, or take another name") from None
    except OSError as error:
        raise BindFailed(f"cannot make the link {link}: {error}") from error


def _forget_unread(slave: int) -> None:
    import termios

    termios.tcflush(slave, termios.TCIFLUSH)


@final
class _Master(DirectStream):
    """This end of a pty. It has no end: the far one may be closed and opened again.

    Args:
        master: this end's descriptor.
        slave: the far end's; kept open, because with nobody there this end would fail.
        path: that of the far end.
        link: points to the path, and goes with it.
    """

    def __init__(self, master: int, slave: int, path: str, link: str | None) -> None:
        self._master = master
        self._slave = slave
        self._path = path
        self._link = link
        self._is_unread = self._is_told = False
        self._readable = Readable(master, lambda: os.read(self._master, _PIECE))
        self._rest = b""
        self._sending = anyio.ResourceGuard("writing to")

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Wait for bytes; raises `ClosedResourceError` once this end is closed."""
        data = self._rest or await self._readable.next()
        data, self._rest = data[:max_bytes], data[max_bytes:]
        return data

    def offer_to(self, take: Callable[[bytes], bool]) -> None:
        """See `DirectStream.offer_to`."""
        self._readable.take = lambda data: None if take(data) else data

    def send_now(self, data: bytes) -> bytes:
        """Send what the system takes at once; see `DirectStream.send_now`."""
        if self._master < 0:
            raise anyio.ClosedResourceError
        try:
            return data[os.write(self._master, data) :]
        except BlockingIOError:
            return data

    async def send(self, item: bytes) -> None:
        """Send bytes; raises `ClosedResourceError` once this end is closed."""
        with self._sending:
            await anyio.lowlevel.checkpoint_if_cancelled()
            while item := self.send_now(item):
                await self._make_room()

    async def _make_room(self) -> None:
        """Wait until the far end is read; where it is not, lose what waits there."""
        with anyio.move_on_after(_STILL_UNREAD_SECONDS if self._is_unread else _UNREAD_SECONDS):
            await anyio.wait_writable(self._master)
            self._is_unread = False
            return
        self._is_unread = True
        if not self._is_told:
            self._is_told = True
            logger.info("nobody reads %s: what is sent there is lost", self._path)
        _forget_unread(self._slave)

    async def send_eof(self) -> None:
        """Do nothing: a serial line has no way to say that no more will come."""
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Unplug the line: a program that has the far end open finds it gone."""
        master, self._master = self._master, -1
        if master >= 0:
            self._readable.close()
            os.close(master)
            os.close(self._slave)
            if self._link is not None:
                with contextlib.suppress(OSError):
                    if os.readlink(self._link) == self._path:
                        os.unlink(self._link)
        await anyio.lowlevel.checkpoint()
