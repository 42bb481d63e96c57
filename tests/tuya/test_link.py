"""`TuyaLink`, `TuyaMcu` and `TuyaModule` on lines in memory: one port, shared by many."""

import gc
import logging
import random
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import ChannelClosed, Dispatcher, InvalidUrl, TransportError, UsageError
from jsonrpc_iot.protocol.tuya.frame import encode_frame
from jsonrpc_iot.protocol.tuya.role import Mcu
from jsonrpc_iot.testing import (
    LineFaults,
    VirtualSerial,
    check_channel_contract,
    served,
    virtual_serial_pair,
)
from jsonrpc_iot.transports.serial.line import TuyaLine
from jsonrpc_iot.tuya import (
    DataPoint,
    DataPointType,
    Frame,
    NetworkStatus,
    Product,
    TuyaLink,
    TuyaMcu,
    TuyaModule,
)
from tests.transports.serial.raw_line import frame, text, unit

pytestmark = pytest.mark.anyio

SECONDS = 10.0
ON = DataPoint(1, DataPointType.BOOL, True)


def level(value: int, id: int = 2) -> DataPoint:
    return DataPoint(id, DataPointType.VALUE, value)


@pytest.fixture
async def line() -> AsyncIterator[VirtualSerial[ByteStream]]:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair() as pair:
            yield pair


class Both:
    """Both ends of a line, and what they were told."""

    def __init__(self, line: VirtualSerial[ByteStream]) -> None:
        self.line = line
        self.mcu = TuyaMcu(line.first, "pid")
        self.module = TuyaModule(line.second, rssi=-60)
        self.told: list[object] = []
        self.news = anyio.Event()

    def tell(self, what: object) -> None:
        self.told.append(what)
        self.news.set()

    async def until(self, count: int) -> list[object]:
        """Wait until so much was told."""
        while len(self.told) < count:
            self.news = anyio.Event()
            await self.news.wait()
        return self.told


@asynccontextmanager
async def opened(line: VirtualSerial[ByteStream]) -> AsyncIterator[Both]:
    both = Both(line)
    async with both.mcu, both.module:
        await both.module.wait_online()
        yield both


@pytest.fixture
async def both(line: VirtualSerial[ByteStream]) -> AsyncIterator[Both]:
    async with opened(line) as both:
        yield both


def echoing() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    def echo(value: object) -> object:
        return value

    return dispatcher


# Values and commands


async def test_the_ends_get_to_know_each_other(line: VirtualSerial[ByteStream]) -> None:
    both = Both(line)
    both.mcu.set(ON)
    both.mcu.on_network_status(both.tell)
    both.module.on_online(both.tell)
    both.module.on_datapoint(1)(both.tell)
    async with both.mcu, both.module:
        await both.module.wait_online()
        assert set(await both.until(3)) == {True, NetworkStatus.CLOUD, ON}
        assert both.module.is_online
        assert both.module.product == Product("pid", "1.0.0")
        assert both.module.working_mode == b""
        assert both.mcu.network_status is NetworkStatus.CLOUD
        await both.module.set_network_status(NetworkStatus.NO_ROUTER)
        assert (await both.until(4))[-1] is NetworkStatus.NO_ROUTER
        await both.module.query()
        assert (await both.until(5))[-1] == ON


async def test_handlers_run_one_after_the_other_in_order(both: Both) -> None:
    active = 0

    @both.mcu.on_datapoint(1)
    async def slow(point: DataPoint) -> None:
        nonlocal active
        active += 1
        assert active == 1
        await anyio.sleep(0.01)
        active -= 1
        both.tell(point)

    @both.mcu.on_datapoint(2)
    def fast(point: DataPoint) -> None:
        assert active == 0
        both.tell(point)

    sent = [ON, level(1), level(2), ON, level(3)]
    await both.module.set(*sent[:3])
    await both.module.set(*sent[3:])
    assert await both.until(5) == sent


