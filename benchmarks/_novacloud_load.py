"""What loads a platform beside what is measured: devices that talk, and reports that read all.

`python -m benchmarks._novacloud_load URL COUNT` is a program that asks for so many reports at once,
again and again, until its standard input ends. It says `ready` when the first ones are asked for.
"""

import random
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from time import perf_counter

import anyio
import msgspec

from jsonrpc_iot import connect

from ._novacloud import data, device_id
from ._novacloud_store import BIG
from ._servers import _ready, _stop_with_parent

_REPORTS = (
    {"interval": 3600, "limit": 10_000},
    {"interval": 86_400, "aggregate": "sum", "order": "desc"},
    {"aggregate": "max"},
    {"interval": 60, "aggregate": "last", "limit": 1000},
)


class Fleet:
    """Devices that send messages in turns, and do what they are told.

    Attributes:
        sent: messages.
        lost: connections that the platform has closed.
    """

    def __init__(self, links: Sequence[socket.socket], rate: float) -> None:
        self._links = links
        self._pause = 1 / rate if rate else float("inf")
        self._running = True
        self.sent = self.lost = 0

    def stop(self) -> None:
        """Send no more."""
        self._running = False

    def run(self) -> None:
        """Be the devices."""
        line = data(20)
        turns = cycle(self._links)
        due = perf_counter() if self._pause < float("inf") else float("inf")
        with selectors.DefaultSelector() as selector:
            for link in self._links:
                selector.register(link, selectors.EVENT_READ, link)
            while self._running:
                while due <= perf_counter():
                    next(turns).sendall(line)
                    self.sent += 1
                    due += self._pause
                for key, _ in selector.select(min(max(0.0, due - perf_counter()), 0.1)):
                    if not _answer(link := key.data):
                        self.lost += 1
                        selector.unregister(link)


def _answer(link: socket.socket) -> bool:
    """Do what a device is told; says whether its connection goes on."""
    lines = link.recv(65536)
    for line in lines.splitlines():
        message = msgspec.json.decode(line)
        if message["type"] == "command":
            response = {
                "type": "command_response",
                "command_id": message["command_id"],
                "status": "success",
                "payload": message["payload"],
            }
            link.sendall(msgspec.json.encode(response) + b"\n")
    return bool(lines)


@contextmanager
def talking(links: Sequence[socket.socket], rate: float) -> Iterator[Fleet]:
    """Have devices send so many messages a second together, and answer, while the block runs."""
    fleet = Fleet(links, rate)
    thread = threading.Thread(target=fleet.run)
    thread.start()
    try:
        yield fleet
    finally:
        fleet.stop()
        thread.join()


@contextmanager
def reports(url: str, count: int) -> Iterator[None]:
    """Have so many reports over all values computed at once while the block runs.

    Raises:
        RuntimeError: they failed.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._novacloud_load", url, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the reports did not start")
        yield
        if process.poll() is not None:
            raise RuntimeError("the reports stopped")
        process.stdin.close()


async def _report(url: str, count: int) -> None:
    async with connect(url, timeout=600.0) as client, anyio.create_task_group() as tasks:

        async def ask() -> None:
            while True:
                params = {"device_id": device_id(0), "value_key": BIG, **random.choice(_REPORTS)}
                async with client.stream("telemetry.query", params) as points:
                    async for _ in points:
                        pass

        for _ in range(count):
            tasks.start_soon(ask)
        await client.call("platform.stats")
        _ready("ready")


def _main(url: str, count: str) -> None:
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    anyio.run(_report, url, int(count))


if __name__ == "__main__":
    _main(*sys.argv[1:])
