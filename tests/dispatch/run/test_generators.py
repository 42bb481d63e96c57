"""Async generators as handlers: a plain call gets the whole list."""

import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import Any

import anyio
import pytest
from msgspec import Struct

from jsonrpc_iot import Context, Dispatcher, RpcError
from tests.dispatch._messages import (
    SECRET,
    batch,
    code,
    error,
    notice,
    request,
    value,
    values_by_id,
)

pytestmark = pytest.mark.anyio


class Item(Struct):
    number: int


class Closing:
    """Notes how its generators ended."""

    def __init__(self) -> None:
        self.closed = 0

    async def count(self, to: int) -> AsyncIterator[int]:
        try:
            for number in range(to):
                await anyio.lowlevel.checkpoint()
                yield number
        finally:
            self.closed += 1

    async def forever(self) -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            self.closed += 1

    async def fail(self, error: str) -> AsyncGenerator[int, None]:
        try:
            yield 1
            raise RpcError(7, error) if error else LookupError(SECRET)
        finally:
            self.closed += 1


@pytest.fixture
def closing() -> Closing:
    return Closing()


@pytest.fixture
def dispatcher(closing: Closing) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method(closing.count)
    dispatcher.method(closing.forever)
    dispatcher.method(closing.fail)
    dispatcher.method("in_turn", serial=True)(closing.count)
    return dispatcher


@pytest.mark.parametrize("method", ["count", "in_turn"])
async def test_a_call_gets_the_list(dispatcher: Dispatcher, closing: Closing, method: str) -> None:
    assert value(await dispatcher.dispatch(request(method, [3]))) == [0, 1, 2]
    assert value(await dispatcher.dispatch(request(method, {"to": 0}))) == []
    assert closing.closed == 2


async def test_params_are_checked_first(dispatcher: Dispatcher, closing: Closing) -> None:
    assert code(await dispatcher.dispatch(request("count", ["3"]))) == -32602
    assert closing.closed == 0


async def test_a_notification_runs_it_to_the_end(dispatcher: Dispatcher, closing: Closing) -> None:
    assert await dispatcher.dispatch(notice("count", [3])) is None
    assert closing.closed == 1


async def test_an_error_in_the_middle_is_the_answer(
    dispatcher: Dispatcher, closing: Closing
) -> None:
    refused = error(await dispatcher.dispatch(request("fail", ["no more"])))
    assert refused == {"code": 7, "message": "no more"}
    failed = error(await dispatcher.dispatch(request("fail", [""])))
    assert failed == {"code": -32603, "message": "Internal error"}
    assert closing.closed == 2


async def test_a_deadline_closes_it(dispatcher: Dispatcher, closing: Closing) -> None:
    with anyio.fail_after(5):
        assert code(await dispatcher.dispatch(request("forever", timeout=0.01))) == -32002
    assert closing.closed == 1


async def test_generators_of_a_batch(dispatcher: Dispatcher) -> None:
    calls = batch(request("count", [2], id=1), request("count", [1], id=2))
    assert values_by_id(await dispatcher.dispatch(calls)) == {1: [0, 1], 2: [0]}


async def test_items_of_every_kind() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def structs(context: Context) -> AsyncGenerator[Item, None]:
        yield Item(1)
        yield Item(len(context.method))

    @dispatcher.method
    async def untyped() -> Any:
        yield None
        yield {"a": [1.5]}

    @dispatcher.method
    async def iterable() -> AsyncIterable[str]:
        yield "x"

    assert value(await dispatcher.dispatch(request("structs"))) == [{"number": 1}, {"number": 7}]
    assert value(await dispatcher.dispatch(request("untyped"))) == [None, {"a": [1.5]}]
    assert value(await dispatcher.dispatch(request("iterable"))) == ["x"]


async def test_a_bad_item_spoils_the_list() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def typed() -> AsyncIterator[float]:
        yield 1.0
        yield float("nan")

    @dispatcher.method
    async def untyped() -> AsyncIterator[Any]:
        yield object()

    assert code(await dispatcher.dispatch(request("typed", id="n"))) == -32603
    assert code(await dispatcher.dispatch(request("untyped"))) == -32603


async def test_a_callable_object_may_generate() -> None:
    class Counter:
        async def __call__(self, to: int) -> AsyncIterator[int]:
            for number in range(to):
                yield number

    dispatcher = Dispatcher()
    dispatcher.method("count")(Counter())
    assert value(await dispatcher.dispatch(request("count", [2]))) == [0, 1]


def test_without_an_event_loop_it_runs_if_it_does_not_wait() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert value(dispatcher.dispatch_sync(request("items"))) == [1, 2]


@pytest.mark.parametrize("bare", [AsyncIterator, typing.AsyncIterator], ids=["abc", "typing"])
async def test_items_of_no_declared_type(bare: Any) -> None:
    async def items() -> Any:
        yield 1
        yield "two"

    items.__annotations__["return"] = bare
    dispatcher = Dispatcher()
    dispatcher.method(items)
    assert value(await dispatcher.dispatch(request("items"))) == [1, "two"]
