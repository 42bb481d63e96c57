"""Code around each call: which calls it sees, in which order, and what of them."""

from typing import Any

import pytest
from msgspec import UNSET, structs

from jsonrpc_iot import Call, Context, Dispatcher, Next
from tests.dispatch._layers import KINDS, Log, Send, device, logging_layer
from tests.dispatch._messages import batch, code, notice, request, value, values_by_id

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", KINDS)
async def test_layers_run_in_the_order_of_registration(send: Send, kind: str) -> None:
    log: Log = []
    dispatcher = device(log)
    dispatcher.middleware(logging_layer(log, "outer"))
    dispatcher.middleware(logging_layer(log, "inner"))
    expected = [5] if kind == "items" else 5
    assert value(await send(dispatcher, request(kind, [5]))) == expected
    assert log == ["outer in", "inner in", f"{kind} 5", "inner out", "outer out"]


async def test_notifications_pass_through(send: Send) -> None:
    log: Log = []
    dispatcher = device(log)
    dispatcher.middleware(logging_layer(log, "layer"))
    assert await send(dispatcher, notice("report", [3])) is None
    assert await send(dispatcher, notice("plain", [4])) is None
    assert log == ["layer in", "report 3", "layer out", "layer in", "plain 4", "layer out"]


async def test_entries_of_a_batch_pass_through(send: Send) -> None:
    log: Log = []
    dispatcher = device(log)

    @dispatcher.middleware
    async def count(call: Call, context: Context, next: Next) -> Any:
        log.append(call.method)
        return await next(call, context)

    entries = [request(kind, id=kind) for kind in KINDS]
    reply = await send(dispatcher, batch(*entries, notice("report", [1]), b"5"))
    methods = [*KINDS, "report"]
    assert sorted(log) == sorted([*methods, *(f"{method} 1" for method in methods)])
    found = values_by_id(reply)
    assert found.pop(None)["code"] == -32600
    assert found == dict.fromkeys(KINDS, 1) | {"items": [1]}


async def test_plain_handlers_of_a_batch_keep_their_order(send: Send) -> None:
    log: Log = []
    dispatcher = Dispatcher()
    dispatcher.middleware(logging_layer([], "layer"))

    @dispatcher.method
    def note(number: int) -> None:
        log.append(f"{number}")

    numbers = range(20)
    assert await send(dispatcher, batch(*(notice("note", [number]) for number in numbers))) is None
    assert log == [f"{number}" for number in numbers]


async def test_a_layer_sees_the_call(send: Send) -> None:
    calls: list[Call] = []
    contexts: list[Context] = []
    dispatcher = device([])

    @dispatcher.middleware
    async def look(call: Call, context: Context, next: Next) -> Any:
        calls.append(call)
        contexts.append(context)
        return await next(call, context)

    await send(dispatcher, request("plain", {"level": 5}, id="x"))
    await send(dispatcher, request("coroutine", [6], id=1.5))
    await send(dispatcher, notice("report", [7]))
    assert [call.method for call in calls] == ["plain", "coroutine", "report"]
    assert [call.id for call in calls] == ["x", 1.5, UNSET]
    assert [structs.asdict(call.params) for call in calls] == [
        {"level": 5},
        {"level": 6},
        {"level": 7},
    ]
    assert [context.method for context in contexts] == ["plain", "coroutine", "report"]
    assert [context.id for context in contexts] == ["x", 1.5, UNSET]


async def test_a_layer_sees_defaults_and_the_full_name(send: Send) -> None:
    calls: list[Call] = []
    house = Dispatcher()
    house.include(device([]), "lamp")

    @house.middleware
    async def look(call: Call, context: Context, next: Next) -> Any:
        calls.append(call)
        return await next(call, context)

    await send(house, request("lamp.plain"))
    assert [(call.method, structs.asdict(call.params)) for call in calls] == [
        ("lamp.plain", {"level": 1})
    ]


async def test_layers_see_no_call_that_is_refused_before(send: Send) -> None:
    log: Log = []
    dispatcher = device(log)
    dispatcher.middleware(logging_layer(log, "layer"))
    dispatcher.method("secret", requires="x")(lambda: None)
    assert code(await send(dispatcher, request("no.such"))) == -32601
    assert code(await send(dispatcher, request("plain", ["x"]))) == -32602
    assert code(await send(dispatcher, request("secret"))) == -32005
    assert await send(dispatcher, notice("report", ["x"])) is None
    assert log == []


async def test_builtin_methods_pass_through(send: Send) -> None:
    log: Log = []
    dispatcher = Dispatcher()
    dispatcher.middleware(logging_layer(log, "layer"))
    assert value(await send(dispatcher, request("rpc.ping"))) is True
    assert log == ["layer in", "layer out"]


async def test_a_layer_registered_late_counts_from_then_on(send: Send) -> None:
    log: Log = []
    dispatcher = device(log)
    assert value(await send(dispatcher, request("plain", [1]))) == 1
    dispatcher.middleware(logging_layer(log, "late"))
    assert value(await send(dispatcher, request("plain", [2]))) == 2
    dispatcher.method("new")(lambda: log.append("new"))
    assert value(await send(dispatcher, request("new"))) is None
    assert log == ["plain 1", "late in", "plain 2", "late out", "late in", "new", "late out"]


def test_the_decorator_returns_the_layer() -> None:
    layer = logging_layer([], "x")
    assert Dispatcher().middleware(layer) is layer
