"""`Improv` at the serial port of a URL, which is opened again when its adapter comes back."""

import logging

import anyio
from anyio.abc import ByteStream, TaskStatus

from jsonrpc_iot import BindFailed, Trace, TransportError, Url
from jsonrpc_iot.transports.serial.port import PortOptions
from jsonrpc_iot.transports.serial.pty import open_pty

from .device import Improv
from .line import serve_line

logger = logging.getLogger("jsonrpc_iot.wifi")

_PAUSE_SECONDS = 2.0  # before a port is looked for again
_PTY = "uart+pty"


def read_url(text: str) -> tuple[Url, PortOptions]:
    """The serial port that a URL names.

    Raises:
        InvalidUrl: it names none.
    """
    url = Url.parse(text)
    if url.scheme not in ("uart", _PTY):
        raise url.error("Improv needs a serial port, as in uart:///dev/ttyUSB0")
    return url, url.read_options(PortOptions)


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
            await serve_line(improv, stream, trace)
        return
    stream = await options.open(parsed, BindFailed)
    task_status.started(str(parsed))
    while True:
        if stream is not None:
            async with stream:
                await serve_line(improv, stream, trace)
        await anyio.sleep(_PAUSE_SECONDS)
        try:
            stream = await options.open(parsed, BindFailed)
        except TransportError as error:
            stream = None
            logger.info("%s; trying again", error)