async def test_an_exception_in_a_handler_is_logged_and_the_rest_goes_on(
    both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    @both.mcu.on_datapoint(1)
    def bad(point: DataPoint) -> None:
        raise ValueError("sync")

    @both.mcu.on_datapoint(3)
    async def worse(point: DataPoint) -> None:
        await anyio.lowlevel.checkpoint()
        raise ValueError("async")

    both.mcu.on_datapoint(2)(both.tell)
    with caplog.at_level(logging.ERROR):
        await both.module.set(ON, level(1, 3), level(2))
        assert await both.until(1) == [level(2)]
    assert len(caplog.records) == 2


async def test_all_handlers_of_a_command_run_and_answer(both: Both) -> None:
    both.module.on_command(0x60)(lambda frame: both.tell(frame.data))

    @both.mcu.on_command(0x60)
    def first(frame: Frame) -> bytes:
        return frame.data + b"1"

    @both.mcu.on_command(0x60)
    async def second(frame: Frame) -> bytes:
        await anyio.lowlevel.checkpoint()
        return frame.data + b"2"

    both.mcu.on_command(0x60)(lambda frame: None)
    await both.module.send(0x60, b"x")
    assert await both.until(2) == [b"x1", b"x2"]


async def test_on_a_line_that_echoes_a_handler_does_not_answer_itself() -> None:
    heartbeat, question, answer = encode_frame(0), encode_frame(0x60), encode_frame(0x60, b"x", 3)
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair() as line, TuyaMcu(line.first, "pid") as mcu:
            mcu.on_command(0x60)(lambda _: b"x")
            for sent, expected in (
                (heartbeat, encode_frame(0, b"\0", 3)),
                (question, answer),
                (heartbeat, encode_frame(0, b"\1", 3)),
            ):
                await line.second.send(sent)
                heard = await line.second.receive()
                assert heard == expected
                await line.second.send(heard)


async def test_a_slow_handler_holds_up_no_heartbeat_and_no_call(both: Both) -> None:
    @both.mcu.on_datapoint(1)
    async def stuck(point: DataPoint) -> None:
        both.tell(point)
        await anyio.sleep_forever()

    both.module.on_command(0)(lambda frame: both.tell(frame.data))
    client, server = both.module.rpc_channel(), both.mcu.rpc_channel()
    async with served(echoing(), client, server) as ends:
        await both.module.set(ON)
        await both.until(1)
        await both.module.send(0)
        assert (await both.until(2))[1] == b"\1"
        assert await ends.client.call("echo", [1]) == 1


async def test_what_waits_too_long_for_a_handler_is_dropped_and_counted(both: Both) -> None:
    gate = anyio.Event()

    @both.mcu.on_datapoint(2)
    async def slow(point: DataPoint) -> None:
        await gate.wait()
        both.tell(point.value)

    for number in range(400):
        await both.module.set(level(number))
    both.mcu.on_command(0x60)(lambda frame: None)
    while not both.mcu.dropped:
        await both.module.set(level(-1))
        await anyio.lowlevel.checkpoint()
    gate.set()
    told = await both.until(256)
    assert told[:256] == list(range(256))


async def test_a_handler_may_report_and_wait_for_the_answer(both: Both) -> None:
    @both.mcu.on_datapoint(1)
    async def on(point: DataPoint) -> None:
        await both.mcu.report(point, confirm=True)
        both.tell("taken")

    await both.module.set(ON)
    assert await both.until(1) == ["taken"]


async def test_confirmed_reports_in_parallel(both: Both) -> None:
    both.module.on_datapoint(2)(lambda point: both.tell(point.value))
    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(partial(both.mcu.report, level(number), confirm=True))
    assert set(await both.until(30)) == set(range(30))


async def test_a_report_that_the_module_refuses(line: VirtualSerial[ByteStream]) -> None:
    async with TuyaMcu(line.first, "pid") as mcu, TuyaLink(line.second) as module:
        module.on_command(0x22)(lambda _: None)

        @module.on_command(0x22)
        async def refuse(_: Frame) -> None:
            await module.send(0x23, b"\0")

        with pytest.raises(TransportError, match="DataPoints 1, 2"):
            await mcu.report(ON, level(1), confirm=True)
        await mcu.report(ON)


# RPC beside it


async def test_both_channels_in_both_directions_at_once(both: Both) -> None:
    both.mcu.on_datapoint(1)(both.tell)
    pairs = [
        (both.module.rpc_channel(), both.mcu.rpc_channel()),
        (both.module.datapoint_channel(gap=0), both.mcu.datapoint_channel(gap=0)),
        (both.module.datapoint_channel(101, gap=0), both.mcu.datapoint_channel(101, gap=0)),
    ]
    async with anyio.create_task_group() as tasks:

        async def talk(number: int) -> None:
            client, server = pairs[number]
            async with served(echoing(), client, server, client_dispatcher=echoing()) as ends:
                for turn in range(20):
                    value = f"{number} {turn}"
                    assert await ends.client.call("echo", [value]) == value
                    assert await ends.server.call("echo", [value]) == value

        for number in range(len(pairs)):
            tasks.start_soon(talk, number)
        for _ in range(20):
            await both.module.set(ON)
    assert await both.until(20) == [ON] * 20


async def test_one_channel_closes_while_others_go_on(both: Both) -> None:
    async with served(echoing(), both.module.rpc_channel(), both.mcu.rpc_channel()) as ends:
        for _ in range(5):
            short = both.module.datapoint_channel(gap=0), both.mcu.datapoint_channel(gap=0)
            async with served(echoing(), *short) as other:
                assert await other.client.call("echo", [1]) == 1
            assert await ends.client.call("echo", [2]) == 2


async def test_closing_a_channel_wakes_who_receives_and_who_sends(both: Both) -> None:
    channel = both.mcu.datapoint_channel(gap=60)
    await channel.send(b"[1]")
    ended = 0

    async with anyio.create_task_group() as tasks:

        async def expect_end(use: object) -> None:
            nonlocal ended
            with pytest.raises(anyio.ClosedResourceError):
                await use()  # type: ignore[operator]
            ended += 1

        tasks.start_soon(expect_end, channel.receive)
        tasks.start_soon(expect_end, lambda: channel.send(b"[2]"))
        await anyio.wait_all_tasks_blocked()
        await channel.aclose()
    assert ended == 2
    other = both.mcu.rpc_channel()
    await other.send(b"[3]")


@pytest.mark.parametrize("kind", ["rpc", "dp"])
async def test_the_channels_keep_their_contract(line: VirtualSerial[ByteStream], kind: str) -> None:
    """What comes is handled whether or not somebody waits in `receive`."""
    async with opened(line) as both:
        for end in (both.mcu, both.module):
            end._name = "uart://memory" if kind == "rpc" else "tuya-dp://memory"
        if kind == "rpc":
            ends = both.mcu.rpc_channel(), both.module.rpc_channel()
        else:
            ends = both.mcu.datapoint_channel(gap=0), both.module.datapoint_channel(gap=0)
        await check_channel_contract(*ends)


@pytest.mark.parametrize(
    "options",
    [{"segment": True}, {"max": 0}, {"codec": "xml"}, {"in_flight": 0}, {"colour": "red"}],
)
async def test_options_that_make_no_sense_for_a_channel(
    both: Both, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError):
        both.mcu.rpc_channel(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"dpid": 0},
        {"gap": -1},
        {"max": 0},
        {"segment": True},
        {"codec": "msgpack"},
        {"sync_report": True},
        {"colour": "red"},
    ],
)
async def test_options_that_make_no_sense_for_a_datapoint_channel(
    both: Both, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError):
        both.module.datapoint_channel(**options)  # type: ignore[arg-type]


