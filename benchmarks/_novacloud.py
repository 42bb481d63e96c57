"""The platforms that `novacloud` loads, each in a process of its own, and devices for them.

`python -m benchmarks._novacloud KIND BACKEND FOLDER DEVICES` serves on free ports of 127.0.0.1,
prints them and stops when its standard input ends. `plain` is what one writes in an afternoon:
asyncio streams, `json`, one INSERT for each message. Both know the same devices.
"""

import asyncio
import json
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
from msgspec import Struct

from ._servers import _ready, _stop_with_parent

if TYPE_CHECKING:
    from jsonrpc_iot.novacloud import Store

VALUES = 10
KEY = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "server.pem"
URL_FILE = "url"


class Platform(Struct, frozen=True):
    """A running platform; `plain` has no management URLs."""

    pid: int
    port: int
    urls: list[str]
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
        kind: `ours`, `plain`, `no_fsync`: ours without waiting for the disk, or `tls`: ours with
            the certificate that is in the folder, `postgres`: in the database whose URL is there.
        backend: `asyncio`, `uvloop` or `trio`; `plain` knows asyncio alone.
        folder: for its database; one of ours that is there is used.
        devices: how many it knows.

    Raises:
        RuntimeError: it did not start.
    """
    if kind not in ("plain", "postgres") and not (folder / f"{kind}.db").exists():
        prepare(folder / f"{kind}.db", devices)
    arguments = [kind, backend, str(folder), str(devices)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._novacloud", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not (started := process.stdout.readline().split()):
            raise RuntimeError(f"the platform {kind!r} on {backend} did not start")
        port, *urls = started
        try:
            yield Platform(process.pid, int(port), urls, folder / f"{kind}.db")
        finally:
            process.stdin.close()


@contextmanager
def connected(
    running: Platform, devices: int, tls: ssl.SSLContext | None = None
) -> Iterator[list[socket.socket]]:
    """Connect and authenticate devices on blocking sockets.

    Args:
        running: where to.
        devices: how many.
        tls: for TLS.

    Raises:
        AssertionError: one is refused.
    """
    links: list[socket.socket] = []
    try:
        for first in range(0, devices, 500):
            numbers = range(first, min(first + 500, devices))
            for number in numbers:
                links.append(link_to(running, tls))
                links[-1].sendall(auth(number))
            for link in links[first:]:
                check_in(link)
        yield links
    finally:
        for link in links:
            link.close()


def link_to(running: Platform, tls: ssl.SSLContext | None = None) -> socket.socket:
    """Connect a device."""
    link = socket.create_connection(("127.0.0.1", running.port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link if tls is None else tls.wrap_socket(link, server_hostname="localhost")


def check_in(link: socket.socket) -> None:
    """Wait for the answer to an authentication.

    Raises:
        AssertionError: it is refused.
    """
    answer = json.loads(link.recv(1024))
    if answer["payload"]["status"] != "success":
        raise AssertionError(f"refused: {answer}")


def resident(pid: int, what: str = "VmRSS") -> int:
    """Resident bytes of a process, with `VmHWM` at most so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {what}")


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


def prepare(db: Path, devices: int) -> None:
    """Put devices into a database of ours, which is made."""
    from jsonrpc_iot.novacloud import SqliteStore

    async def make() -> None:
        async with SqliteStore(db):
            pass

    anyio.run(make)
    key = sha256(KEY.encode()).digest()
    ids = [device_id(number) for number in range(devices)]
    names = [f"value_{index}" for index in range(VALUES)]
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.executemany(
            "INSERT INTO devices (device_id, name, key_hash, enabled, created) "
            "VALUES (?, ?, ?, TRUE, 0)",
            ((id, id, key) for id in ids),
        )
        connection.executemany(
            "INSERT INTO actuators (device_id, command_key) VALUES (?, 'light')",
            ((id,) for id in ids),
        )
        connection.executemany(
            "INSERT INTO sensors (device_id, value_key, type) VALUES (?, ?, 'number')",
            ((id, name) for id in ids for name in names),
        )


async def _no_fsync(folder: Path, devices: int) -> None:
    await _ours(folder, devices, "no_fsync")


async def _tls(folder: Path, devices: int) -> None:
    await _ours(folder, devices, "tls")


async def _postgres(folder: Path, devices: int) -> None:
    from jsonrpc_iot.novacloud.store.postgres import PostgresStore

    await _serve(PostgresStore((folder / URL_FILE).read_text()))


async def _ours(folder: Path, devices: int, kind: str = "ours") -> None:
    from jsonrpc_iot.novacloud import SqliteStore

    tls = None
    if kind == "tls":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(folder / CERTIFICATE)
    await _serve(SqliteStore(folder / f"{kind}.db", durable=kind != "no_fsync"), tls)


async def _serve(store: "Store", tls: ssl.SSLContext | None = None) -> None:
    from jsonrpc_iot import serve
    from jsonrpc_iot.novacloud import NovaPlatform, management

    running = NovaPlatform(store, port=0, tls=tls)
    urls = "tcp://127.0.0.1:0", f"pipe://benchmark-{os.getpid()}"
    async with running, serve(management(running), *urls) as server:
        _ready(" ".join([str(running.port), *server.urls]))
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
    kinds = {"ours": _ours, "plain": _plain, "no_fsync": _no_fsync, "tls": _tls}
    serve = {**kinds, "postgres": _postgres}[kind]
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    if backend == "trio":
        anyio.run(serve, Path(folder), int(devices), backend="trio")
    else:
        options = {"use_uvloop": backend == "uvloop"}
        anyio.run(serve, Path(folder), int(devices), backend_options=options)


if __name__ == "__main__":
    main()
