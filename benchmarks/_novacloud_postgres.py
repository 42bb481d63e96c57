"""What a platform on PostgreSQL costs: the CPU that its process takes for a message.

The server is the one of the tests, and waits for the disk as an SQLite file does.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ._novacloud import (
    KEY,
    URL_FILE,
    VALUES,
    Platform,
    connected,
    data,
    platform,
    stored,
)

if TYPE_CHECKING:
    from tests.novacloud.servers import Postgres

_PATIENCE = 120.0
MAKE_DEVICES = f"""
SET search_path = novacloud;
INSERT INTO devices (device_id, name, key_hash, enabled, created, tags)
    SELECT id, id, sha256('{KEY}'), TRUE, 0, ARRAY[]::text[] FROM generate_series(1, %d) AS number,
    LATERAL (SELECT lpad(to_hex(number), 32, '0')::uuid::text AS id) AS each;
INSERT INTO actuators (device_id, command_key) SELECT device_id, 'light' FROM devices;
INSERT INTO sensors (device_id, value_key, type) SELECT device_id, 'value_' || number, 'number'
    FROM devices, generate_series(0, {VALUES - 1}) AS number;
ANALYZE;
"""


def cost(backend: str, devices: int, messages: int, server: "Postgres | None") -> float:
    """Seconds of CPU that the platform's process takes for a message.

    Args:
        backend: `asyncio` or `uvloop`.
        devices: that send.
        messages: of each of them.
        server: where it stores; in a file without.
    """
    running = _in_file(backend, devices) if server is None else _on(server, backend, devices)
    with running as (place, values), connected(place, devices) as links:
        for link in links:
            link.sendall(data(0))
        _wait(values, devices * VALUES)
        before = _cpu(place.pid)
        for number in range(messages):
            for link in links:
                link.sendall(data(number))
        _wait(values, devices * (messages + 1) * VALUES)
        return (_cpu(place.pid) - before) / devices / messages


class _Stored:
    """How many values are stored, as another process sees it."""

    def __init__(self, db: Path, server: "Postgres | None") -> None:
        self._db = db
        self._server = server

    def count(self) -> int:
        if self._server is None:
            return stored(self._db, False)
        return int(self._server.sql("SELECT count(*) FROM novacloud.telemetry", "bench"))


def _wait(values: _Stored, expected: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (found := values.count()) < expected:
        if time.monotonic() > deadline:
            raise AssertionError(f"{found} of {expected} values are stored")
        time.sleep(0.05)


@contextmanager
def _in_file(backend: str, devices: int) -> Iterator[tuple[Platform, _Stored]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        platform("ours", backend, Path(folder), devices) as running,
    ):
        yield running, _Stored(running.db, None)


@contextmanager
def _on(server: "Postgres", backend: str, devices: int) -> Iterator[tuple[Platform, _Stored]]:
    server.sql("DROP DATABASE IF EXISTS bench WITH (FORCE)")
    server.sql("CREATE DATABASE bench")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, URL_FILE).write_text(server.database_url("bench"))
        with platform("postgres", backend, Path(folder), devices) as running:
            server.sql(MAKE_DEVICES % devices, "bench")
            yield running, _Stored(running.db, server)


def _cpu(pid: int) -> float:
    """Seconds that a process has taken; `clock_getcpuclockid` of Linux is no more than this."""
    return time.clock_gettime(~pid << 3 | 2)
