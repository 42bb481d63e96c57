"""What every `CommandLog` has to do."""

import time

import anyio
import pytest

from jsonrpc_iot.novacloud import Store
from jsonrpc_iot.novacloud.store.command_log import (
    CommandRow,
    CommandStatus,
    Holder,
    Transition,
)
from jsonrpc_iot.novacloud.store.nodes import Hold

from .rows import A, B, command, row

pytestmark = pytest.mark.anyio

MOST = 256
HOST = "192.0.2.1"
QUEUED, SENT = CommandStatus.QUEUED, CommandStatus.SENT
PENDING, SUCCESS = CommandStatus.PENDING, CommandStatus.SUCCESS


async def test_the_commands_of_a_broadcast(store: Store) -> None:
    await store.create_device(row())
    await store.add([command(f"{number}", job_id="job") for number in range(5)], MOST)
    await store.add([command("other"), command("another", job_id="other")], MOST)
    first = await store.job_page("job", None, 2)
    rest = await store.job_page("job", first[-1].command_id, 10)
    assert [each.command_id for each in first + rest] == ["0", "1", "2", "3", "4"]
    states = await store.job_states("job")
    assert sorted(states) == [(f"{number}", CommandStatus.QUEUED) for number in range(5)]


async def test_commands(store: Store) -> None:
    await store.create_device(row())
    assert await store.add([command("one"), command("two")], MOST) == [True, True]
    assert await store.add([command("one", created=9.0)], MOST) == [True]
    done = command("one", status=SUCCESS, payload={"a": 1}, sent=2.5, finished=3.0, due=62.5)
    assert await store.transition([Transition(done)]) == [True]
    assert await store.command("one") == done
    assert await store.command("three") is None
    assert await store.commands() == [command("two"), done]
    assert await store.commands(A, limit=1) == [command("two")]
    assert await store.commands(B) == []
    found = await store.commands_by_id(["two", "one", "three"])
    assert sorted(found, key=lambda each: each.command_id) == [done, command("two")]


async def test_open_commands_in_the_order_they_came(store: Store) -> None:
    await store.create_device(row())
    await store.create_device(row(B, "other"))
    states = {"z": QUEUED, "b": SENT, "y": PENDING, "x": SUCCESS, "a": QUEUED}
    made = [command(id, device_id=B if id == "y" else A) for id in states]
    assert all(await store.add(made, MOST))
    for id, status in states.items():
        finished = 3.0 if status.is_final else None
        await store.transition([Transition(command(id, status=status, finished=finished))])
    assert [each.command_id for each in await store.open_commands()] == ["z", "b", "y", "a"]
    assert [each.command_id for each in await store.open_commands([A])] == ["z", "b", "a"]
    assert await store.open_commands([B]) == [command("y", device_id=B, status=PENDING)]
    assert await store.open_commands([]) == []


async def test_no_more_are_queued_than_may_be(store: Store) -> None:
    await store.create_device(row())
    refusal = command("refused", status=CommandStatus.ERROR, finished=1.0)
    wanted = [command("a"), command("b"), command("c"), refusal, command("d", device_id=B)]
    assert await store.add(wanted, 2) == [True, True, False, True, False]
    assert await store.add([command("c")], 2) == [False]
    await store.transition([Transition(command("a", status=SENT))])
    assert await store.add([command("c"), command("d")], 2) == [True, False]
    assert {each.command_id for each in await store.commands()} == {"a", "b", "c", "refused"}


async def test_the_limit_holds_while_many_add(store: Store) -> None:
    await store.create_device(row())
    stored: list[bool] = []

    async def add(first: int) -> None:
        rows = [command(f"{number}") for number in range(first, first + 5)]
        stored.extend(await store.add(rows, 30))

    async with anyio.create_task_group() as tasks:
        for first in range(0, 100, 5):
            tasks.start_soon(add, first)
    assert sum(stored) == len(await store.open_commands([A])) == 30
    assert len(stored) == 100


