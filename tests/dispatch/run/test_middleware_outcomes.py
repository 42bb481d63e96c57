"""Code around each call: what it makes of params, results and errors."""

from typing import Any

import anyio
import pytest
from msgspec import structs

from jsonrpc_iot import Busy, Call, Context, Dispatcher, Next, RpcError
from tests.dispatch._layers import KINDS, Log, Send, device
from tests.dispatch._messages import SECRET, code, error, notice, request, value

pytestmark = pytest.mark.anyio


async def test_a_layer_may_change_params_and_result(send: Send) -> None:
    dispatcher = device([])

    @dispatcher.middleware
    async def double(call: Call, context: Context, next: Next) -> Any:
        params = structs.replace(call.params, level=call.params.level * 2)  # type: ignore[attr-defined]
        return {"doubled": await next(structs.replace(call, params=params), context)}

    assert value(await send(dispatcher, request("plain", [5]))) == {"doubled": 10}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_layer_may_refuse(send: Send, kind: str) -> None:
    log: Log = []
    dispatcher = device(log)

    @dispatcher.middleware
    async def refuse(call: Call, context: Context, next: Next) -> Any:
        raise Busy(data={"retry_after": 2})

    refused = error(await send(dispatcher, request(kind)))
    assert refused == {"code": -32004, "message": "Busy", "data": {"retry_after": 2}}
    assert await send(dispatcher, notice(kind)) is None
    assert log == []


async def test_a_layer_may_answer_by_itself(send: Send) -> None:
    log: Log = []
    dispatcher = device(log)

    @dispatcher.middleware
    async def cached(call: Call, context: Context, next: Next) -> Any:
        return "cached"

    assert value(await send(dispatcher, request("plain"))) == "cached"
    assert log == []


async def test_a_layer_that_returns_nothing_answers_null(send: Send) -> None:
    dispatcher = device([])

    @dispatcher.middleware
    async def forgetful(call: Call, context: Context, next: Next) -> Any:
        await next(call, context)

    assert value(await send(dispatcher, request("plain"))) is None


async def test_a_layer_that_fails_is_an_internal_error(send: Send) -> None:
    dispatcher = device([])

    @dispatcher.middleware
    async def broken(call: Call, context: Context, next: Next) -> Any:
        raise KeyError(SECRET)

    assert error(await send(dispatcher, request("plain"))) == {
        "code": -32603,
        "message": "Internal error",
    }


async def test_a_layer_sees_exceptions_and_may_turn_them_into_errors(send: Send) -> None:
    seen: list[Exception] = []
    dispatcher = device([])

    @dispatcher.middleware
    async def translate(call: Call, context: Context, next: Next) -> Any:
        try:
            return await next(call, context)
        except LookupError as problem:
            seen.append(problem)
            raise RpcError(404, "no such thing") from problem

    assert error(await send(dispatcher, request("fail"))) == {
        "code": 404,
        "message": "no such thing",
    }
    assert [str(each) for each in seen] == [SECRET]


async def test_a_layer_may_try_again(send: Send) -> None:
    attempts: list[int] = []
    dispatcher = Dispatcher()

    @dispatcher.method
    def flaky() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("not yet")
        return "done"

    @dispatcher.middleware
    async def retry(call: Call, context: Context, next: Next) -> Any:
        while True:
            try:
                return await next(call, context)
            except OSError:
                continue

    assert value(await send(dispatcher, request("flaky"))) == "done"
    assert len(attempts) == 3


async def test_a_layers_bad_result_is_an_internal_error(send: Send) -> None:
    dispatcher = device([])

    @dispatcher.middleware
    async def spoil(call: Call, context: Context, next: Next) -> Any:
        return [float("nan")]

    assert code(await send(dispatcher, request("plain", id="nan"))) == -32603


async def test_a_layer_may_wait() -> None:
    dispatcher = device([])

    @dispatcher.middleware
    async def slow(call: Call, context: Context, next: Next) -> Any:
        await anyio.lowlevel.checkpoint()
        return await next(call, context)

    assert value(await dispatcher.dispatch(request("plain", [5]))) == 5
    assert code(dispatcher.dispatch_sync(request("plain", [5]))) == -32603


async def test_a_layers_time_counts() -> None:
    log: Log = []
    dispatcher = device(log)

    @dispatcher.middleware
    async def stuck(call: Call, context: Context, next: Next) -> Any:
        await anyio.sleep_forever()

    assert code(await dispatcher.dispatch(request("plain", timeout=0.01))) == -32002
    assert log == []
