"""A device and a platform that are both killed at random moments: each report is stored once."""

import os
import random
import socket
import sqlite3
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.platform.admission import hash_key
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from tests.places import ROOT

from .device.test_crash import REPORTER
from .scripted import ID, KEY

CRASHES = int(os.environ.get("JSONRPC_IOT_CRASHES", "10"))
PLATFORM = """
import sys, anyio
from jsonrpc_iot.novacloud import NovaPlatform, PlatformSettings, SqliteStore

async def main(database, port):
    settings = PlatformSettings(messages_per_second=1e6, flap_delay=0)
    async with NovaPlatform(SqliteStore(database), port=port, settings=settings):
        print("listening", flush=True)
        await anyio.sleep_forever()

anyio.run(main, sys.argv[1], int(sys.argv[2]))
"""


class Joint:
    """A device and a platform, a process each, and what is known of the reports.

    Args:
        folder: has the files of both.

    Attributes:
        reported: the numbers that `report` returned for.
    """

    def __init__(self, folder: Path) -> None:
        self._database = folder / "nova.db"
        self._outbox = folder / "outbox.db"
        anyio.run(self._prepare)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        self._first = 0
        self.reported: list[int] = []
        self.start_platform()
        self.start_device(100_000)

    async def _prepare(self) -> None:
        async with SqliteStore(self._database) as store:
            await store.create_device(
                DeviceRow(device_id=ID, name="lamp", key_hash=hash_key(KEY), created=0.0)
            )
            for key in range(5):
                await store.define_sensor(ID, f"n{key}", "number")

    def start_platform(self) -> None:
        self.platform = _start(PLATFORM, self._database, self._port)
        assert self.platform.stdout is not None
        assert self.platform.stdout.readline() == "listening\n"

    def start_device(self, count: int) -> None:
        """Start a device that makes so many reports; no number comes twice."""
        self.device = _start(REPORTER, self._port, self._outbox, self._first, count)
        self._first += 1_000_000

    def note(self, count: int) -> None:
        """Wait for so many reports."""
        assert self.device.stdout is not None
        self.reported += map(int, islice(self.device.stdout, count))

    def kill_device(self) -> None:
        with self.device as device:
            assert device.stdout is not None
            device.kill()
            self.reported += [int(line) for line in device.stdout if line.endswith("\n")]

    def kill_platform(self) -> None:
        with self.platform:
            self.platform.kill()

    def stored(self) -> list[int]:
        """The numbers in the platform's file, in the order in which they came."""
        return [n for (n,) in self._ask("SELECT value FROM telemetry ORDER BY received, value")]

    def head(self) -> int:
        """The highest number that the platform has of the outbox."""
        return sum(n for (n,) in self._ask("SELECT seq FROM outboxes"))

    def is_sound(self) -> bool:
        return bool(self._ask("PRAGMA integrity_check") == [("ok",)])

    def _ask(self, text: str) -> list[Any]:
        database = sqlite3.connect(self._database)
        try:
            return database.execute(text).fetchall()
        finally:
            database.close()


def _start(program: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NOVACLOUD_DEVICE_KEY": KEY},
    )


@pytest.mark.timeout(60 + 5 * CRASHES)
def test_each_report_is_stored_once_whoever_crashes(tmp_path: Path) -> None:
    source = random.Random(2)
    joint = Joint(tmp_path)
    heads = set()
    killed = 0
    for _ in range(CRASHES):
        joint.note(source.randrange(1, 600))
        time.sleep(source.random() * 0.02)  # so that it is no multiple of a report
        victim = source.choice(["device", "platform", "both"])
        if victim != "device":
            joint.kill_platform()
        if victim != "platform":
            killed += 1
            joint.kill_device()
        heads.add(joint.head())
        if victim != "device":
            joint.start_platform()
        if victim != "platform":
            joint.start_device(100_000)

    joint.kill_device()
    joint.start_device(5)  # sends all that waits before it ends
    out, _ = joint.device.communicate(timeout=50)
    assert (joint.device.returncode, len(out.splitlines())) == (0, 5)
    joint.reported += map(int, out.split())
    joint.kill_platform()

    stored = joint.stored()
    assert stored == sorted(set(stored))  # in order, each once
    assert not set(joint.reported) - set(stored)
    # A report that was on disk when its program was killed counts, though nobody was told.
    assert len(stored) <= len(joint.reported) + killed + 1
    assert len(heads) > CRASHES / 3  # the two had something to do with each other
    assert joint.is_sound()
