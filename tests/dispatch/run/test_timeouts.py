"""Deadlines: the method's, the caller's, and errors that only look like one."""

import anyio
import pytest

from jsonrpc_iot import Dispatcher
from tests.dispatch._messages import batch, code, error, notice, request, value, values_by_id

pytestmark = pytest.mark.anyio

DEADLINE_EXCEEDED = -32002
INTERNAL_ERROR = -32603


class Sleeper:
    """Methods that never end by themselves, and how often they were stopped."""

    def __init__(self) -> None:
        self.stopped = 0
        self.dispatcher = Dispatcher()
        self.dispatcher.method("free")(self.forever)
        self.dispatcher.method("short", timeout=0.01)(self.forever)
        self.dispatcher.method("long", timeout=3600)(self.forever)
        self.dispatcher.notification("told", timeout=0.01)(self.forever)

    async def forever(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped += 1


@pytest.mark.parametrize(
    "call",
    [
        request("short"),
        request("short", timeout=3600),
        request("free", timeout=0.01),
        request("long", timeout=0.01),
        request("short", timeout=0.01),
        request("short", id="text"),
    ],
)
async def test_the_smaller_timeout_ends_the_call(call: bytes) -> None:
    sleeper = Sleeper()
    with anyio.fail_after(5):
        reply = await sleeper.dispatcher.dispatch(call)
    assert error(reply) == {"code": DEADLINE_EXCEEDED, "message": "Deadline exceeded"}
    assert sleeper.stopped == 1


async def test_a_notifications_handler_is_stopped_in_silence() -> None:
    sleeper = Sleeper()
    with anyio.fail_after(5):
        assert await sleeper.dispatcher.dispatch(notice("told")) is None
    assert sleeper.stopped == 1


async def test_in_a_batch_each_call_has_its_own_deadline() -> None:
    sleeper = Sleeper()
    sleeper.dispatcher.method("quick")(lambda: "done")
    calls = batch(
        request("short", id=1), request("quick", id=2), request("free", id=3, timeout=0.02)
    )
    with anyio.fail_after(5):
        found = values_by_id(await sleeper.dispatcher.dispatch(calls))
    assert found[2] == "done"
    assert found[1]["code"] == found[3]["code"] == DEADLINE_EXCEEDED
    assert sleeper.stopped == 2


async def test_a_handler_may_be_faster_than_its_deadline() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(timeout=60)
    async def quick() -> str:
        await anyio.lowlevel.checkpoint()
        return "done"

    assert value(await dispatcher.dispatch(request("quick", timeout=60))) == "done"


async def test_a_handlers_own_timeout_is_an_internal_error() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(timeout=60)
    async def impatient() -> None:
        with anyio.fail_after(0.01):
            await anyio.sleep_forever()

    @dispatcher.method
    def raising() -> None:
        raise TimeoutError

    for method in ("impatient", "raising"):
        reply = await dispatcher.dispatch(request(method, timeout=60))
        assert code(reply) == INTERNAL_ERROR


async def test_a_handlers_own_scope_does_not_end_the_call() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(timeout=60)
    async def patient() -> str:
        with anyio.move_on_after(0.01):
            await anyio.sleep_forever()
        return "went on"

    assert value(await dispatcher.dispatch(request("patient"))) == "went on"


async def test_a_handler_may_clean_up_at_its_deadline() -> None:
    cleaned: list[str] = []
    dispatcher = Dispatcher()

    @dispatcher.method(timeout=0.01)
    async def tidy() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                cleaned.append("done")

    assert code(await dispatcher.dispatch(request("tidy"))) == DEADLINE_EXCEEDED
    assert cleaned == ["done"]


async def test_tasks_of_the_handler_end_with_it() -> None:
    ended: list[str] = []
    dispatcher = Dispatcher()

    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("child")

    @dispatcher.method(timeout=0.01)
    async def parent() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)

    assert code(await dispatcher.dispatch(request("parent"))) == DEADLINE_EXCEEDED
    assert ended == ["child"]


async def test_whoever_dispatches_may_cancel() -> None:
    sleeper = Sleeper()
    begun = anyio.Event()

    @sleeper.dispatcher.method
    async def announce() -> None:
        begun.set()
        await sleeper.forever()

    replies: list[bytes | None] = []

    async def dispatch() -> None:
        replies.append(await sleeper.dispatcher.dispatch(request("announce")))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatch)
            await begun.wait()
            tasks.cancel_scope.cancel()
    assert replies == []
    assert sleeper.stopped == 1
