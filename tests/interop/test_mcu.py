"""The example for microcontrollers, compiled, against our client over a serial line."""

import os
import subprocess
import sys
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import CallTimeout, Client, InvalidParams, MethodNotFound, connect
from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair
from tests._system import require_command
from tests.places import EXAMPLES

SOURCES = EXAMPLES / "mcu"
SECONDS = 10.0
PERFECT = LineFaults()
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("asyncio"),  # as serial ports do
    pytest.mark.skipif(sys.platform != "linux", reason="the example's main is for Linux"),
]


@pytest.fixture(scope="module")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program."""
    program = str(tmp_path_factory.mktemp("mcu") / "lamp")
    sources = [str(SOURCES / name) for name in ("lamp.c", "rpc_frame.c")]
    subprocess.run(
        [require_command("cc"), *STRICT, "-o", program, *sources], check=True, timeout=60
    )
    return program


@contextmanager
def running(program: str, device: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([program, device], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def called(
    program: str, faults: LineFaults = PERFECT
) -> AsyncIterator[tuple[Client, VirtualSerial[str]]]:
    with anyio.fail_after(60):
        async with virtual_serial_pair(faults, seed=5, paths=True) as line:
            with running(program, line.second):
                async with connect(f"uart://{line.first}", timeout=SECONDS) as client:
                    yield client, line


async def test_calls(lamp: str) -> None:
    async with called(lamp) as (client, _):
        assert await client.call("lamp.set", {"level": 40}) == 0
        assert await client.call("lamp.set", {"other": [{"level": 1}, "}"], "level": 60}) == 40
        for params in ({"level": 101}, {"level": "40"}, {"level": -1}, {}):
            with pytest.raises(InvalidParams):
                await client.call("lamp.set", params)
        with pytest.raises(MethodNotFound):
            await client.call("lamp.dance")
        await client.notify("lamp.set", {"level": 7})
        assert await client.call("lamp.set", {"level": 8}) == 7


async def test_a_message_as_long_as_may_be(lamp: str) -> None:
    async with called(lamp) as (client, _):
        most = client.info.max_message
        assert most == 1024
        padding = "U" * (most - 100)  # half a mark, again and again
        assert await client.call("lamp.set", {"padding": padding, "level": 1}) == 0
        assert await client.call("lamp.set", {"level": 2}) == 1


async def test_a_noisy_line(lamp: str) -> None:
    faults = LineFaults(drop=0.001, flip=0.001, insert=0.001)
    async with called(lamp, faults) as (client, line):
        for level in range(30):
            await client.call("lamp.set", {"level": level}, idempotent=True)
        line.set_faults(PERFECT)
        assert await client.call("lamp.set", {"level": 0}, idempotent=True) == 29
        counts = line.to_second.counts
        assert counts.dropped + counts.flipped + counts.inserted > 0


async def test_what_is_not_repeated_runs_once_at_most(lamp: str) -> None:
    async with called(lamp) as (client, line):
        line.cut()
        with pytest.raises(CallTimeout):
            await client.call("lamp.set", {"level": 9}, timeout=1)
        line.mend()
        assert await client.call("lamp.set", {"level": 1}) == 0


def frame(message: bytes) -> bytes:
    head = b"\x55\xaa\x00\xfe" + len(message).to_bytes(2, "big") + message
    return head + bytes([sum(head) % 256])


GOOD = b'{"method":"lamp.set","params":{"level":1},"id":%d}'


@pytest.mark.parametrize(
    ("sent", "replies"),
    [
        pytest.param(b"\x55" + frame(GOOD % 1), [b'{"id":1,"result":0}'], id="stray mark"),
        pytest.param(
            frame(GOOD % 1)[:-1] + frame(GOOD % 2),
            [b'{"id":2,"result":0}'],
            id="a frame that lacks its end",
        ),
        pytest.param(
            b"\x55\xaa\x00\xfe\xff\xff" + frame(GOOD % 2),
            [b'{"id":2,"result":0}'],
            id="a length that is too long",
        ),
        pytest.param(
            b"\x55\xaa\x00\xfe\x01\x00" + frame(GOOD % 2),
            [b'{"id":2,"result":0}'],
            id="a length that swallows the next frame, until silence",
        ),
        pytest.param(
            frame(b'{"method":"x"}') + frame(b"{}") + frame(b'{"id":3,"result":1}'),
            [b'{"id":null,"error":{"code":-32600,"message":"Invalid request"}}'],
            id="neither notifications nor responses are answered",
        ),
        pytest.param(
            frame(b'{"method":') + frame(b"") + frame(b"[]"),
            [
                b'{"id":null,"error":{"code":%d,"message":"Invalid request"}}' % code
                for code in (-32700, -32700, -32600)
            ],
            id="broken messages",
        ),
        pytest.param(
            frame(b' { "id" : "a\\"}" , "x":[{"method":1}], "method" : "no" } '),
            [b'{"id":"a\\"}","error":{"code":-32601,"message":"Method not found"}}'],
            id="an id with quotes",
        ),
        pytest.param(
            frame(b'{"id":[],"method":"lamp.set"}'),
            [b'{"id":null,"error":{"code":-32600,"message":"Invalid request"}}'],
            id="an id that is none",
        ),
    ],
)
async def test_bytes(lamp: str, sent: bytes, replies: list[bytes]) -> None:
    """The last reply is to a frame that follows once the line was silent."""
    async with virtual_serial_pair(paths=True) as line:
        with opened(line.first) as port, running(lamp, line.second), anyio.fail_after(SECONDS):
            os.write(port, sent)
            await receive(port, b"".join(map(frame, replies)))
            os.write(port, frame(b'{"method":"last","id":9}'))
            last = b'{"id":9,"error":{"code":-32601,"message":"Method not found"}}'
            await receive(port, frame(last))


@contextmanager
def opened(device: str) -> Iterator[int]:
    """A device, without any of our code."""
    port = os.open(device, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(port)
        yield port
    finally:
        os.close(port)


async def receive(port: int, expected: bytes) -> None:
    received = b""
    while len(received) < len(expected):
        await anyio.wait_readable(port)
        received += os.read(port, 4096)
    assert received == expected


async def chatter(port: int, message: bytes) -> None:
    """Never leave the line silent."""
    while True:
        await anyio.sleep(0.3)
        os.write(port, message)


async def test_a_wrong_length_among_other_traffic_costs_two_seconds_at_most(lamp: str) -> None:
    note = frame(b'{"method":"status"}')
    async with virtual_serial_pair(paths=True) as line:
        with opened(line.first) as port, running(lamp, line.second), anyio.fail_after(SECONDS):
            os.write(port, note[:4] + b"\x03" + note[5:])
            os.write(port, frame(GOOD % 1))
            start = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chatter, port, note)
                await receive(port, frame(b'{"id":1,"result":0}'))
                tasks.cancel_scope.cancel()
            assert anyio.current_time() - start < 2
