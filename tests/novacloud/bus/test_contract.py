"""What every bus does, whatever carries its hints."""

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot.novacloud.bus.subjects import subject
from jsonrpc_iot.novacloud.bus.subscribers import MISSED, MOST_BYTES, MOST_HINTS, Hint
from tests.waiting import SECONDS, eventually

from . import carriers
from .carriers import Carrier, take

pytestmark = pytest.mark.anyio

REMOTE = [pytest.param(name, marks=pytest.mark.only_on("asyncio")) for name in ("postgres", "nats")]


@pytest.fixture(params=["local", *REMOTE])
def carrier(request: pytest.FixtureRequest) -> Carrier:
    return carriers.shared_carrier(request.param)


async def test_hints_of_one_publisher_arrive_in_their_order(carrier: Carrier) -> None:
    async with carrier.nodes() as (here, there), there.subscribe("events.*.lamp") as heard:
        for number in range(900):
            here.publish("events.data.lamp", b"%d" % number)
            here.publish("events.data.other", b"not for this one")
        hints = await take(heard, 900)

    assert hints == [Hint("events.data.lamp", b"%d" % number) for number in range(900)]


async def test_the_same_hint_again_and_again_is_not_left_out(carrier: Carrier) -> None:
    async with carrier.nodes() as (here, there), there.subscribe("events.>") as heard:
        for _ in range(3):
            here.publish("events.data.lamp", b"same")

        assert await take(heard, 3) == [Hint("events.data.lamp", b"same")] * 3


async def test_hints_go_to_whom_their_subject_is_for(carrier: Carrier) -> None:
    wanted = {"a.b": ["a.b"], "a.*": ["a.b", "a.c"], "a.>": ["a.b", "a.b.c", "a.c"], "*.b": ["a.b"]}
    subjects = ["a", "a.b", "a.b.c", "b.c", "a.c"]
    async with carrier.nodes() as (here, there), anyio.create_task_group() as tasks:
        heard: dict[str, list[str]] = {}
        ready = [anyio.Event() for _ in wanted]

        async def listen(pattern: str, is_ready: anyio.Event) -> None:
            heard[pattern] = []
            async with there.subscribe(pattern) as hints, there.subscribe("end") as end:
                is_ready.set()
                await take(end, 1)
                hints.close()
                heard[pattern] += [hint.subject async for hint in hints]

        for pattern, is_ready in zip(wanted, ready, strict=True):
            tasks.start_soon(listen, pattern, is_ready)
        with anyio.fail_after(SECONDS):
            for is_ready in ready:
                await is_ready.wait()
        for each in subjects:
            here.publish(each)
        async with there.subscribe("a.last") as last:  # behind all others, for every pattern
            here.publish("a.last")
            await take(last, 1)
        await anyio.wait_all_tasks_blocked()
        here.publish("end")

    assert {pattern: sorted(set(each) - {"a.last"}) for pattern, each in heard.items()} == wanted


async def test_all_subscribers_hear_also_those_of_the_same_node(carrier: Carrier) -> None:
    async with (
        carrier.nodes(3) as (here, there, yonder),
        here.subscribe("changed.>") as own,
        there.subscribe("changed.*") as one,
        there.subscribe("changed.*") as same,
        yonder.subscribe("changed.lamp") as other,
    ):
        here.publish("changed.lamp", b"1")
        here.publish("changed.lamp", b"2")
        for heard in (own, one, same, other):
            assert [hint.payload for hint in await take(heard, 2)] == [b"1", b"2"]


async def test_who_has_left_hears_no_more_and_others_still_do(carrier: Carrier) -> None:
    async with carrier.nodes() as (here, there), there.subscribe("a.*") as stays:
        async with there.subscribe("a.*") as leaves:
            here.publish("a.1")
            await take(leaves, 1)
        here.publish("a.2")
        assert [hint.subject for hint in await take(stays, 2)] == ["a.1", "a.2"]
        leaves.close()
        assert [hint async for hint in leaves] == []


