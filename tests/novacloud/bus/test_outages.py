"""Buses whose servers are killed, frozen, cut off or not there yet."""

import logging
import time
from collections.abc import Iterator
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot.novacloud.bus.bus import Bus
from jsonrpc_iot.novacloud.bus.remote import Pace
from jsonrpc_iot.novacloud.bus.subscribers import MISSED, Hint, Subscription
from tests.novacloud.relay import Relay
from tests.waiting import SECONDS, eventually

from . import carriers
from .carriers import HASTY, QUICK, Remote, take

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


@pytest.fixture(params=["postgres", "nats"])
def own(request: pytest.FixtureRequest) -> Iterator[Remote]:
    """A carrier whose server may be killed."""
    found = carriers.own_carrier(request.param)
    yield found
    found.server.stop()
    found.server.start()


@pytest.fixture(params=["postgres", "nats"])
def shared(request: pytest.FixtureRequest) -> Remote:
    """A carrier whose server must be left in peace."""
    found = carriers.shared_carrier(request.param)
    assert isinstance(found, Remote)
    return found


async def until_missed(subscription: Subscription) -> list[Hint]:
    """The hints before the next mark."""
    hints: list[Hint] = []
    with anyio.fail_after(SECONDS):
        while (hint := await anext(subscription)) is not MISSED:
            hints.append(hint)
    return hints


async def all_until_the_end(here: Bus, heard: Subscription) -> list[Hint]:
    """What was heard, until a hint arrives that is published last, as often as it takes."""
    end = Hint("a", b"end")
    hints: list[Hint] = []
    with anyio.fail_after(SECONDS):
        while end not in hints:
            here.publish(*end)
            with anyio.move_on_after(0.1):
                while end not in hints[-1:]:
                    hints.append(await anext(heard))
    return hints


