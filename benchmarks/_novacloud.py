"""The platforms that `novacloud` loads, each in a process of its own, and devices for them.

`python -m benchmarks._novacloud KIND BACKEND FOLDER DEVICES` serves on free ports of 127.0.0.1,
prints them and stops when its standard input ends. `plain` is what one writes in an afternoon:
asyncio streams, `json`, one INSERT for each message. Both know the same devices.
"""

import asyncio
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from uuid import UUID

import anyio
from msgspec import Struct

from ._servers import _ready, _stop_with_parent

VALUES = 10
KEY = "0123456789abcdef0123456789abcdef"


class Platform(Struct, frozen=True):
    """A running platform; `plain` has no management URL."""

    pid: int
    port: int
    url: str
    db: Path


def device_id(number: int) -> str:
    """The id of one of the devices."""
    return str(UUID(int=number + 1))


def auth(number: int) -> bytes:
    """The first line of one of the devices."""
    payload = {"device_id": device_id(number), "device_key": KEY}
    return json.dumps({"type": "auth", "payload": payload}).encode() + b"\n"


def data(number: int) -> bytes:
    """A message of ten values."""
    payload = {f"value_{index}": number + index / 8 for index in range(VALUES)}
    return json.dumps({"type": "data", "payload": payload}).encode() + b"\n"


@contextmanager
def platform(kind: str, backend: str, folder: Path, devices: int) -> Iterator[Platform]:
    """Run a platform until the block ends.

    Args:
        kind: `ours`, `plain`, or `no_fsync`: ours without waiting for the disk.
        backend: `asyncio`, `uvloop` or `trio`; `plain` knows asyncio alone.
        folder: for its database.
        devices: how many it knows.

    Raises:
        RuntimeError: it did not start.
    """
    if kind != "plain":
        anyio.run(_prepare, folder / f"{kind}.db", devices)
    arguments = [kind, backend, str(folder), str(devices)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._novacloud", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port, _, url = process.stdout.readline().strip().partition(" ")
        if not port:
            raise RuntimeError(f"the platform {kind!r} on {backend} did not start")
        try:
            yield Platform(process.pid, int(port), url, folder / f"{kind}.db")
        finally:
            process.stdin.close()


@contextmanager
def connected(running: Platform, devices: int) -> Iterator[list[socket.socket]]:
    """Connect and authenticate devices on blocking sockets.

    Raises:
        AssertionError: one is refused.
    """
    links: list[socket.socket] = []
    try:
        for first in range(0, devices, 500):
            numbers = range(first, min(first + 500, devices))
            some = [socket.create_connection(("127.0.0.1", running.port)) for _ in numbers]
            links += some
            for number, link in zip(numbers, some, strict=True):
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.sendall(auth(number))
            for link in some:
                answer = json.loads(link.recv(1024))
                if answer["payload"]["status"] != "success":
                    raise AssertionError(f"refused: {answer}")
        yield links
    finally:
        for link in links:
            link.close()


def stored(db: Path, plain: bool) -> int:
    """How many values are in a database."""
    with sqlite3.connect(db) as connection:
        (count,) = connection.execute("SELECT count(*) FROM telemetry").fetchone()
    return int(count) * (VALUES if plain else 1)


def wait_stored(db: Path, plain: bool, expected: int, seconds: float) -> None:
    """Wait until so many values can be read, by another process than the platform.

    Raises:
        AssertionError: the time is over.
    """
    deadline = time.monotonic() + seconds
    while (found := stored(db, plain)) < expected:
        if time.monotonic() > deadline:
            raise AssertionError(f"{found} of {expected} values are stored")
        time.sleep(0.02)


def values_on_disk(db: Path, groups: int) -> tuple[float, float]:
    """Store values of 5,000 sensors in groups of a second; runs in a process of its own.

    Returns:
        Bytes written to the disk for each, and the seconds that a backup of them takes.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._novacloud_store", str(db), str(groups)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    per_value, seconds = done.stdout.split()
    return float(per_value), float(seconds)


async def _prepare(db: Path, devices: int) -> None:
    """Put the devices into a database, in another process than the one that is measured."""
    from jsonrpc_iot.novacloud import SqliteStore
    from jsonrpc_iot.novacloud.store.store import DeviceRow

    key_hash = sha256(KEY.encode()).digest()
    store = SqliteStore(db)

    async def add(number: int) -> None:
        id = device_id(number)
        await store.create_device(DeviceRow(device_id=id, name=id, key_hash=key_hash))
        await store.define_actuator(id, "light")
        for index in range(VALUES):
            await store.define_sensor(id, f"value_{index}", "number")

    async with store, anyio.create_task_group() as tasks:
        for number in range(devices):
            tasks.start_soon(add, number)


async def _no_fsync(folder: Path, devices: int) -> None:
    await _ours(folder, devices, "no_fsync")


async def _ours(folder: Path, devices: int, kind: str = "ours") -> None:
    from jsonrpc_iot import serve
    from jsonrpc_iot.novacloud import NovaPlatform, SqliteStore, management

    running = NovaPlatform(SqliteStore(folder / f"{kind}.db", durable=kind == "ours"), port=0)
    async with running, serve(management(running), "tcp://127.0.0.1:0") as server:
        _ready(f"{running.port} {server.urls[0]}")
        await server.wait_closed()


async def _plain(folder: Path, devices: int) -> None:
    db = sqlite3.connect(folder / "plain.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE telemetry (device TEXT, timestamp REAL, payload TEXT)")
    keys = dict(zip(map(device_id, range(devices)), repeat(KEY)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        payload = json.loads(await reader.readline())["payload"]
        is_known = keys.get(payload["device_id"]) == payload["device_key"]
        status = "success" if is_known else "error"
        answer = {"type": "auth_response", "payload": {"status": status}}
        writer.write(json.dumps(answer).encode() + b"\n")
        while is_known and (line := await reader.readline()):
            message = json.loads(line)
            if message["type"] == "data":
                row = payload["device_id"], time.time(), json.dumps(message["payload"])
                db.execute("INSERT INTO telemetry VALUES (?, ?, ?)", row)
                db.commit()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    _ready(f"{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


def main() -> None:
    """Serve what the command line names."""
    kind, backend, folder, devices = sys.argv[1:]
    serve = {"ours": _ours, "plain": _plain, "no_fsync": _no_fsync}[kind]
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    if backend == "trio":
        anyio.run(serve, Path(folder), int(devices), backend="trio")
    else:
        options = {"use_uvloop": backend == "uvloop"}
        anyio.run(serve, Path(folder), int(devices), backend_options=options)


if __name__ == "__main__":
    main()
