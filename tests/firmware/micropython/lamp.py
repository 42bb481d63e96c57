"""The lamp of firmware/micropython as a program on this machine."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Literal

from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair
from tests.ports import free_port

from .interpreter import SOURCES, started

Way = Literal["uart", "tcp", "udp"]
WAYS: Final[tuple[Way, ...]] = ("uart", "tcp", "udp")
PERFECT: Final = LineFaults()


@contextmanager
def running(way: Way, place: str) -> Iterator[None]:
    """Run the lamp while the block runs, in which it must not fail.

    Args:
        way: how it is reached.
        place: a port, or a device.
    """
    with started(SOURCES / "host.py", way, place) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        assert process.poll() is None


@asynccontextmanager
async def served(
    way: Way, faults: LineFaults = PERFECT
) -> AsyncIterator[tuple[str, VirtualSerial[str] | None]]:
    """Run the lamp, on a serial line of ours where it wants one.

    Args:
        way: how it is reached.
        faults: what goes wrong on the line.

    Yields:
        The URL for a client, and the line.
    """
    if way == "uart":
        async with virtual_serial_pair(faults, seed=5, paths=True) as line:
            with running(way, line.second):
                yield f"uart://{line.first}", line
        return
    port = free_port()
    with running(way, str(port)):
        most = "?max=4096" if way == "tcp" else ""
        yield f"{way}://127.0.0.1:{port}{most}", None
