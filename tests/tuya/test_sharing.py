"""The reading and sending of a Tuya line, which all share who use it."""

import random

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import Dispatcher
from jsonrpc_iot.protocol.tuya.role import Mcu
from jsonrpc_iot.testing import (
    LineFaults,
    VirtualSerial,
    served,
    virtual_serial_pair,
)
from jsonrpc_iot.transports.serial.line import TuyaLine
from jsonrpc_iot.tuya import (
    Frame,
    Product,
    TuyaLink,
)
from tests.transports.serial.raw_line import frame, text, unit

from .ends import opened

pytestmark = pytest.mark.anyio


async def test_many_who_wait_and_give_up_lose_nothing(line: VirtualSerial[ByteStream]) -> None:
    shared = TuyaLine(line.first)
    chance = random.Random(5)
    arrived: list[bytes] = []

    class Taker:
        def take_frame(self, frame: Frame) -> None:
            arrived.append(frame.data)

        def is_for(self, unit: object) -> bool:
            return False

        def take_unit(self, unit: object) -> bool:
            return False

    shared.takers.append(Taker())
    count = 400
    async with anyio.create_task_group() as tasks:

        async def send() -> None:
            for number in range(count):
                data = frame(b"%d" % number)
                cut = chance.randrange(len(data))
                await line.second.send(data[:cut])
                await line.second.send(data[cut:])

        async def wait(patience: float) -> None:
            """Wait for the next frame, again and again, and give up now and then."""
            while len(arrived) < count:
                seen = len(arrived)
                with anyio.move_on_after(chance.random() * patience):
                    await shared.wait(lambda seen=seen: len(arrived) > seen)  # type: ignore[misc]
                await anyio.lowlevel.checkpoint()

        async def look_again() -> None:
            while len(arrived) < count:
                shared.look_again()
                await anyio.sleep(0.001)

        for number in range(20):
            tasks.start_soon(wait, 0.001 if number % 2 else 1.0)
        tasks.start_soon(look_again)
        tasks.start_soon(send)
    assert arrived == [b"%d" % number for number in range(count)]
    assert shared.decoder.noise_bytes == 0


async def test_an_answer_of_a_reader_who_was_cancelled_is_sent_by_the_next(
    line: VirtualSerial[ByteStream],
) -> None:
    """And so a module never misses that the MCU has restarted."""
    full = virtual_serial_pair(baudrate=1200)  # 8 bytes take 67 ms
    async with full as slow, TuyaLink(slow.second) as module:
        heard: list[bytes] = []
        got = anyio.Event()

        @module.on_command(0)
        def beat(frame: Frame) -> None:
            heard.append(frame.data)
            got.set()

        shared = TuyaLine(slow.first, Mcu(Product("pid")))
        await module.send(0)
        for _ in range(3):
            with anyio.move_on_after(0.01):
                await shared.wait(lambda: False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shared.wait, got.is_set)
            await got.wait()
            tasks.cancel_scope.cancel()
        assert heard[0] == b"\0"


async def test_ten_thousand_frames_of_all_kinds(line: VirtualSerial[ByteStream]) -> None:
    count = 2_500
    with anyio.fail_after(30):
        async with opened(line) as both:
            counts = {"rpc": 0, "dp": 0, "unit": 0, "command": 0}
            both.mcu.on_datapoint(2)(lambda _: counts.update(unit=counts["unit"] + 1))
            both.mcu.on_command(0x60)(lambda _: counts.update(command=counts["command"] + 1))
            channels = {"rpc": both.mcu.rpc_channel(), "dp": both.mcu.datapoint_channel(gap=0)}

            async def receive(kind: str) -> None:
                while counts[kind] < count:
                    counts[kind] += len(await channels[kind].receive_batch())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive, "rpc")
                tasks.start_soon(receive, "dp")
                for number in range(count):
                    message = b"[%d]" % number
                    await line.second.send(
                        frame(message)
                        + frame(text(message), 6)
                        + frame(unit(2, 2, number.to_bytes(4, "big")), 6)
                        + frame(b"", 0x60)
                    )
            while counts["unit"] + counts["command"] + both.mcu.dropped < 2 * count:
                await anyio.lowlevel.checkpoint()
            assert counts["rpc"] == counts["dp"] == count
            assert both.mcu.decoder.noise_bytes == 0


async def test_two_ends_that_only_send_do_not_stop_for_ever(
    line: VirtualSerial[ByteStream],
) -> None:
    """Each is answered a heartbeat now and then, and nobody reads but the links themselves."""
    async with opened(line) as both:

        async def flood(link: TuyaLink) -> None:
            for _ in range(3_000):
                await link.send(0x60, b"x" * 200)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flood, both.mcu)
            tasks.start_soon(flood, both.module)


async def test_noise_is_passed_over() -> None:
    faults = LineFaults(drop=0.0003, flip=0.0003, insert=0.0003)
    with anyio.fail_after(20):
        async with virtual_serial_pair(faults, seed=9) as line, opened(line) as both:
            ran: list[int] = []
            dispatcher = Dispatcher()
            dispatcher.method("note")(ran.append)
            channels = both.module.rpc_channel(), both.mcu.rpc_channel()
            async with served(dispatcher, *channels, extensions=True) as ends:
                for number in range(12):
                    await ends.client.call("note", [number], timeout=15)
            assert ran == list(range(12))
