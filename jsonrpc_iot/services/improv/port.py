"""`Improv` at the serial port of a URL, which is opened again when its adapter comes back."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio.abc import ByteStream, TaskStatus

from jsonrpc_iot import BindFailed, Trace, TransportError, Url
from jsonrpc_iot.transports.serial.line import TuyaLine
from jsonrpc_iot.transports.serial.pty import open_pty
from jsonrpc_iot.transports.serial.shared import SharedPort
from jsonrpc_iot.transports.serial.uart import UartOptions

from .device import Improv
from .line import serve_line

logger = logging.getLogger("jsonrpc_iot.wifi")

_PAUSE_SECONDS = 2.0  # before a port is looked for again
_PTY = "uart+pty"


def read_url(text: str) -> tuple[Url, UartOptions]:
    """The serial port that a URL names.

    Raises:
        InvalidUrl: it names none.
    """
    url = Url.parse(text)
    if url.scheme not in ("uart", _PTY):
        raise url.error("Improv needs a serial port, as in uart:///dev/ttyUSB0")
    return url, url.read_options(UartOptions)


def share_port(improv: Improv) -> SharedPort:
    """What `serve` takes as one of its `transports`, to have Improv beside RPC at a port.

    Args:
        improv: the device; its block has to be entered before that of `serve`.
    """
    return SharedPort(partial(serve_line, improv))


@asynccontextmanager
async def open_line(url: Url, options: UartOptions) -> AsyncIterator[TuyaLine]:
    """Open a port to a device while the block runs, for Improv and what else is said there.

    Raises:
        ConnectFailed: it is not to be had.
    """
    async with await options.open(url) as stream:
        yield line_on(stream, options)


def line_on(stream: ByteStream, options: UartOptions) -> TuyaLine:
    """The line of a port that is open."""
    line = TuyaLine(stream, baudrate=options.baudrate, frame_gap=options.frame_gap)
    line.is_shared = True
    return line


async def serve_port(
    improv: Improv,
    url: str,
    trace: Trace | None = None,
    *,
    task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer at a port until cancelled; `task_group.start` gives the URL of its other end.

    Args:
        improv: the device; its block has been entered.
        url: `uart:///dev/ttyGS0`, with `baudrate` and the like; `uart+pty://` makes a terminal.
        trace: is shown the packets, without keys.
        task_status: of `task_group.start`.

    Raises:
        BindFailed: the port is not to be had.
        InvalidUrl: the URL names none.
        MissingExtra: the extra `uart` is not installed.
    """
    parsed, options = read_url(url)
    stream: ByteStream | None
    if parsed.scheme == _PTY:
        stream, path = open_pty()
        task_status.started(f"uart://{path}")
        async with stream:
            await serve_line(improv, line_on(stream, options), trace)
        return
    stream = await options.open(parsed, BindFailed)
    task_status.started(str(parsed))
    while True:
        if stream is not None:
            async with stream:
                await serve_line(improv, line_on(stream, options), trace)
        await anyio.sleep(_PAUSE_SECONDS)
        try:
            stream = await options.open(parsed, BindFailed)
        except TransportError as error:
            stream = None
            logger.info("%s; trying again", error)
