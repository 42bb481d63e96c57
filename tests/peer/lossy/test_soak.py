"""Thousands of calls over a link that loses, doubles and reorders: each is answered, runs once."""

from collections import Counter
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import ChannelClosed, Dispatcher, JsonRpcIotError
from jsonrpc_iot.peer.new_session import new_session
from jsonrpc_iot.peer.peer import Peer
from jsonrpc_iot.protocol.budget import Budget
from jsonrpc_iot.protocol.limits import Limits
from jsonrpc_iot.testing import Faults, LossyLink, served

pytestmark = pytest.mark.anyio

TASKS, CALLS = 20, 100
BAD = Faults(drop=0.2, duplicate=0.2, reorder=0.2, delay_seconds=0.002)
LIMITS = Limits(remembered=1 << 16)


class Counting:
    """A dispatcher whose handlers count how often each call ran."""

    def __init__(self) -> None:
        self.ran: Counter[int] = Counter()
        self.dispatcher = Dispatcher(limits=LIMITS)
        self.dispatcher.method("later")(self.later)
        self.dispatcher.method("at_once")(self.at_once)

    async def later(self, number: int) -> int:
        self.ran[number] += 1
        await anyio.lowlevel.checkpoint()
        return -number

    def at_once(self, number: int) -> int:
        self.ran[number] += 1
        return -number


@pytest.mark.parametrize("seed", [1])
async def test_each_call_is_answered_and_runs_once(seed: int) -> None:
    device = Counting()
    link = LossyLink(BAD, seed=seed, retry_seconds=0.005)
    budget = Budget(1 << 16, 1 << 20)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as running:
            opened = anyio.Event()
            server = Peer(
                link.server,
                device.dispatcher,
                new_session(device.dispatcher, link.server.info),
                running,
                limits=LIMITS,
                budget=budget,
            )
            client = Peer(
                link.client,
                Dispatcher(),
                new_session(device.dispatcher, link.client.info),
                running,
                limits=LIMITS,
                on_open=lambda _: opened.set(),
            )
            running.start_soon(server.run)
            running.start_soon(client.run)
            await opened.wait()
            answers: list[int] = []

            async def call(first: int) -> None:
                for number in range(first, first + CALLS):
                    method = "later" if number % 2 else "at_once"
                    answers.append(await client.call(method, [number], result=int, timeout=None))

            async with anyio.create_task_group() as calling:
                for task in range(TASKS):
                    calling.start_soon(call, task * CALLS)
            numbers = range(TASKS * CALLS)
            assert sorted(answers, reverse=True) == [-number for number in numbers]
            assert device.ran == dict.fromkeys(numbers, 1)
            assert client.session.open_calls == 0
            assert client.session.next_due is None
            assert not server.is_busy
            assert budget.entries == (1 << 16) - TASKS * CALLS
            server.check(anyio.current_time() + 30.1)
            assert (budget.entries, budget.byte_count) == (1 << 16, 1 << 20)
            for counts in (link.to_server.counts, link.to_client.counts):
                for share in (counts.dropped, counts.duplicated, counts.reordered):
                    assert share > counts.sent / 10
            await link.client.aclose()


async def test_damage_ends_nothing() -> None:
    device = Counting()
    link = LossyLink(Faults(corrupt=0.2, drop=0.1), seed=3, retry_seconds=0.01)
    answered = refused = 0
    with anyio.fail_after(20):
        async with served(device.dispatcher, link.client, link.server, extensions=True) as ends:
            for number in range(100):
                try:
                    await ends.client.call("later", [number], timeout=0.1)
                    answered += 1
                except JsonRpcIotError:  # damage makes any answer of an answer
                    refused += 1
            link.set_faults(Faults())
            assert await ends.client.call("later", [5000]) == -5000
    assert answered > 25
    assert answered + refused == 100


async def test_a_frozen_link_catches_up() -> None:
    device = Counting()
    link = LossyLink(retry_seconds=0.01)
    with anyio.fail_after(10):
        async with (
            served(device.dispatcher, link.client, link.server, extensions=True) as ends,
            anyio.create_task_group() as calling,
        ):
            link.freeze()
            for number in range(20):
                calling.start_soon(partial(ends.client.call, "later", [number]))
            while len(link.to_server) < 60:  # noqa: ASYNC110  # repeats make no event
                await anyio.sleep(0.005)
            assert not device.ran
            link.thaw()
    assert device.ran == dict.fromkeys(range(20), 1)


async def test_a_cut_link_fails_what_is_open() -> None:
    device = Counting()
    link = LossyLink(Faults(drop=1), retry_seconds=0.01)
    with anyio.fail_after(10):
        async with served(device.dispatcher, link.client, link.server) as ends:

            async def call() -> None:
                with pytest.raises(ChannelClosed):
                    await ends.client.call("later", [1])

            async with anyio.create_task_group() as calling:
                calling.start_soon(call)
                while not link.to_server.counts.sent:  # noqa: ASYNC110  # a put makes no event
                    await anyio.sleep(0.001)
                link.cut()
