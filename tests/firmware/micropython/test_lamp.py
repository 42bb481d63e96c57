"""The lamp in MicroPython, over each way on which it is reached, against our client."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from jsonrpc_iot.testing import Faults, LineFaults, VirtualSerial, virtual_serial_pair
from jsonrpc_iot.testing.conformance import check_conformance
from tests.firmware.line import BROKEN, GOOD, ONE, chatter, frame, hold_against, opened, receive
from tests.peer.lossy.chaos.weather import Weather, udp_proxy
from tests.waiting import SECONDS

from .lamp import PERFECT, WAYS, Way, running, served

pytestmark = [pytest.mark.firmware, pytest.mark.anyio]

on_each_way = pytest.mark.parametrize("way", WAYS)


@asynccontextmanager
async def called(way: Way, **options: Any) -> AsyncIterator[Client]:
    with anyio.fail_after(SECONDS):
        async with served(way) as (url, _), connect(url, timeout=SECONDS, **options) as client:
            yield client


@asynccontextmanager
async def on_a_line(faults: LineFaults) -> AsyncIterator[tuple[Client, VirtualSerial[str]]]:
    with anyio.fail_after(2 * SECONDS):
        async with served("uart", faults) as (url, line):
            assert line is not None
            async with connect(url, timeout=SECONDS) as client:
                yield client, line


@on_each_way
async def test_calls(way: Way) -> None:
    async with called(way) as client:
        assert await client.call("lamp.set", {"level": 40}) == 0
        assert await client.call("lamp.set", [60.0]) == 40
        for params in ({"level": 101}, {"level": "40"}, {"level": -1}, {}, {"lvl": 1}, [1, 2]):
            with pytest.raises(InvalidParams):
                await client.call("lamp.set", params)
        with pytest.raises(MethodNotFound):
            await client.call("lamp.dance")
        await client.notify("lamp.set", {"level": 7})
        assert await client.call("lamp.get") == 7
        names = await client.call("rpc.methods", result=list[str])
        assert "lamp.blink" in names
        assert names == sorted(names)


@on_each_way
async def test_a_list_item_by_item(way: Way) -> None:
    levels = list(range(20))
    async with called(way) as client:
        for level in levels:
            await client.notify("lamp.set", {"level": level})
        assert await client.call("lamp.get") == levels[-1]
        assert [level async for level in client.stream("lamp.history", item=int)] == levels
        assert await client.call("lamp.history") == levels


@on_each_way
async def test_what_takes_time(way: Way) -> None:
    async with called(way, extensions=True) as client:
        assert await client.call("lamp.blink", {"times": 2}) is None
        with pytest.raises(CallTimeout):
            await client.call("lamp.blink", {"times": 1000}, timeout=0.3)
        assert await client.call("lamp.blink", {"times": 1}, timeout=SECONDS) is None


@on_each_way
async def test_both_ends_call_and_notify(way: Way) -> None:
    told, dispatcher = anyio.Event(), Dispatcher()
    dispatcher.method("clock.now")(lambda: 1234)

    @dispatcher.notification("lamp.changed")
    def changed(on: bool) -> None:
        assert on
        told.set()

    async with called(way, dispatcher=dispatcher) as client:
        assert await client.call("lamp.clock") == 1234
        assert await client.call("lamp.toggle") is True
        await told.wait()


@on_each_way
async def test_it_conforms(way: Way) -> None:
    with anyio.fail_after(3 * SECONDS):
        async with served(way) as (url, _):
            methods = [("lamp.get", ""), ("lamp.history", ""), ("lamp.set", "[5]")]
            report = await check_conformance(url, profile="full", methods=methods)
    wrong = [
        case
        for section in report.sections
        for case in section.cases
        if case.verdict == "fail"
    ]  # fmt: skip
    assert report.ok, wrong


# ---- A serial line


async def test_a_message_as_long_as_may_be() -> None:
    async with virtual_serial_pair(paths=True) as line:
        with opened(line.first) as port, running("uart", line.second), anyio.fail_after(SECONDS):
            request = b'{"id":1,"method":"lamp.get","x":"%s"}' % (b"U" * 989)
            assert len(request) == 1024
            os.write(port, frame(request))
            await receive(port, frame(b'{"id":1,"result":0}'))


async def toggle(client: Client) -> None:
    """Toggle the lamp, looking at it where it does not know whether it has just done that."""
    before = await client.call("lamp.get", result=int)
    try:
        await client.call("lamp.toggle")
    except OutcomeUnknown:
        if await client.call("lamp.get", result=int) == before:
            await toggle(client)


async def test_a_noisy_line() -> None:
    """Whatever is lost on the way, each call runs once."""
    faults = LineFaults(drop=0.001, flip=0.001, insert=0.001)
    async with on_a_line(faults) as (client, line):
        for _ in range(20):
            await toggle(client)
        line.set_faults(PERFECT)
        assert len(await client.call("lamp.history", result=list[int])) == 20
        counts = line.to_second.counts
        assert counts.dropped + counts.flipped + counts.inserted > 0


async def test_what_never_arrived_is_not_run_later() -> None:
    async with on_a_line(PERFECT) as (client, line):
        line.cut()
        with pytest.raises(CallTimeout):
            await client.call("lamp.set", {"level": 9}, timeout=1)
        line.mend()
        assert await client.call("lamp.set", {"level": 1}) == 0


@pytest.mark.parametrize(("sent", "replies"), BROKEN)
async def test_bytes(sent: bytes, replies: list[bytes]) -> None:
    async with virtual_serial_pair(paths=True) as line:
        with opened(line.first) as port, running("uart", line.second), anyio.fail_after(SECONDS):
            await hold_against(port, sent, replies)


async def test_a_wrong_length_among_other_traffic_costs_two_seconds_at_most() -> None:
    note = frame(b'{"method":"status"}')
    async with virtual_serial_pair(paths=True) as line:
        with opened(line.first) as port, running("uart", line.second), anyio.fail_after(SECONDS):
            os.write(port, note[:4] + b"\x03" + note[5:])
            os.write(port, frame(GOOD % 1))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chatter, port, note)
                with anyio.fail_after(5):  # two seconds on a machine that is not busy
                    await receive(port, frame(ONE))
                tasks.cancel_scope.cancel()


# ---- TCP


async def test_a_message_that_has_no_end_ends_the_connection_alone() -> None:
    async with served("tcp") as (url, _):
        host, port = url.removeprefix("tcp://").removesuffix("?max=4096").split(":")
        with anyio.fail_after(SECONDS):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(b'{"id":1,"method":"lamp.get"}{"x":"' + b"y" * 4096)
                received = b"".join([part async for part in stream])
        first, second, _ = received.split(b"\n")
        assert first == b'{"id":1,"result":0}'
        assert b'"code":-32001' in second
        async with connect(url) as client:
            assert await client.call("lamp.get") == 0


# ---- UDP


async def test_datagrams_that_are_lost_doubled_and_late() -> None:
    """Each toggle runs once."""
    weather = Weather(Faults(drop=0.15, duplicate=0.15, delay=0.3), "micropython")
    with anyio.fail_after(2 * SECONDS):
        async with served("udp") as (url, _):
            device = int(url.rpartition(":")[2])
            async with (
                udp_proxy(weather, device) as port,
                connect(f"udp://127.0.0.1:{port}", timeout=SECONDS, extensions=True) as client,
            ):
                for _ in range(12):
                    await toggle(client)
            async with connect(url, timeout=SECONDS) as client:
                assert len(await client.call("lamp.history", result=list[int])) == 12
