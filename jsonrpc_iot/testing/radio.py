"""Bluetooth without hardware: a radio for devices and centrals, of this process and of others.

The controllers are bumble's, of the extra `bumble`, which is imported when a radio is made.
"""

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final
from urllib.parse import quote, urlencode

import anyio
import anyio.lowlevel

from ..errors import MissingExtra
from ..transports.gatt import require_asyncio

_LONGEST_PATH = 100  # of a Unix socket, which has 104 bytes on some systems


@final
class VirtualRadio:
    """A radio that is on; `virtual_radio` makes one.

    Args:
        transport: what bumble calls it, for programs that use bumble by themselves.
        cut: takes all controllers away from their hosts.
    """

    def __init__(self, transport: str, cut: Callable[[], None]) -> None:
        self.transport = transport
        self._cut = cut

    def url(self, name: str = "", **options: str | int) -> str:
        """A URL to serve a device on this radio, and to connect to it; for any process.

        Args:
            name: what the device advertises.
            options: more of the URL.
        """
        named = {"name": name, **options} if name else options
        text = urlencode(named, quote_via=quote, safe=":")
        return f"gatt+bumble://{quote(self.transport, safe='/:')}" + (f"?{text}" if text else "")

    def cut(self) -> None:
        """Unplug every adapter: all links are lost at once. They may be plugged in again."""
        self._cut()


@asynccontextmanager
async def virtual_radio() -> AsyncIterator[VirtualRadio]:
    """A radio, while the block runs.

    Each device and each central has a controller of its own, on one link, where nothing is lost.
    They come by a socket, so that programs of their own can take part, and be killed.

    Raises:
        MissingExtra: bumble is not installed.
        UsageError: this is not asyncio.
    """
    require_asyncio("a virtual radio")
    try:
        from ._controllers import VirtualLink, VirtualPort
    except ImportError as error:
        raise MissingExtra("a virtual radio needs: pip install 'jsonrpc-iot[bumble]'") from error
    link = VirtualLink()
    loop = asyncio.get_running_loop()

    def cut() -> None:
        for port in tuple(link.ports):
            port.close()

    with tempfile.TemporaryDirectory(prefix="radio-") as folder:
        path = str(Path(folder) / "radio.sock")
        if hasattr(socket, "AF_UNIX") and sys.platform != "win32" and len(path) <= _LONGEST_PATH:
            server = await loop.create_unix_server(lambda: VirtualPort(link), path)
            transport = f"unix:{path}"
        else:
            server = await loop.create_server(lambda: VirtualPort(link), "127.0.0.1", 0)
            transport = f"tcp-client:127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield VirtualRadio(transport, cut)
        finally:
            server.close()
            cut()
            with anyio.CancelScope(shield=True):
                while link.ports:
                    await anyio.lowlevel.checkpoint()
