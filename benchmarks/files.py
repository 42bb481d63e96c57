"""Files over each kind of link, held against plain calls that carry as many bytes.

A plain call has as much data as fits a message of the link, 128 KiB at most, and as many are open
at once as `put` and `get` have. Each server is a process of its own, but for the one on a virtual
radio; all clients run in this one. The files are in memory where the system has a place for that,
so that no disk counts.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

import anyio

from jsonrpc_iot import Client, connect, serve
from jsonrpc_iot.services.files import get, put
from jsonrpc_iot.services.files.room import MOST, WINDOW, window
from jsonrpc_iot.testing import virtual_radio

from ._files import device
from ._harness import Options, Report
from ._servers import FILES_AT, mosquitto, server

TARGET = 0.6

PUT = "put"
TAKE = "plain calls there"
GET = "get"
GIVE = "plain calls back"


class Link(NamedTuple):
    """A link, and how much goes over it.

    Args:
        name: of the link.
        url: where to serve, empty for a virtual radio.
        size: bytes of a file.
    """

    name: str
    url: str
    size: int


LINKS = (
    Link("tcp", "tcp://127.0.0.1:0", 64_000_000),
    Link("udp", "udp://127.0.0.1:0", 4_000_000),
    Link("uart", "uart+pty://", 1_500_000),
    Link("mqtt", "mqtt://127.0.0.1:{port}/benchmark/files", 1_000_000),
    Link("gatt", "", 60_000),
)


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(
        "files",
        [
            f"plain calls carry up to {MOST >> 10} KiB, as many open as files have; asyncio",
            "uart is a pseudo terminal that takes no time, gatt a virtual radio",
        ],
    )
    with ExitStack() as stack:
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        folder = Path(stack.enter_context(TemporaryDirectory(dir=place)))
        port = stack.enter_context(mosquitto())
        for link in LINKS:
            if link.name == "uart" and sys.platform != "linux":
                report.setup.append("uart runs on Linux alone")
                continue
            if link.name == "mqtt" and not port:
                report.setup.append("mqtt needs Mosquitto, which is not installed")
                continue
            at = link._replace(url=link.url.format(port=port))
            _measure(report, at, folder / link.name, options)
    return report


def _measure(report: Report, link: Link, folder: Path, options: Options) -> None:
    size = link.size // 50 if options.quick else link.size
    rounds = options.rounds(7)
    speeds = asyncio.run(_speeds(link, folder, size, rounds))
    for name, samples in speeds.items():
        report.add(f"{link.name}, {name}", "MB/s", samples)
    for ours, plain in ((PUT, TAKE), (GET, GIVE)):
        report.compare(f"{link.name}: {ours} / {plain}", speeds[ours], speeds[plain], ">=", TARGET)


async def _speeds(link: Link, folder: Path, size: int, rounds: int) -> dict[str, list[float]]:
    """MB/s of each way in each round, in turns, after one that does not count."""
    there = folder / "there"
    there.mkdir(parents=True)
    (folder / "file").write_bytes(os.urandom(size))
    speeds: dict[str, list[float]] = {}
    async with _served(link, there) as url, connect(url) as client:
        writes = window(client.info)
        ways: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            (PUT, partial(put, client, folder / "file")),
            (TAKE, partial(_plain, client, partial(_take, client), size, writes)),
            (GET, partial(get, client, "given", folder / "copy")),
            (GIVE, partial(_plain, client, partial(_give, client), size, min(writes, WINDOW))),
        ]
        for turn in range(rounds + 1):
            for name, way in ways[turn % 4 :] + ways[: turn % 4]:
                for path in (there / "file", folder / "copy"):
                    path.unlink(missing_ok=True)
                (there / "given").write_bytes(os.urandom(size))
                await client.call("files.stat", {"name": "given"})  # its hash does not count
                start = perf_counter()
                await way()
                if turn > 0:
                    speeds.setdefault(name, []).append(size / 1e6 / (perf_counter() - start))
    return {name: speeds[name] for name, _ in ways}


@asynccontextmanager
async def _served(link: Link, folder: Path) -> AsyncIterator[str]:
    if not link.url:
        async with virtual_radio() as radio, serve(device(folder), radio.url("files")) as running:
            yield running.urls[0]
        return
    os.environ[FILES_AT] = f"{link.url} {folder}"
    with server("files") as process:
        yield process.address


async def _plain(
    client: Client, call: Callable[[int], Awaitable[None]], size: int, at_once: int
) -> None:
    """Carry so many bytes by plain calls, several at once."""
    chunk = _room(client)
    left = size
    async with anyio.create_task_group() as tasks:

        async def work() -> None:
            nonlocal left
            while left > 0:
                length = min(chunk, left)
                left -= length
                await call(length)

        for _ in range(at_once):
            tasks.start_soon(work)


def _room(client: Client) -> int:
    """Bytes that one plain call carries either way."""
    limit = client.info.max_message
    overhead = len(b'{"method":"take","id":1073741824,"params":{"data":""},"timeout":9.99}')
    return MOST if limit is None else min(MOST, (limit - overhead) // 4 * 3)


async def _take(client: Client, length: int) -> None:
    await client.call("take", {"data": bytes(length)}, idempotent=True)


async def _give(client: Client, length: int) -> None:
    given = await client.call("give", {"length": length}, result=bytes, idempotent=True)
    if len(given) != length:
        raise AssertionError(f"{len(given)} bytes")
