"""The lamp on a bare Cortex-M3, spoken to by our client."""

from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Client,
    InvalidParams,
    MethodNotFound,
    OutcomeUnknown,
    connect,
)
from jsonrpc_iot.testing import LineFaults
from jsonrpc_iot.testing.conformance import Given, as_text, check_conformance
from tests.waiting import SECONDS, eventually

from .board import running

LOST = 2 * len(b'\x55\xaa\x00\xfe\x00\x1a{"id":123456789,"result":true}\x00')
"""Bytes of two answers: who has repeated a request has got as many at least."""

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.anyio,
]


async def test_calls(lamp: Path) -> None:
    async with running(lamp) as board, connect(board.url, timeout=SECONDS) as client:
        assert await client.call("lamp.set", {"level": 40}) == 0
        assert await client.call("lamp.set", [7]) == 40
        assert await client.call("lamp.name", {"name": "Küche ☀"}) == "Küche ☀"
        assert (await client.call("sys.info"))["name"] == "Küche ☀"
        for wrong in ({"level": 101}, {"level": "7"}, {}, {"level": 1, "shade": 2}):
            with pytest.raises(InvalidParams):
                await client.call("lamp.set", wrong)
        with pytest.raises(MethodNotFound):
            await client.call("lamp.dance")
        assert await client.call("lamp.get") == 7


async def test_a_call_that_takes_its_time_a_stream_and_a_notification(lamp: Path) -> None:
    async with running(lamp) as board, connect(board.url, timeout=SECONDS) as client:
        changes: list[object] = []
        told = anyio.Event()

        @client.on("lamp.changed")
        def note(level: int) -> None:
            changes.append(level)
            told.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "lamp.fade", {"level": 30, "seconds": 0.5})
            samples = [each async for each in client.stream("lamp.history")]
        assert [each["hour"] for each in samples] == list(range(100))
        assert samples[99]["watts"] == 1.63
        with anyio.fail_after(SECONDS):
            await told.wait()
        assert changes == [30]


async def test_who_gives_up_is_not_served(lamp: Path) -> None:
    async with (
        running(lamp) as board,
        connect(board.url, timeout=SECONDS, extensions=True) as client,
    ):
        with pytest.raises(CallTimeout):
            await client.call("lamp.fade", {"level": 30, "seconds": 1}, timeout=0.3)
        await client.call("lamp.fade", {"level": 20, "seconds": 1.5})
        assert await client.call("lamp.get") == 20
        assert await client.call("lamp.switched") == 0


async def test_it_conforms(lamp: Path) -> None:
    methods = [Given("lamp.get"), Given("echo", '{"value": [1]}'), Given("lamp.history")]
    async with running(lamp) as board:
        report = await check_conformance(board.url, profile="full", methods=methods)
    assert report.ok, as_text(report)


@pytest.mark.parametrize("seed", range(2))
async def test_on_a_noisy_line_all_calls_end_and_none_runs_twice(lamp: Path, seed: int) -> None:
    noise = LineFaults(drop=0.001, flip=0.001, insert=0.001)
    async with running(lamp, noise, seed=seed) as board:
        async with connect(board.url, timeout=60, extensions=True) as client:
            for times in range(1, 9):
                await toggle(client, times)
                assert await client.call("lamp.switched") == times
            board.line.set_faults(LineFaults(drop=0.0002, flip=0.0002, insert=0.0002))
            samples = [each async for each in client.stream("lamp.history")]
        assert len(samples) == 100
        for counts in (board.line.to_first.counts, board.line.to_second.counts):
            assert counts.dropped + counts.flipped + counts.inserted > 0


async def toggle(client: Client, times: int) -> None:
    """Toggle it for the so-many-th time. Soon after its start it may say that it does not know."""
    try:
        await client.call("lamp.toggle")
    except OutcomeUnknown:
        if await client.call("lamp.switched") < times:
            await toggle(client, times)


async def test_what_was_done_is_not_done_again_when_the_answer_was_lost(lamp: Path) -> None:
    async with running(lamp) as board, connect(board.url, timeout=60, extensions=True) as client:
        board.line.to_first.is_cut = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "lamp.toggle")
            await eventually(lambda: board.line.to_first.counts.lost > LOST)
            board.line.mend()
        assert await client.call("lamp.switched") == 1
