"""The lamp of firmware/c/examples as a program on this machine."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, Literal

from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair

from .compiling import SOURCES
from .desk import build_here

Way = Literal["uart", "dp", "tcp", "udp"]
WAYS: Final[tuple[Way, ...]] = ("uart", "dp", "tcp", "udp")
PERFECT: Final = LineFaults()


def build_lamp(folder: Path) -> Path:
    """Build the lamp, which any undefined behaviour ends."""
    examples = SOURCES / "examples"
    return build_here(folder / "lamp", examples / "host.c", examples / "lamp.c")


@contextmanager
def running(program: Path, way: Way, place: str) -> Iterator[str]:
    """Run the lamp while the block runs, in which it must not fail.

    Args:
        program: as `build_lamp` makes it.
        way: how it is reached.
        place: a port, or a device.

    Yields:
        Where it is.
    """
    with subprocess.Popen([program, way, place], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("listening ").strip()
            assert process.poll() is None
        finally:
            process.kill()


@asynccontextmanager
async def served(
    program: Path, way: Way, faults: LineFaults = PERFECT
) -> AsyncIterator[tuple[str, VirtualSerial[str] | None]]:
    """Run the lamp, on a serial line of ours where it wants one.

    Args:
        program: as `build_lamp` makes it.
        way: how it is reached.
        faults: what goes wrong on the line.

    Yields:
        The URL for a client, and the line.
    """
    if way in ("tcp", "udp"):
        with running(program, way, "0") as url:
            yield url, None
        return
    async with virtual_serial_pair(faults, seed=5, paths=True) as line:
        with running(program, way, line.second):
            url = f"uart://{line.first}"
            if way == "dp":
                url = f"tuya-dp://{line.first}?role=module&gap=0"
            yield url, line
