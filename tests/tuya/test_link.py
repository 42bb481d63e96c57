"""`TuyaLink`, `TuyaMcu` and `TuyaModule` on lines in memory: one port, shared by many."""

import gc
import logging
import warnings
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import ChannelClosed, InvalidUrl, TransportError, UsageError
from jsonrpc_iot.protocol.tuya.frame import encode_frame
from jsonrpc_iot.testing import (
    VirtualSerial,
    served,
    virtual_serial_pair,
)
from jsonrpc_iot.tuya import (
    DataPoint,
    DataPointType,
    Frame,
    NetworkStatus,
    Product,
    TuyaLink,
    TuyaMcu,
)

from .ends import ON, SECONDS, Both, echoing, level

pytestmark = pytest.mark.anyio


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
