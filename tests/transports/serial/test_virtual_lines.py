"""`virtual_serial_pair`: lines in memory and between devices, with faults, a rate and an end."""

import os
from collections.abc import Iterator

import anyio
import pytest

from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.testing import LineFaults, virtual_serial_pair
from jsonrpc_iot.transports.serial.port import open_port
from tests.waiting import SECONDS

from .ports import read_exactly, terminals

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(os, "openpty"), reason="no ptys here"),
]

needs_asyncio = pytest.mark.only_on("asyncio")


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Fail a test that leaves a terminal or pipe open."""
    before = terminals()
    yield
    assert terminals() == before


async def spoiled(seed: int) -> tuple[bytes, tuple[int, ...]]:
    faults = LineFaults(drop=0.1, flip=0.1, insert=0.1)
    async with virtual_serial_pair(faults, seed=seed) as line:
        await line.first.send(bytes(2000))
        counts = line.to_second.counts
        return await read_exactly(line.second, counts.delivered), (
            counts.sent,
            counts.delivered,
            counts.dropped,
            counts.flipped,
            counts.inserted,
        )


async def test_a_noisy_line_is_the_same_each_time() -> None:
    data, counts = await spoiled(7)
    sent, delivered, dropped, flipped, inserted = counts
    assert sent == 2000
    assert delivered == len(data) == sent - dropped + inserted
    assert all(100 < count < 300 for count in (dropped, flipped, inserted))
    assert await spoiled(7) == (data, counts)
    assert (await spoiled(8))[0] != data


async def test_a_cut_line_and_unplugged_streams() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair() as line:
            line.cut()
            await line.first.send(b"lost")
            line.mend()
            await line.first.send(b"found")
            assert await line.second.receive() == b"found"
            assert line.to_second.counts.lost == 4

            async def expect_it() -> None:
                with pytest.raises(anyio.BrokenResourceError):
                    await line.second.receive()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(expect_it)
                await anyio.wait_all_tasks_blocked()
                await line.unplug()
            with pytest.raises(anyio.BrokenResourceError):
                await line.first.send(b"x")
            await line.replug()
            await line.second.send(b"back")
            assert await line.first.receive() == b"back"


async def test_a_baud_rate_takes_its_time() -> None:
    async with virtual_serial_pair(baudrate=9600) as line:
        start = anyio.current_time()
        await line.first.send(bytes(192))
        assert anyio.current_time() - start >= 0.2
        assert await read_exactly(line.second, 192) == bytes(192)


@needs_asyncio
async def test_devices_at_both_ends() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(baudrate=115200, paths=True) as line:
            first, second = (Url.parse(f"uart://{path}") for path in (line.first, line.second))
            for _ in range(2):
                async with (
                    await open_port(first, 115200) as here,
                    await open_port(second, 115200) as there,
                ):
                    await here.send(bytes(range(256)))
                    assert await read_exactly(there, 256) == bytes(range(256))
                    await line.unplug()
                    with pytest.raises(anyio.BrokenResourceError):
                        await there.receive()
                    assert not os.path.lexists(line.first)
                await line.replug()


async def test_devices_on_any_loop() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(paths=True) as line:
            here = os.open(line.first, os.O_RDWR | os.O_NOCTTY)
            there = os.open(line.second, os.O_RDWR | os.O_NOCTTY)
            try:
                os.write(here, b"hello")
                await anyio.wait_readable(there)
                assert os.read(there, 10) == b"hello"
            finally:
                os.close(here)
                os.close(there)