async def test_of_two_ways_from_one_state_one_is_gone(store: Store) -> None:
    await store.create_device(row())
    ids = [f"{number}" for number in range(20)]
    await store.add([command(id) for id in ids], MOST)
    sent = [command(id, status=SENT, sent=2.0) for id in ids]
    cancelled = [command(id, status=CommandStatus.CANCELLED, finished=2.0) for id in ids[::-1]]
    made: dict[str, list[CommandRow]] = {id: [] for id in ids}

    async def try_each(rows: list[CommandRow]) -> None:
        for each in rows:
            if await store.transition([Transition(each, {QUEUED})]) == [True]:
                made[each.command_id].append(each)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(try_each, sent)
        tasks.start_soon(try_each, cancelled)
    for id, rows in made.items():
        assert [await store.command(id)] == rows


@pytest.mark.parametrize("final", [status for status in CommandStatus if status.is_final])
async def test_a_final_state_changes_no_more(store: Store, final: CommandStatus) -> None:
    await store.create_device(row())
    await store.add([command("one"), command("two")], MOST)
    done = command("one", status=final, payload=1, finished=3.0)
    changes = [Transition(done), Transition(command("two", status=SENT), {PENDING})]
    assert await store.transition(changes) == [True, False]
    for status in CommandStatus:
        late = command("one", status=status, payload=2, finished=4.0)
        assert await store.transition([Transition(late, {*CommandStatus})]) == [False]
    assert await store.commands() == [command("two"), done]
    gone = Transition(command("three", status=SENT))
    assert await store.transition([gone]) == [False]


async def test_who_has_the_device_decides(store: Store) -> None:
    await store.create_device(row())
    await store.add([command("one")], MOST)
    lease = await store.nodes.enter("north", "1")

    async def send(node: int, epoch: int) -> bool:
        holder = Holder(node, epoch)
        change = Transition(command("one", status=SENT), {QUEUED, SENT}, holder)
        (is_made,) = await store.transition([change])
        return is_made

    assert not await send(lease.number, 1)
    first = (await store.nodes.take(lease, {A: HOST}))[A].epoch
    assert await send(lease.number, first)
    second = (await store.nodes.take(lease, {A: HOST}))[A].epoch
    assert not await send(lease.number, first)
    assert not await send(lease.number + 1, second)
    assert await send(lease.number, second)
    await store.nodes.release(lease, [Hold(A, second)])
    assert not await send(lease.number, second)


async def test_what_is_with_nobody_ends_when_its_time_is_over(store: Store) -> None:
    later = time.time() + 1000
    await store.create_device(row())
    await store.create_device(row(B, "other"))
    ids = "queued", "waiting", "sent", "pending", "elsewhere"
    await store.add([command(id, device_id=B if id == "elsewhere" else A) for id in ids], MOST)
    await store.transition(
        [
            Transition(command("waiting", expires=later)),
            Transition(command("sent", status=SENT, sent=1.5, due=2.5)),
            Transition(command("pending", status=PENDING, sent=1.5, due=later)),
        ]
    )
    lease = await store.nodes.enter("north", "1")
    hold = Hold(B, (await store.nodes.take(lease, {B: HOST}))[B].epoch)
    ended: dict[str, CommandStatus] = {}

    async def end() -> None:
        while rows := await store.end_overdue(1):
            for each in rows:
                assert each.command_id not in ended
                assert each == await store.command(each.command_id)
                assert each.finished is not None
                assert abs(each.finished - time.time()) < 60
                ended[each.command_id] = each.status

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end)
        tasks.start_soon(end)
    assert ended == {"queued": CommandStatus.EXPIRED, "sent": CommandStatus.TIMEOUT}
    await store.nodes.release(lease, [hold])
    assert [each.command_id for each in await store.end_overdue(10)] == ["elsewhere"]
    assert {each.command_id for each in await store.open_commands()} == {"waiting", "pending"}
