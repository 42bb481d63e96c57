"""ESPHome's `tuya` component, compiled for this machine, as the module at the other end of our MCU.

ESPHOME_PYTHON names an interpreter that has it, as `make test-foreign` installs it; it needs g++.
ESPHome sends its first heartbeat up to 5 s after it has started, and others every 15 s.
"""

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import ConnectFailed, Dispatcher, serve
from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair
from jsonrpc_iot.testing.conformance import check_conformance
from jsonrpc_iot.tuya import DataPoint, DataPointType, NetworkStatus, TuyaMcu
from tests._system import require_command
from tests.interop.foreign import FOLDER, Foreign, foreign, interpreter
from tests.waiting import Tally

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("asyncio"),  # as serial ports do
    pytest.mark.timeout(300),  # it is compiled first
]

SECONDS = 50.0

POWER, LEVEL, MODE, FAULT, MESSAGE = 1, 2, 4, 5, 232
TYPES = {
    POWER: DataPointType.BOOL,
    LEVEL: DataPointType.VALUE,
    MODE: DataPointType.ENUM,
    FAULT: DataPointType.BITMAP,
}
AT_FIRST = {POWER: True, LEVEL: -7, MODE: 1, FAULT: 1}  # ESPHome takes a bitmap of 1 or 0 alone
SHOWN = {"Power": True, "Level": -7, "Mode": "colour", "Fault": True}


def point(id: int, value: bool | int) -> DataPoint:
    return DataPoint(id, TYPES[id], value)


def dimmed(level: int) -> int:
    """What a lamp makes of a level: ESPHome alone would show what was pressed."""
    return level - level % 10


class Lamp:
    """An MCU that takes what it is told, and reports what it makes of that."""

    def __init__(self, line: str, values: dict[int, Any], **options: Any) -> None:
        self.mcu = TuyaMcu(f"uart://{line}", "lamp-demo", **options)
        self.mcu.set(*(point(id, value) for id, value in values.items()))
        self.taken = Tally()
        for id in values:
            self.mcu.on_datapoint(id)(self._take)

    async def _take(self, told: DataPoint) -> None:
        self.taken.add(told)
        if told.id == LEVEL and isinstance(told.value, int):
            told = point(LEVEL, dimmed(told.value))
        await self.mcu.report(told)


@pytest.fixture(scope="module")
def python() -> str:
    return interpreter("ESPHOME_PYTHON", "ESPHome")


@pytest.fixture(scope="module")
def program(python: str, request: pytest.FixtureRequest) -> Path:
    """The module. ESPHome compiles what has changed since."""
    require_command("g++")
    cache: Path = request.config.cache.mkdir("esphome")
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of pytest want it too
        for name in ("module.yaml", "loopback.h"):
            shutil.copy(FOLDER / "esphome" / name, cache)
        command = [python, "-m", "esphome", "compile", "module.yaml"]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (built,) = cache.glob(".esphome/build/module/**/program")
        return built


