"""Calls whose device is lost under them: those that do no harm twice are made again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Client, Gateway, OutcomeUnknown, RpcError, connect
from jsonrpc_iot.dispatch import forward
from tests.rig import ANYWHERE, Device, Restarts
from tests.waiting import SECONDS, Tally

from .rig import Changes, anywhere, running

pytestmark = pytest.mark.anyio


class Lamp(Device):
    """A device with a slow method that may be called twice, `hold.again`, and one that may not."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher.method("hold.again", idempotent=True)(self.hold)


class House:
    """A gateway with a lamp that goes and comes, and a client."""

    def __init__(self, lamp: Lamp, restarts: Restarts, changes: Changes, client: Client) -> None:
        self.lamp = lamp
        self.away = restarts.stop
        self.back = restarts.start
        self.changes = changes
        self.client = client
        self.outcomes = Tally()

    async def call(self, method: str) -> None:
        try:
            self.outcomes.add(await self.client.call(f"lamp.{method}", [method], timeout=None))
        except RpcError as error:
            self.outcomes.add(type(error))


@asynccontextmanager
async def house(at: str = ANYWHERE, **options: Any) -> AsyncIterator[House]:
    gateway, lamp = Gateway(), Lamp()
    changes = Changes(gateway)
    with anyio.fail_after(2 * SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(lamp, tasks, anywhere())
            await restarts.start()
            gateway.add("lamp", restarts.url, **options)
            async with running(gateway, at) as server, connect(server.urls[0]) as client:
                await changes.reach("lamp", online=True)
                yield House(lamp, restarts, changes, client)
                lamp.gate.set()
            await restarts.stop()


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("at", [ANYWHERE, "udp://127.0.0.1:0"])
async def test_an_idempotent_call_goes_on_when_the_device_is_back(at: str, is_known: bool) -> None:
    async with house(at) as home, anyio.create_task_group() as tasks:
        if is_known:
            await home.client.call("rpc.methods")
        for method in ("hold.again", "hold.again", "hold"):
            tasks.start_soon(home.call, method)
        await home.lamp.began.reach(3)
        await home.away()
        if is_known:
            await home.outcomes.reach(1)  # at once, as nothing is to be asked
            assert home.outcomes.items == [OutcomeUnknown]
        await home.back()
        await home.lamp.began.reach(5)
        home.lamp.gate.set()
        await home.outcomes.reach(3)
        assert sorted(map(str, home.outcomes.items)) == sorted(
            ["hold.again", "hold.again", str(OutcomeUnknown)]
        )
        assert sorted(home.lamp.began.items) == ["hold"] + ["hold.again"] * 4


async def test_what_a_device_would_say_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "_LEARNING_SECONDS", 0.05)
    async with house() as home, anyio.create_task_group() as tasks:
        tasks.start_soon(home.call, "hold.again")
        await home.lamp.began.reach(1)
        await home.away()
        await home.outcomes.reach(1)
        assert home.outcomes.items == [OutcomeUnknown]
        await home.back()


async def test_the_callers_time_counts_for_both_calls() -> None:
    async with house(timeout=0.3) as home, anyio.create_task_group() as tasks:
        await home.client.call("rpc.methods")
        tasks.start_soon(home.call, "hold.again")
        await home.lamp.began.reach(1)
        await home.away()
        await home.outcomes.reach(1)
        assert home.outcomes.items[0].code in (-32002, -32011)
        await home.back()


async def test_who_cancels_meanwhile_is_not_called_for() -> None:
    async with house() as home:
        await home.client.call("rpc.methods")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(home.call, "hold.again")
            await home.lamp.began.reach(1)
            await home.away()
            await home.changes.reach("lamp", online=False)
            tasks.cancel_scope.cancel()
        await home.back()
        await home.changes.reach("lamp", online=True)
        assert await home.client.call("lamp.echo", [1]) == 1
        assert home.lamp.began.items == ["hold.again"]
