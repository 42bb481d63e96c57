"""Methods that run one call at a time per peer, in order of arrival."""

from collections.abc import Callable, Coroutine

import anyio
import pytest

from jsonrpc_iot import Context, Dispatcher
from jsonrpc_iot.dispatch.turns import Turns

from ._messages import batch, code, notice, request, value, values_by_id

pytestmark = pytest.mark.anyio


class Machine:
    """Serial methods that note when they begin and end."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.running = 0
        self.most = 0
        self.begun = anyio.Event()
        self.go_on = anyio.Event()
        self.dispatcher = Dispatcher()
        self.dispatcher.method(serial=True)(self.step)
        self.dispatcher.method("other", serial=True)(self.step)
        self.dispatcher.method(serial=True)(self.wait)
        self.dispatcher.method(serial=True)(self.quick)
        self.dispatcher.method(serial=True)(self.fail)
        self.dispatcher.method("limited", serial=True, timeout=0.01)(self.wait)
        self.dispatcher.method("free")(self.step)

    async def step(self, name: str) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.log.append(f"+{name}")
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        self.log.append(f"-{name}")
        self.running -= 1
        return name

    async def wait(self, name: str) -> str:
        self.log.append(f"+{name}")
        self.begun.set()
        await self.go_on.wait()
        self.log.append(f"-{name}")
        return name

    def quick(self, name: str) -> str:
        self.log.append(name)
        return name

    async def fail(self) -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError

    def sender(
        self, call: bytes, context: Context | None
    ) -> Callable[[], Coroutine[None, None, None]]:
        async def send() -> None:
            await self.dispatcher.dispatch(call, context)

        return send


async def test_calls_of_a_batch_run_one_at_a_time_in_order() -> None:
    machine = Machine()
    names = [f"{number}" for number in range(10)]
    entries = [request("step", [name], id=name) for name in names]
    with anyio.fail_after(5):
        found = values_by_id(await machine.dispatcher.dispatch(batch(*entries), Context()))
    assert found == {name: name for name in names}
    assert machine.most == 1
    assert machine.log == [f"{sign}{name}" for name in names for sign in "+-"]


async def test_all_serial_methods_of_a_peer_share_the_order() -> None:
    machine = Machine()
    entries = batch(
        request("step", ["a"], id=1),
        request("other", ["b"], id=2),
        notice("quick", ["c"]),
        request("step", ["d"], id=3),
    )
    with anyio.fail_after(5):
        await machine.dispatcher.dispatch(entries, Context())
    assert machine.log == ["+a", "-a", "+b", "-b", "c", "+d", "-d"]


async def test_other_methods_do_not_wait() -> None:
    machine = Machine()
    context = Context()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(machine.sender(request("wait", ["held"]), context))
            await machine.begun.wait()
            assert value(await machine.dispatcher.dispatch(request("free", ["x"]), context)) == "x"
            assert machine.log == ["+held", "+x", "-x"]
            machine.go_on.set()


async def test_peers_do_not_wait_for_each_other() -> None:
    machine = Machine()
    one, other = Context(), Context()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(machine.sender(request("wait", ["held"]), one))
            await machine.begun.wait()
            assert value(await machine.dispatcher.dispatch(request("step", ["x"]), other)) == "x"
            machine.go_on.set()


@pytest.mark.parametrize("failing", ["fail", "limited"])
async def test_a_call_that_fails_leaves_the_queue(failing: str) -> None:
    machine = Machine()
    params = ["x"] if failing == "limited" else None
    entries = batch(request(failing, params, id=1), request("step", ["next"], id=2))
    with anyio.fail_after(5):
        found = values_by_id(await machine.dispatcher.dispatch(entries, Context()))
    assert found[2] == "next"
    assert found[1]["code"] == (-32002 if failing == "limited" else -32603)


async def test_a_waiter_that_is_cancelled_leaves_the_queue() -> None:
    machine = Machine()
    context = Context()
    impatient = anyio.CancelScope()

    async def wait_impatiently() -> None:
        with impatient:
            await machine.dispatcher.dispatch(request("step", ["second"]), context)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(machine.sender(request("wait", ["first"]), context))
            await machine.begun.wait()
            tasks.start_soon(wait_impatiently)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(machine.sender(request("step", ["third"]), context))
            await anyio.wait_all_tasks_blocked()
            impatient.cancel()
            await anyio.wait_all_tasks_blocked()
            machine.go_on.set()
    assert machine.log == ["+first", "-first", "+third", "-third"]


async def test_waiting_for_the_turn_counts_as_waiting() -> None:
    machine = Machine()
    context = Context()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(machine.sender(request("wait", ["first"]), context))
            await machine.begun.wait()
            late = request("quick", ["late"], timeout=0.01)
            assert code(await machine.dispatcher.dispatch(late, context)) == -32002
            machine.go_on.set()
    assert machine.log == ["+first", "-first"]


async def test_params_that_are_refused_take_no_turn() -> None:
    machine = Machine()
    context = Context()
    with anyio.fail_after(5):
        assert code(await machine.dispatcher.dispatch(request("step", [1]), context)) == -32602
        assert value(await machine.dispatcher.dispatch(request("quick", ["x"]), context)) == "x"


def test_without_an_event_loop_serial_methods_run() -> None:
    machine = Machine()
    entries = batch(*(request("quick", [name], id=name) for name in "abc"))
    assert values_by_id(machine.dispatcher.dispatch_sync(entries)) == {name: name for name in "abc"}
    assert machine.log == ["a", "b", "c"]


async def test_turns_come_in_the_order_in_which_they_were_taken() -> None:
    turns = Turns()
    order: list[int] = []
    places = [turns.take() for _ in range(5)]

    async def wait(number: int) -> None:
        await places[number].come()
        order.append(number)
        await anyio.lowlevel.checkpoint()
        places[number].leave()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in (3, 1, 4, 0, 2):
                tasks.start_soon(wait, number)
    assert order == [0, 1, 2, 3, 4]


async def test_a_turn_may_be_given_up_anywhere_in_the_queue() -> None:
    turns = Turns()
    first, second, third, fourth = (turns.take() for _ in range(4))
    with anyio.fail_after(5):
        await first.come()
        third.leave()
        first.leave()
        await second.come()
        second.leave()
        await fourth.come()
        fourth.leave()
        await turns.take().come()


async def test_nobody_comes_before_those_ahead_have_left() -> None:
    turns = Turns()
    first, second = turns.take(), turns.take()
    came = anyio.Event()

    async def wait() -> None:
        await second.come()
        came.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not came.is_set()
            first.leave()
            await came.wait()