async def test_a_server_that_is_killed_and_comes_back(
    own: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jsonrpc_iot.novacloud")
    async with own.new_bus(QUICK) as here, own.new_bus(QUICK) as there:
        async with there.subscribe("a") as heard, here.subscribe("a") as own_heard:
            here.publish("a", b"before")
            assert await take(heard, 1) == [Hint("a", b"before")]
            own.server.stop()
            await eventually(lambda: here.health().bus != "ok" and there.health().bus != "ok")
            here.publish("a", b"meanwhile")
            assert await take(own_heard, 2) == [Hint("a", b"before"), Hint("a", b"meanwhile")]
            own.server.start()
            hints = await until_missed(heard)
            await until_missed(own_heard)
            await eventually(lambda: here.health().bus == there.health().bus == "ok")
            here.publish("a", b"after")
            while Hint("a", b"after") not in hints:
                hints += await take(heard, 1)
            # Who comes back first, the one who tells or the one who hears, is chance.
            assert hints[:-1] in ([], [Hint("a", b"meanwhile")])
        assert here.health().outages == 1
    lines = [record.getMessage() for record in caplog.records]
    assert sum("connected after" in line for line in lines) == 4
    assert any("nodes find by polling" in line for line in lines)


async def test_a_frozen_server_is_left_and_holds_nobody_up(own: Remote) -> None:
    async with (
        own.new_bus(HASTY) as here,
        own.new_bus(HASTY) as there,
        there.subscribe("a") as heard,
    ):
        own.server.freeze()
        for number in range(100):
            here.publish("a", b"%d" % number)
        assert here.health().waiting == 100
        await eventually(lambda: here.health().outages and there.health().outages)
        await eventually(lambda: "does not answer" in here.health().bus)
        own.server.thaw()
        await until_missed(heard)
        await all_until_the_end(here, heard)


async def test_a_server_that_hesitates_loses_nothing(own: Remote) -> None:
    patient = Pace(pulse=0.05, patience=20.0)
    async with own.new_bus(patient) as here, own.new_bus(patient) as there:
        async with there.subscribe("a") as heard:
            own.server.freeze()
            for number in range(100):
                here.publish("a", b"%d" % number)
                await anyio.sleep(0.002)
            own.server.thaw()
            assert await take(heard, 100) == [Hint("a", b"%d" % number) for number in range(100)]
        assert here.health().outages == there.health().outages == 0


async def test_a_bus_opens_while_its_server_is_away(
    own: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    own.server.stop()
    async with own.new_bus(QUICK) as here, own.new_bus(QUICK) as there:
        async with there.subscribe("a") as heard:
            assert "refused" in here.health().bus.lower() or "Connect call" in here.health().bus
            await anyio.sleep(0.2)  # some attempts, of which one is told
            warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
            assert len(warnings) == 2
            own.server.start()
            await until_missed(heard)
            await eventually(lambda: here.health().bus == "ok")
            here.publish("a", b"at last")
            assert await take(heard, 1) == [Hint("a", b"at last")]
        assert here.health().outages == 0


async def test_what_waits_in_an_outage_is_bounded_and_the_newest(shared: Remote) -> None:
    pace = Pace(longest_pause=0.1, most_hints=100)
    async with Relay(shared.server.port).running() as relay, shared.new_bus() as there:
        relay.cut_after = 0
        async with shared.bus_at(relay.host, pace) as here, there.subscribe("a") as heard:
            for number in range(250):
                here.publish("a", b"%d" % number)
            assert (here.health().waiting, here.health().dropped) == (100, 150)
            relay.cut_after = 1 << 40
            hints = await take(heard, 100)
    assert hints == [Hint("a", b"%d" % number) for number in range(150, 250)]


async def test_subscribers_come_and_go_in_an_outage(own: Remote) -> None:
    async with own.new_bus(QUICK) as here, own.new_bus(QUICK) as there:
        async with there.subscribe("old"):
            own.server.stop()
            await eventually(lambda: there.health().bus != "ok")
        async with there.subscribe("new") as heard:
            own.server.start()
            await until_missed(heard)
            await eventually(lambda: here.health().bus == "ok")
            here.publish("old")
            here.publish("new")
            assert [hint.subject for hint in await take(heard, 1)] == ["new"]


async def test_closing_while_the_server_is_frozen(own: Remote) -> None:
    pace = Pace(pulse=0.1, patience=20.0, linger=0.1)
    async with own.new_bus(pace) as bus:
        own.server.freeze()
        for _ in range(10):
            bus.publish("a", b"x")
        await anyio.lowlevel.checkpoint()
        began = time.monotonic()
    took = time.monotonic() - began
    own.server.thaw()

    assert took < SECONDS
    assert bus.health().dropped == 10
    assert bus.health().bus == "closed"


async def test_a_bus_that_is_cancelled_leaves_nothing(own: Remote) -> None:
    async with anyio.create_task_group() as tasks:

        async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with own.new_bus() as bus, bus.subscribe("a"):
                own.server.freeze()
                bus.publish("a", b"x")
                task_status.started()
                await anyio.sleep_forever()

        await tasks.start(run)
        await anyio.sleep(0.02)  # the hint is on its way
        tasks.cancel_scope.cancel()
    own.server.thaw()


async def test_a_connection_that_is_cut_is_made_again(shared: Remote) -> None:
    async with Relay(shared.server.port).running() as relay, shared.new_bus(QUICK) as here:
        async with shared.bus_at(relay.host, QUICK) as there, there.subscribe("a") as heard:
            for number in range(3):
                here.publish("a", b"%d" % number)
                assert await take(heard, 1) == [Hint("a", b"%d" % number)]
                relay.cut()
                await until_missed(heard)
        assert there.health().outages == 3
        assert here.health().outages == 0


async def test_a_way_that_falls_silent_is_noticed(shared: Remote) -> None:
    async with (
        Relay(shared.server.port).running() as relay,
        shared.bus_at(relay.host, HASTY) as bus,
        bus.subscribe("a") as heard,
    ):
        relay.hush()
        await eventually(lambda: bus.health().outages)
        assert bus.health().bus != "ok"
        relay.go_on()
        await until_missed(heard)


async def test_losses_leave_order_and_marks(shared: Remote) -> None:
    """Cut again and again while it publishes: what comes is in order, once, and gaps are marked."""
    async with Relay(shared.server.port).running() as relay, shared.new_bus(QUICK) as here:
        relay.cut_after = 3000
        async with shared.bus_at(relay.host, QUICK) as there, there.subscribe("a") as heard:
            for number in range(400):
                here.publish("a", b"%d" % number)
                await anyio.sleep(0.001)
            relay.cut_after = 1 << 40
            relay.cut()
            await eventually(lambda: there.health().bus == "ok")
            hints = await all_until_the_end(here, heard)
    numbers = [int(hint.payload) for hint in hints if hint.payload.isdigit()]
    assert numbers == sorted(set(numbers))
    assert there.health().outages > 1
    # A mark comes when all is heard again, so perhaps behind the first hints after a gap.
    places = [at for at, hint in enumerate(hints) if hint.payload.isdigit()]
    gaps = [
        place
        for place, here_is, next_is in zip(places, numbers, numbers[1:], strict=False)
        if next_is != here_is + 1
    ]
    assert gaps
    assert max(gaps) < max(at for at, hint in enumerate(hints) if hint is MISSED)


async def test_a_publisher_that_is_cut_off_counts_what_it_lost(shared: Remote) -> None:
    async with (
        Relay(shared.server.port).running() as relay,
        shared.new_bus() as there,
        shared.bus_at(relay.host, QUICK) as here,
        there.subscribe("a") as heard,
    ):
        for number in range(300):
            here.publish("a", b"%d" % number)
            if number % 60 == 30:
                relay.cut()
            await anyio.sleep(0.001)
        hints = await all_until_the_end(here, heard)
    numbers = [int(hint.payload) for hint in hints[:-1]]
    assert len(numbers) == len(set(numbers))
    # What a connection had taken that was cut may pass behind what the next one takes.
    turns = sum(later < earlier for earlier, later in pairwise(numbers))
    assert turns <= here.health().outages
    assert len(numbers) + here.health().dropped >= 300
    assert here.health().outages >= 1
