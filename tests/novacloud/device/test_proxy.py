"""Reports through a network that cuts, stalls and half-closes connections."""

import random
import socket
import struct
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule
from tests.novacloud.scripted import ID, KEY
from tests.waiting import eventually

from .test_crash import Store

pytestmark = pytest.mark.anyio

_REPORTS = 400
_BAD = 9


class Proxy:
    """Passes some bytes on, and then does one of three bad things to the connection.

    After some connections it passes on everything.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._random = random.Random(7)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.done: set[str] = set()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            near.settimeout(1)
            far.settimeout(1)
            number = len(self._threads) // 2
            size = self._random.randrange(2000, 9000) if number < _BAD else 1 << 30
            how = ("cut", "stall", "half-close")[number % 3]
            up = (near, far, size, how)
            for work, arguments in ((self._pass, up), (_pass_back, (far, near))):
                thread = threading.Thread(target=work, args=arguments)
                self._threads.append(thread)
                thread.start()

    def _pass(self, near: socket.socket, far: socket.socket, size: int, how: str) -> None:
        with near, far:
            try:
                while size > 0 and (data := near.recv(min(size, 512))):
                    far.sendall(data)
                    size -= len(data)
                if size > 0:
                    return
                self.done.add(how)
                if how == "stall":  # longer than the device waits for a write or for the kernel
                    self._over.wait(0.5)
                elif how == "half-close":
                    near.shutdown(socket.SHUT_WR)
                    while near.recv(4096):
                        pass
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass


def _pass_back(far: socket.socket, near: socket.socket) -> None:
    try:
        while data := far.recv(4096):
            near.sendall(data)
    except OSError:
        pass


async def test_every_report_arrives_once_and_in_order(tmp_path: Path) -> None:
    store = Store(3)
    proxy = Proxy(store.port)
    settings = DeviceSettings(
        drain_rate=2000, close_seconds=0.1, schedule=Schedule(first=0.01, longest=0.02)
    )
    try:
        async with NovaDevice(
            "127.0.0.1",
            proxy.port,
            device_id=ID,
            device_key=KEY,
            outbox=tmp_path / "outbox.db",
            heartbeat=0.2,
            settings=settings,
        ) as device:
            for number in range(_REPORTS):
                await device.report({"n": number}, timestamp=number)
                if number % 20 == 0:
                    await anyio.sleep(0.005)
            await eventually(lambda: device.outbox.rows == 0)
        assert device.counts.connections > 3
    finally:
        await anyio.to_thread.run_sync(proxy.close)
        store.close()
    assert store.values == [*range(_REPORTS)]
    assert proxy.done == {"cut", "stall", "half-close"}
    assert store.repeats > 0
