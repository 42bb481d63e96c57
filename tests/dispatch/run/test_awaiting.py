"""`dispatch` awaits a handler in its caller's task, and nobody but the caller ends it."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Call, Context, Dispatcher, Next

from .._messages import code, notice, request, value

pytestmark = pytest.mark.anyio

PLACE: ContextVar[str] = ContextVar("PLACE", default="nowhere")
KINDS = ["quick", "with_context", "in_turn", "timed", "items"]
EVENTS = ["began", "ended"]


class Device:
    """Handlers of every kind that wait for `go_on`.

    Args:
        layers: how many layers of middleware there are around them.
    """

    def __init__(self, layers: int = 0) -> None:
        self.dispatcher = Dispatcher()
        self.go_on = anyio.Event()
        self.began = anyio.Event()
        self.log: list[str] = []
        self.tasks: list[object] = []
        method = self.dispatcher.method
        method("quick")(self._wait)
        method("in_turn", serial=True)(self._wait)
        method("timed", timeout=60)(self._wait)

        @method
        async def with_context(context: Context) -> str:
            return f"{context.method}: {await self._wait()}"

        @method
        async def items() -> AsyncIterator[str]:
            yield await self._wait()

        self.dispatcher.notification("hear")(self._wait)
        for _ in range(layers):
            self.dispatcher.middleware(self._layer)

    async def _wait(self) -> str:
        self.tasks.append(anyio.get_current_task().id)
        self.log.append("began")
        self.began.set()
        try:
            await self.go_on.wait()
        finally:
            self.log.append("ended")
        place = PLACE.get()
        PLACE.set("the handler")
        return place

    async def _layer(self, call: Call, context: Context, next: Next) -> Any:
        self.tasks.append(anyio.get_current_task().id)
        return await next(call, context)


@pytest.fixture(params=[0, 2], ids=["bare", "layers"])
def device(request: pytest.FixtureRequest) -> Device:
    return Device(request.param)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_runs_in_the_task_of_its_caller(device: Device, kind: str) -> None:
    device.go_on.set()
    value(await device.dispatcher.dispatch(request(kind)))
    assert set(device.tasks) == {anyio.get_current_task().id}


@pytest.mark.parametrize("kind", [*KINDS, "hear"])
async def test_the_scope_of_the_caller_ends_it(device: Device, kind: str) -> None:
    message = notice(kind) if kind == "hear" else request(kind)
    outcome: list[object] = []

    async def call() -> None:
        outcome.append(await device.dispatcher.dispatch(message))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await device.began.wait()
            tasks.cancel_scope.cancel()
    assert (device.log, outcome) == (EVENTS, [])


@pytest.mark.only_on("asyncio")
@pytest.mark.parametrize("kind", [*KINDS, "hear"])
async def test_asyncio_ends_it_too(
    device: Device, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    message = notice(kind) if kind == "hear" else request(kind)
    task = asyncio.create_task(device.dispatcher.dispatch(message))
    await device.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(device.dispatcher.dispatch(message), 0.01)
    assert (device.log, caplog.messages) == (EVENTS * 2, [])


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_call_that_was_ended_the_next_one_runs(device: Device, kind: str) -> None:
    with anyio.move_on_after(0.01):
        await device.dispatcher.dispatch(request(kind))
    device.go_on.set()
    value(await device.dispatcher.dispatch(request(kind)))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_context_is_that_of_the_caller(device: Device, kind: str) -> None:
    device.go_on.set()
    PLACE.set("the caller")
    assert "the caller" in str(value(await device.dispatcher.dispatch(request(kind))))
    assert PLACE.get() == "the handler"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_time_limit_of_a_request_is_kept(device: Device, kind: str) -> None:
    assert code(await device.dispatcher.dispatch(request(kind, timeout=0.01))) == -32002
    assert device.log == EVENTS
    device.go_on.set()
    value(await device.dispatcher.dispatch(request(kind, timeout=60)))
    assert anyio.current_effective_deadline() == math.inf


@pytest.mark.parametrize("id", [0, -7, "", "a", None, 1.5])
async def test_an_id_of_any_kind_is_answered(device: Device, id: object) -> None:
    device.go_on.set()
    assert value(await device.dispatcher.dispatch(request("quick", id=id))) is not None


async def test_a_notification_is_awaited(device: Device) -> None:
    device.go_on.set()
    assert await device.dispatcher.dispatch(notice("hear")) is None
    assert device.log == EVENTS