async def test_the_range_of_the_signal_strength(line: VirtualSerial[ByteStream]) -> None:
    for rssi in (-129, 128):
        with pytest.raises(ValueError, match="-128 to 127"):
            TuyaModule(line.first, rssi=rssi)


# The reading that all share


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


# Opening, closing, unplugging


async def test_a_line_that_is_unplugged_ends_the_block(line: VirtualSerial[ByteStream]) -> None:
    ends = 0
    with pytest.raises(ChannelClosed, match="unplugged"):  # noqa: PT012
        async with TuyaMcu(line.first, "pid") as mcu:
            channel = mcu.rpc_channel()
            async with anyio.create_task_group() as tasks:

                async def receive() -> None:
                    nonlocal ends
                    with pytest.raises(anyio.BrokenResourceError):
                        await channel.receive()
                    ends += 1

                tasks.start_soon(receive)
                await anyio.wait_all_tasks_blocked()
                await line.unplug()
                await anyio.sleep_forever()
    with pytest.raises(ChannelClosed):
        await mcu.report(ON)
    with pytest.raises(ChannelClosed):
        await mcu.report(ON, confirm=True)


@pytest.mark.parametrize("unplugged", [False, True])
async def test_an_exception_of_the_block_is_not_masked(
    line: VirtualSerial[ByteStream], unplugged: bool
) -> None:
    with pytest.raises(KeyError, match="mine"):  # noqa: PT012
        async with TuyaMcu(line.first, "pid"):
            if unplugged:
                try:
                    await line.unplug()
                    await anyio.sleep_forever()
                finally:
                    raise KeyError("mine")
            raise KeyError("mine")


async def test_a_cancelled_block_is_left_in_silence(line: VirtualSerial[ByteStream]) -> None:
    with anyio.CancelScope() as scope:
        async with TuyaMcu(line.first, "pid"):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_the_block_may_end_as_it_likes(line: VirtualSerial[ByteStream]) -> None:
    async def leave() -> int:
        async with TuyaMcu(line.first, "pid"):
            return 7

    assert await leave() == 7


async def test_a_link_that_is_not_open(line: VirtualSerial[ByteStream]) -> None:
    mcu = TuyaMcu(line.first, "pid")
    for use in (mcu.rpc_channel, mcu.datapoint_channel):
        with pytest.raises(UsageError, match="not open"):
            use()
    with pytest.raises(UsageError, match="not open"):
        await mcu.report(ON)
    async with mcu:
        pass
    with pytest.raises(ChannelClosed):
        await mcu.report(ON)
    with pytest.raises(UsageError, match="make a new one"):
        async with mcu:
            pass


async def test_a_link_that_is_never_opened_leaves_nothing_behind() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for url in ("tcp://127.0.0.1:1", "uart://?colour=red", "nonsense"):
            with pytest.raises(InvalidUrl):
                async with TuyaMcu(url, "pid"):
                    pass
        gc.collect()


async def test_a_value_that_no_frame_can_hold_is_refused(both: Both) -> None:
    with pytest.raises(ValueError, match="a frame holds up to 65535"):
        both.mcu.set(DataPoint(9, DataPointType.STRING, "x" * 0xFFFF))
    both.module.on_datapoint(1)(both.tell)
    both.mcu.set(ON)
    await both.module.query()
    assert (await both.until(1))[0] == ON
