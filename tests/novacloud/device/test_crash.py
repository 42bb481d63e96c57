"""Devices that are killed at random moments, and networks that cut: nothing is lost or doubled."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.novacloud.scripted import ID, KEY
from tests.places import ROOT
from tests.waiting import SECONDS

CRASHES = int(os.environ.get("JSONRPC_IOT_CRASHES", "10"))
REPORTER = """
import sys, anyio
from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule

async def main(port, outbox, first, count):
    settings = DeviceSettings(
        drain_rate=3000,
        drain_burst=500,
        close_seconds=20,
        schedule=Schedule(first=0.01, longest=0.05),
    )
    batch_seconds = first // 1_000_000 % 2 * 0.01  # in every other run
    async with NovaDevice(
        "127.0.0.1",
        port,
        device_id="DEVICE",
        outbox=outbox,
        heartbeat=0.2,
        batch_seconds=batch_seconds,
        settings=settings,
    ) as device:
        for number in range(first, first + count):
            await device.report({f"n{number % 5}": number}, timestamp=number - number % 5)
            print(number, flush=True)
            await anyio.sleep(0.0005)
        await device.connected()

anyio.run(main, int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
""".replace("DEVICE", ID)


class Store:
    """A platform that keeps each row once, acknowledges late, and hangs up now and then."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._changed = threading.Condition()
        self._heads: dict[str, int] = {}
        self.values: list[Any] = []
        self.repeats = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def wait_for(self, count: int) -> None:
        """Wait until it has so many rows, of which it need not have acknowledged any."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.values) >= count, SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        left = self._random.randrange(50, 3000)  # lines until it hangs up
        try:
            with connection, connection.makefile("rwb") as stream:
                outbox = ""
                for line in stream:
                    message = msgspec.json.decode(line)
                    if message["type"] == "auth":
                        outbox = message["payload"]["outbox_id"]
                        answer: dict[str, Any] = {"status": "success", "ext": ["ack"]}
                        _send(stream, {"type": "auth_response", "payload": answer})
                    elif message["type"] == "data":
                        self._take(outbox, message)
                        if self._random.random() < 0.1:
                            payload = {"upto": message["seq"]}
                            time.sleep(self._random.random() * 0.002)
                            _send(stream, {"type": "ack", "payload": payload})
                    elif message["type"] == "heartbeat" and outbox in self._heads:
                        _send(stream, {"type": "ack", "payload": {"upto": self._heads[outbox]}})
                    left -= 1
                    if not left:
                        return
        except (OSError, msgspec.DecodeError):  # killed in the middle of a line
            pass

    def _take(self, outbox: str, message: dict[str, Any]) -> None:
        with self._changed:
            if message["seq"] <= self._heads.get(outbox, 0):
                self.repeats += 1
                return
            self._heads[outbox] = message["seq"]
            numbers = [value for key, value in message["payload"].items() if key[0] == "n"]
            assert all(0 <= number - message["timestamp"] < 5 for number in numbers)
            self.values += numbers or [None]
            self._changed.notify_all()


def _send(stream: Any, message: dict[str, Any]) -> None:
    stream.write(msgspec.json.encode(message) + b"\n")
    stream.flush()


@pytest.mark.timeout(60 + 3 * CRASHES)
def test_what_was_reported_is_stored_once_whatever_crashes(tmp_path: Path) -> None:
    source = random.Random(1)
    store = Store(1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NOVACLOUD_DEVICE_KEY": KEY}
    reported: list[int] = []

    def start(first: int, count: int) -> "subprocess.Popen[str]":
        arguments = [str(store.port), str(tmp_path / "outbox.db"), str(first), str(count)]
        return subprocess.Popen(
            [sys.executable, "-c", REPORTER, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    for crash in range(CRASHES):
        with start(1_000_000 * crash, 100_000) as process:
            assert process.stdout is not None
            lines = islice(process.stdout, source.randrange(1, 400))
            reported.extend(int(line) for line in lines)
            time.sleep(source.random() * 0.01)
            process.kill()
            reported += [int(line) for line in process.stdout if line.endswith("\n")]

    with start(1_000_000 * CRASHES, 5) as process:
        out, err = process.communicate(timeout=50)
        assert (process.returncode, len(out.splitlines())) == (0, 5), err
    reported += map(int, out.split())
    store.close()

    assert store.values == sorted(set(store.values))  # in order, each once
    missing = set(reported) - set(store.values)
    assert not missing
    # A report that was on disk when its program was killed counts, though nobody was told.
    assert len(store.values) <= len(reported) + CRASHES
    assert store.repeats > 0
