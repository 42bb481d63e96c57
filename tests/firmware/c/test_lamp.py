"""The lamp in C, over each way on which it is reached, against our client."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Client,
    Dispatcher,
    InvalidParams,
    MethodNotFound,
    OutcomeUnknown,
    connect,
)
from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair
from jsonrpc_iot.testing.conformance import check_conformance
from tests.firmware.line import BROKEN, GOOD, ONE, chatter, frame, hold_against, opened, receive
from tests.waiting import SECONDS

from .lamp import PERFECT, WAYS, Way, build_lamp, running, served
from .relay import relayed

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module"),  # the device is in C
]

on_each_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    return build_lamp(tmp_path_factory.mktemp("lamp"))


@asynccontextmanager
async def called(program: Path, way: Way, **options: Any) -> AsyncIterator[Client]:
    with anyio.fail_after(SECONDS):
        async with (
            served(program, way) as (url, _),
            connect(url, timeout=SECONDS, **options) as client,
        ):
            yield client


@asynccontextmanager
async def on_a_line(
    program: Path, faults: LineFaults
) -> AsyncIterator[tuple[Client, VirtualSerial[str]]]:
    with anyio.fail_after(2 * SECONDS):
        async with served(program, "uart", faults) as (url, line):
            assert line is not None
            async with connect(url, timeout=SECONDS) as client:
                yield client, line


@on_each_way
async def test_calls(lamp: Path, way: Way) -> None:
    async with called(lamp, way) as client:
        assert await client.call("lamp.set", {"level": 40}) == 0
        assert await client.call("lamp.set", [60]) == 40
        for params in ({"level": 101}, {"level": "40"}, {"level": -1}, {}, {"lvl": 1}, [1, 2]):
            with pytest.raises(InvalidParams):
                await client.call("lamp.set", params)
        with pytest.raises(MethodNotFound):
            await client.call("lamp.dance")
        await client.notify("lamp.set", {"level": 7})
        assert await client.call("lamp.get") == 7
        assert await client.call("echo", ['é\0"\\\U0001f600']) == 'é\0"\\\U0001f600'
        names = await client.call("rpc.methods", result=list[str])
        assert "lamp.blink" in names
        assert names == sorted(names)


@on_each_way
async def test_a_list_item_by_item(lamp: Path, way: Way) -> None:
    levels = list(range(30))
    async with called(lamp, way) as client:
        for level in levels:
            await client.notify("lamp.set", {"level": level})
        assert await client.call("lamp.get") == levels[-1]
        assert [level async for level in client.stream("lamp.history", item=int)] == levels
        assert await client.call("lamp.history") == levels


@on_each_way
async def test_what_takes_time(lamp: Path, way: Way) -> None:
    async with called(lamp, way, extensions=True) as client:
        assert await client.call("lamp.blink", {"times": 2}) is None
        with pytest.raises(CallTimeout):
            await client.call("lamp.blink", {"times": 1000}, timeout=0.3)
        assert await client.call("lamp.blink", {"times": 1}, timeout=SECONDS) is None


@on_each_way
async def test_both_ends_call_and_notify(lamp: Path, way: Way) -> None:
    told, dispatcher = anyio.Event(), Dispatcher()
    dispatcher.method("clock.now")(lambda: 1234)

    @dispatcher.notification("lamp.changed")
    def changed(on: bool) -> None:
        assert on
        told.set()

    async with called(lamp, way, dispatcher=dispatcher) as client:
        assert await client.call("lamp.clock") == 1234
        assert await client.call("lamp.toggle") is True
        await told.wait()


@on_each_way
async def test_it_conforms(lamp: Path, way: Way) -> None:
    with anyio.fail_after(3 * SECONDS):
        async with served(lamp, way) as (url, _):
            methods = [("echo", '["x"]'), ("lamp.get", ""), ("lamp.history", "")]
            methods += [("lamp.set", "[5]"), ("lamp.blink", "[2]")]
            report = await check_conformance(url, profile="full", methods=methods)
    wrong = [
        case
        for section in report.sections
        for case in section.cases
        if case.verdict == "fail"
    ]  # fmt: skip
    assert report.ok, wrong


# ---- UDP


@pytest.mark.parametrize("seed", range(2))
async def test_where_datagrams_get_lost_doubled_and_late_each_call_runs_once(
    lamp: Path, seed: int
) -> None:
    dispatcher, ran = Dispatcher(), list[bool]()
    dispatcher.method("clock.now")(lambda: 1234)

    async def press(client: Client) -> None:
        for _ in range(5):
            with suppress(OutcomeUnknown):  # it has been started a moment ago
                ran.append(await client.call("lamp.toggle"))
        assert await client.call("lamp.clock") == 1234

    with anyio.fail_after(3 * SECONDS):
        async with (
            served(lamp, "udp") as (address, _),
            relayed(address, seed) as (url, relay),
            connect(url, timeout=2 * SECONDS, dispatcher=dispatcher, extensions=True) as client,
        ):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(press, client)
            levels = [level async for level in client.stream("lamp.history", item=int)]
            assert levels == [0 if number % 2 else 100 for number in range(len(ran))]
            assert sorted(ran) == sorted(level > 0 for level in levels)
            assert relay.lost > 0
            assert relay.doubled > 0


# ---- A serial line


async def test_a_message_as_long_as_may_be(lamp: Path) -> None:
    async with on_a_line(lamp, PERFECT) as (client, _):
        most = client.info.max_message
        assert most == 1024
        padding = "U" * (most - 200)  # half a mark, again and again
        assert await client.call("echo", [padding]) == padding


async def toggle(client: Client) -> None:
    """Toggle the lamp, looking at it where it does not know whether it has just done that."""
    before = await client.call("lamp.get", result=int)
    try:
        await client.call("lamp.toggle")
    except OutcomeUnknown:
        if await client.call("lamp.get", result=int) == before:
            await toggle(client)


async def test_a_noisy_line(lamp: Path) -> None:
    """Whatever is lost on the way, each call runs once."""
    faults = LineFaults(drop=0.0005, flip=0.0005, insert=0.0005)
    async with on_a_line(lamp, faults) as (client, line):
        for _ in range(15):
            await toggle(client)
        line.set_faults(PERFECT)
        assert len(await client.call("lamp.history", result=list[int])) == 15
        counts = line.to_second.counts
        assert counts.dropped + counts.flipped + counts.inserted > 0


async def test_what_never_arrived_is_not_run_later(lamp: Path) -> None:
    async with on_a_line(lamp, PERFECT) as (client, line):
        line.cut()
        with pytest.raises(CallTimeout):
            await client.call("lamp.set", {"level": 9}, timeout=1)
        line.mend()
        assert await client.call("lamp.set", {"level": 1}) == 0


@pytest.mark.parametrize(("sent", "replies"), BROKEN)
async def test_bytes(lamp: Path, sent: bytes, replies: list[bytes]) -> None:
    async with virtual_serial_pair(paths=True) as line:
        with opened(line.first) as port, running(lamp, "uart", line.second):
            with anyio.fail_after(SECONDS):
                await hold_against(port, sent, replies)


async def test_a_wrong_length_among_other_traffic_costs_two_seconds_at_most(lamp: Path) -> None:
    note = frame(b'{"method":"status"}')
    async with virtual_serial_pair(paths=True) as line:
        with opened(line.first) as port, running(lamp, "uart", line.second):
            with anyio.fail_after(SECONDS):
                os.write(port, note[:4] + b"\x03" + note[5:])
                os.write(port, frame(GOOD % 1))
                start = anyio.current_time()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(chatter, port, note)
                    await receive(port, frame(ONE))
                    tasks.cancel_scope.cancel()
                assert anyio.current_time() - start < 2