@contextmanager
def running(program: Path, line: str) -> Iterator[int]:
    """ESPHome on a serial line; gives the port of its API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    device = os.open(line, os.O_RDWR | os.O_NOCTTY)
    environment = {**os.environ, "API_PORT": str(port)}
    with subprocess.Popen(
        [program], stdin=device, stdout=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(device)
        try:
            yield port
        finally:
            process.kill()


@asynccontextmanager
async def esphome(python: str, program: Path, line: str) -> AsyncIterator[Foreign]:
    """ESPHome on a serial line, and somebody who looks at it and presses."""
    with running(program, line) as port:
        async with foreign(Foreign, python, "esphome/press.py", port) as there:
            await there.ready()
            yield there


async def dim(there: Foreign, level: int) -> None:
    """Set a level, and wait until what the lamp makes of it is shown."""
    await there.order(kind="number", entity="Level", value=level)
    await there.until({"Level": dimmed(level)})


@pytest.fixture
async def line() -> AsyncIterator[VirtualSerial[str]]:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(paths=True) as line:
            yield line


async def test_each_end_sees_what_the_other_does(
    python: str, program: Path, line: VirtualSerial[str]
) -> None:
    lamp, rpc = Lamp(line.first, AT_FIRST), Dispatcher()
    rpc.method("add")(lambda a, b: a + b)
    cloud = anyio.Event()  # which ESPHome has when somebody uses its API

    @lamp.mcu.on_network_status
    def heard(status: NetworkStatus | int) -> None:
        if status == NetworkStatus.CLOUD:
            cloud.set()

    async with lamp.mcu as mcu, serve(rpc, mcu.datapoint_channel(gap=0)):
        async with esphome(python, program, line.second) as there:
            await there.until(SHOWN)
            await cloud.wait()
            await dim(there, 305)
            await dim(there, -95)
            await there.order(kind="switch", entity="Power", value=False)
            await there.order(kind="select", entity="Mode", value="white")
            await lamp.taken.reach(4)
            assert lamp.taken.items == [
                point(LEVEL, 305),
                point(LEVEL, -95),
                point(POWER, False),
                point(MODE, 0),
            ]
            await mcu.report(point(LEVEL, 42), point(POWER, True))
            await there.until({"Level": 42, "Power": True})
            await mcu.report(point(FAULT, 0), confirm=True)
            await there.until({"Fault": False})
            request = '{"method":"add","params":[1,2],"id":1}'
            await there.order(kind="text", entity="Send", value=request)
            await there.until({"Message": '{"id":1,"result":3}'})
        assert mcu.decoder.noise_bytes == mcu.decoder.bad_checksums == 0


def frame(command: int, data: bytes) -> bytes:
    head = bytes([0x55, 0xAA, 3, command]) + len(data).to_bytes(2, "big") + data
    return head + bytes([sum(head) % 256])


async def test_it_takes_messages_and_answers_none(
    python: str, program: Path, line: VirtualSerial[str]
) -> None:
    async with esphome(python, program, line.second) as there:
        with pytest.raises(ConnectFailed, match="nobody answers"):
            await check_conformance(f"tuya-dp://{line.first}?role=mcu&gap=0", timeout=3)
        await there.until_text("Message", "rpc.ping")


SET = frame(6, b"\x02\x02\0\4\0\0\0\x09")
BROKEN = {
    "noise": b"\0\xff\xaa\x55",
    "a wrong checksum": SET[:-1] + bytes([SET[-1] ^ 1]),
    "a frame that lacks its end": SET[:-3],
    "a length that is too long": b"\x55\xaa\3\6\xff\xff",
    "a length that swallows the next frame": b"\x55\xaa\3\6\0\x20",
    "no units": frame(6, b"\x02\x02\0"),
}


async def test_broken_bytes_between_frames(
    python: str, program: Path, line: VirtualSerial[str]
) -> None:
    lamp = Lamp(line.first, AT_FIRST)
    async with lamp.mcu as mcu, esphome(python, program, line.second) as there:
        await there.until(SHOWN)
        device = os.open(line.second, os.O_RDWR | os.O_NOCTTY)
        try:
            for level, broken in enumerate(BROKEN.values(), 1):
                os.write(device, broken)
                await dim(there, 10 * level + 5)
        finally:
            os.close(device)
        assert [told.value for told in lamp.taken.items] == [15, 25, 35, 45, 55, 65]
        assert mcu.decoder.bad_checksums
        line.set_faults(LineFaults(drop=0.005, flip=0.005, insert=0.005))
        level, shown = 100, 0
        while shown < 5:  # what is spoilt is not sent again
            level += 10
            with anyio.move_on_after(1):
                await dim(there, level + 5)
                shown += 1
        line.set_faults(LineFaults())
        await dim(there, 999)


async def test_esphome_starts_again(python: str, program: Path, line: VirtualSerial[str]) -> None:
    lamp = Lamp(line.first, AT_FIRST)
    async with lamp.mcu as mcu:
        async with esphome(python, program, line.second) as there:
            await there.until(SHOWN)
        await mcu.report(point(LEVEL, 5), point(POWER, False))
        async with esphome(python, program, line.second) as there:
            await there.until(SHOWN | {"Level": 5, "Power": False})
            await dim(there, 999)


async def test_the_mcu_starts_again(python: str, program: Path, line: VirtualSerial[str]) -> None:
    """ESPHome asks one that shows the network's state by itself for all values a second time."""
    lamp = Lamp(line.first, AT_FIRST, working_mode=b"\x0e\0")
    async with AsyncExitStack() as stack:
        async with lamp.mcu:
            there = await stack.enter_async_context(esphome(python, program, line.second))
            await there.until(SHOWN)
            await dim(there, 305)
        lamp = Lamp(line.first, AT_FIRST, working_mode=b"\x0e\0")
        async with lamp.mcu:
            await there.until(SHOWN)
            await dim(there, 305)


async def test_a_dispatcher_at_a_url(python: str, program: Path, line: VirtualSerial[str]) -> None:
    lamp, told = Dispatcher(), Tally()

    @lamp.notification("tuya.datapoint")
    def take(id: int, type: str, value: bool | int) -> None:
        told.add((id, type, value))
        value = dimmed(value) if id == LEVEL else value
        lamp.emit("tuya.datapoint", {"id": id, "type": type, "value": value})

    url = f"tuya-dp://{line.first}?role=mcu&gap=0"
    async with serve(lamp, url), esphome(python, program, line.second) as there:
        for id, value in AT_FIRST.items():
            lamp.emit("tuya.datapoint", {"id": id, "type": TYPES[id].name.lower(), "value": value})
        await there.until(SHOWN)
        await dim(there, 305)
        await there.order(kind="switch", entity="Power", value=False)
        await told.reach(2)
        assert told.items == [(LEVEL, "value", 305), (POWER, "bool", False)]
