"""Answers without an event loop."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Context, Dispatcher, RpcError

from ._messages import SECRET, batch, error, notice, request, value, values_by_id

INTERNAL = {"code": -32603, "message": "Internal error"}


async def not_at_all() -> str:
    return "done"


async def through_others() -> str:
    return await not_at_all()


async def refusing() -> None:
    raise RpcError(7, "refused", [1])


async def failing() -> None:
    raise LookupError(SECRET)


async def in_a_scope() -> str:
    lock = asyncio.Lock()
    async with lock:
        return "locked"


Function = Callable[[], Coroutine[Any, Any, object]]


@pytest.mark.parametrize(
    ("function", "expected"),
    [(not_at_all, "done"), (through_others, "done"), (in_a_scope, "locked")],
)
def test_a_coroutine_that_never_waits_works(function: Function, expected: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("f")(function)
    assert value(dispatcher.dispatch_sync(request("f"))) == expected
    assert values_by_id(dispatcher.dispatch_sync(batch(request("f")))) == {1: expected}
    assert dispatcher.dispatch_sync(notice("f")) is None


def test_a_coroutines_errors_are_answered() -> None:
    dispatcher = Dispatcher()
    dispatcher.method(refusing)
    dispatcher.method(failing)
    refused = error(dispatcher.dispatch_sync(request("refusing")))
    assert refused == {"code": 7, "message": "refused", "data": [1]}
    assert error(dispatcher.dispatch_sync(request("failing"))) == INTERNAL
    assert dispatcher.dispatch_sync(notice("failing")) is None


async def wait_for_nothing() -> None:
    await asyncio.sleep(0)


async def wait_for_asyncio() -> None:
    await asyncio.sleep(0.01)


async def wait_for_anyio() -> None:
    await anyio.sleep(0.01)


async def wait_for_an_event() -> None:
    await anyio.Event().wait()


async def wait_in_a_task_group() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 0)


@pytest.mark.parametrize(
    "function",
    [
        wait_for_nothing,
        wait_for_asyncio,
        wait_for_anyio,
        wait_for_an_event,
        wait_in_a_task_group,
    ],
)
def test_a_coroutine_that_waits_is_an_internal_error_and_logged(
    function: Function, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("f")(function)
    dispatcher.method("g")(not_at_all)
    assert error(dispatcher.dispatch_sync(request("f"))) == INTERNAL
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "'f'" in record.getMessage()
    assert value(dispatcher.dispatch_sync(request("g"))) == "done"


def test_a_coroutine_that_waits_gets_to_its_cleanup() -> None:
    cleaned: list[str] = []
    dispatcher = Dispatcher()

    @dispatcher.method
    async def tidy() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append("yes")

    assert error(dispatcher.dispatch_sync(request("tidy"))) == INTERNAL
    assert cleaned == ["yes"]


def test_in_a_batch_only_those_that_wait_fail() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("f")(not_at_all)
    dispatcher.method("g")(wait_for_nothing)
    dispatcher.method("h")(lambda: "plain")
    calls = batch(request("g", id=1), request("f", id=2), request("h", id=3), notice("g"))
    found = values_by_id(dispatcher.dispatch_sync(calls))
    assert found == {1: INTERNAL, 2: "done", 3: "plain"}


def test_timeouts_do_not_need_an_event_loop() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("f", timeout=5)(not_at_all)
    assert value(dispatcher.dispatch_sync(request("f", timeout=1))) == "done"


@pytest.mark.anyio
async def test_it_also_answers_inside_an_event_loop() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("f")(not_at_all)
    dispatcher.method("g")(lambda: "plain")
    assert value(dispatcher.dispatch_sync(request("f"))) == "done"
    assert value(dispatcher.dispatch_sync(request("g"))) == "plain"


def test_threads_may_call_at_once() -> None:
    dispatcher = Dispatcher()
    threads, calls = 8, 200
    start = threading.Barrier(threads)

    @dispatcher.method
    def plain(number: int) -> int:
        return number

    @dispatcher.method
    async def coroutine(number: int, context: Context) -> list[object]:
        return [number, context.id]

    @dispatcher.method(serial=True)
    def in_turn(number: int) -> int:
        return number

    def work(thread: int) -> None:
        start.wait(5)
        for call in range(calls):
            number = thread * calls + call
            id = f"{number}"
            assert value(dispatcher.dispatch_sync(request("plain", [number], id=id))) == number
            reply = dispatcher.dispatch_sync(request("coroutine", [number], id=id))
            assert value(reply) == [number, id]
            assert value(dispatcher.dispatch_sync(request("in_turn", [number], id=id))) == number

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, thread) for thread in range(threads)]:
            done.result()


def test_cleaning_up_may_wait_or_fail_too() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)

    @dispatcher.method
    async def fails() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            raise LookupError(SECRET)

    for name in ("waits", "fails"):
        assert error(dispatcher.dispatch_sync(request(name))) == INTERNAL
