"""A bare Cortex-M3 in qemu: programs are built for it, and a line of ours leads to its UART."""

import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import (
    ByteReceiveStream,
    ByteSendStream,
    ByteStream,
    SocketAttribute,
    SocketListener,
)

from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair
from tests._system import require_command
from tests.waiting import SECONDS

from .compiling import SOURCES, STRICT, compiled, library, run_compiler

BOARD: Final = SOURCES / "examples" / "mps2"
COMPILER: Final = "arm-none-eabi-gcc"
CORTEX_M3: Final = ("-mcpu=cortex-m3", "-mthumb", "-Os", "-ffunction-sections", "-fdata-sections")
_BARE: Final = ("--specs=nano.specs", "--specs=nosys.specs", "-nostartfiles", "-Wl,--gc-sections")
_PERFECT: Final = LineFaults()


def build(
    folder: Path, *sources: Path, objects: Sequence[Path] = (), flags: Sequence[str] = ()
) -> Path:
    """Build a program for the board, with the board's own source and the library.

    Args:
        folder: where the program goes.
        sources: files of C.
        objects: more for the linker.
        flags: more for the compiler of these sources.
    """
    program = folder / "firmware.elf"
    made = [*objects, *(object_of(source) for source in (BOARD / "board.c", *library()))]
    made += [object_of(source, flags) for source in sources]
    run_compiler(COMPILER, *CORTEX_M3, *_BARE, "-T", BOARD / "mps2.ld", "-o", program, *made)
    return program


def object_of(source: Path, flags: Sequence[str] = ()) -> Path:
    """What a file is compiled to."""
    own = [*STRICT, *CORTEX_M3, f"-I{SOURCES}", f"-I{BOARD}", *flags]
    return compiled(COMPILER, own, source)


class Board:
    """A board that runs a program.

    Attributes:
        url: of the end of its serial line that is ours; one client at a time.
        line: what happens on the way; its second end is the board's.
    """

    def __init__(self, url: str, line: VirtualSerial[ByteStream]) -> None:
        self.url = url
        self.line = line


@asynccontextmanager
async def running(
    program: Path,
    faults: LineFaults = _PERFECT,
    *,
    seed: int = 0,
    baudrate: int | None = None,
) -> AsyncIterator[Board]:
    """Run a program on the board while the block runs.

    Args:
        program: as `build` makes it.
        faults: what goes wrong on the line.
        seed: gives the same faults for the same bytes.
        baudrate: of the line, bits per second; `None` takes no time.
    """
    async with (
        await _listener() as for_board,
        await _listener() as for_client,
        virtual_serial_pair(faults, seed=seed, baudrate=baudrate) as line,
        _machine(program, _port(for_board)),
        anyio.create_task_group() as tasks,
    ):
        with anyio.fail_after(SECONDS):
            uart = await for_board.accept()
        async with uart:
            tasks.start_soon(_carry, uart, line.second)
            tasks.start_soon(_carry, line.second, uart)
            tasks.start_soon(_let_in, for_client, line.first)
            yield Board(f"uart://socket/127.0.0.1:{_port(for_client)}", line)
            tasks.cancel_scope.cancel()


async def _listener() -> SocketListener:
    (listener,) = (await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)).listeners
    assert isinstance(listener, SocketListener)
    return listener


def _port(listener: SocketListener) -> int:
    port: int = listener.extra(SocketAttribute.local_port)
    return port


@asynccontextmanager
async def _machine(program: Path, port: int) -> AsyncIterator[None]:
    """Run qemu, which connects its UART to a port."""
    command = [require_command("qemu-system-arm"), "-M", "mps2-an385", "-kernel", str(program)]
    command += ["-nographic", "-monitor", "none", "-serial", f"tcp:127.0.0.1:{port},nodelay=on"]
    async with await anyio.open_process(
        command, stdin=subprocess.DEVNULL, stdout=None, stderr=None
    ) as machine:
        try:
            yield
        finally:
            machine.kill()


async def _let_in(listener: SocketListener, line: ByteStream) -> None:
    """Join the line to one client after the other; meanwhile what comes for nobody waits."""
    while True:
        async with await listener.accept() as client, anyio.create_task_group() as way:
            way.start_soon(_carry, line, client)
            await _carry(client, line)
            way.cancel_scope.cancel()


async def _carry(source: ByteReceiveStream, sink: ByteSendStream) -> None:
    """Carry bytes until either end is gone."""
    try:
        async for data in source:
            await sink.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return