async def test_a_slow_subscriber_is_told_that_it_missed_some(carrier: Carrier) -> None:
    more = MOST_HINTS + 500
    async with carrier.nodes() as (here, there):
        async with there.subscribe("a") as slow, there.subscribe("*") as quick:
            for number in range(more):
                here.publish("a", b"%d" % number)
                if number % 100 == 0:
                    await anyio.lowlevel.checkpoint()
                    await take(quick, 0)
            await eventually(lambda: slow.missed == 500)
            hints = await take(slow, MOST_HINTS + 1)
            assert [hint.payload for hint in hints[:-1]] == [b"%d" % n for n in range(MOST_HINTS)]
            assert hints[-1] is MISSED
            here.publish("a", b"again")
            assert await take(slow, 1) == [Hint("a", b"again")]
        assert there.health().missed >= 500


async def test_a_slow_subscriber_keeps_few_bytes(carrier: Carrier) -> None:
    size = min(carrier.most_payload, 1 << 18)
    fitting = MOST_BYTES // size
    async with carrier.nodes() as (here, there), there.subscribe("a") as slow:
        for _ in range(fitting + 3):
            here.publish("a", b"x" * size)
        await eventually(lambda: slow.missed == 3)
        hints = await take(slow, fitting + 1)

    assert {len(hint.payload) for hint in hints[:-1]} == {size}
    assert hints[-1] is MISSED


@pytest.mark.parametrize("size", [7000, 9000, 100_000, 3 << 20])
async def test_a_payload_arrives_whole_or_not_at_all(carrier: Carrier, size: int) -> None:
    payload = b"x" * size
    async with carrier.nodes() as (here, there), there.subscribe("a") as heard:
        here.publish("a", payload)
        here.publish("a", b"next")
        first, second = await take(heard, 2)

    assert first.payload == payload or (first.payload == b"" and size > carrier.most_payload)
    assert second.payload == b"next"


PAYLOADS = [
    b"",
    b"\0",
    bytes(range(256)),
    "ä€𝄞".encode(),
    b"\xff\xfe",
    b"a\r\nPING\r\n",
    b"=",
    b": ",
]
PAYLOADS += [b"'; DROP TABLE devices; --", b"$1", b"\\x00", b"line\nline", b" lead and trail "]


async def test_payloads_may_have_any_bytes(carrier: Carrier) -> None:
    async with carrier.nodes() as (here, there), there.subscribe("a") as heard:
        for payload in PAYLOADS:
            here.publish("a", payload)

        assert [hint.payload for hint in await take(heard, len(PAYLOADS))] == PAYLOADS


HOSTILE = ["eu.west 1", "*", ">", "a\r\nPUB x 0\r\n", "", "ä", "%2E", "'", '"; --', "\0", "{}"]


async def test_names_may_have_any_characters(carrier: Carrier) -> None:
    subjects = [subject("fence", name) for name in HOSTILE]
    async with carrier.nodes() as (here, there), there.subscribe("fence.*") as heard:
        for each in subjects:
            here.publish(each)

        assert [hint.subject for hint in await take(heard, len(subjects))] == subjects


async def test_iterations_end_when_the_bus_is_closed(carrier: Carrier) -> None:
    async with anyio.create_task_group() as tasks:

        async def listen(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with bus.subscribe("a") as heard:
                task_status.started()
                assert [hint.payload async for hint in heard] == [b"last"]

        async with carrier.nodes(1) as (bus,):
            await tasks.start(listen)
            bus.publish("a", b"last")

        async with bus.subscribe("a") as late:
            assert [hint async for hint in late] == []


async def test_what_was_published_before_closing_arrives(carrier: Carrier) -> None:
    async with carrier.nodes() as (there, _), there.subscribe("a") as heard:
        async with carrier.nodes(1) as (here,):
            if not isinstance(carrier, carriers.Local):
                here.publish("a", b"last words")
        if isinstance(carrier, carriers.Local):
            there.publish("a", b"last words")
        assert await take(heard, 1) == [Hint("a", b"last words")]
        here.publish("a", b"too late")  # and nobody minds


async def test_health_says_what_was_carried(carrier: Carrier) -> None:
    async with carrier.nodes() as (here, there), there.subscribe("a") as heard:
        here.publish("a")
        await take(heard, 1)
        await eventually(lambda: here.health().waiting == 0)
        health = here.health()
        received = there.health().received

    assert (health.bus, health.published, health.dropped, health.outages) == ("ok", 1, 0, 0)
    assert received == (0 if isinstance(carrier, carriers.Local) else 1)
