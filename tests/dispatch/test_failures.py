"""Exceptions that nobody foresaw: what the caller learns, and what the log."""

import asyncio
import logging
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Dispatcher, Forbidden, InvalidParams, RpcError

from ._messages import SECRET, batch, error, notice, request

pytestmark = pytest.mark.anyio

INTERNAL = {"code": -32603, "message": "Internal error"}
KINDS = ["plain", "floating", "coroutine", "threaded", "in_turn", "bad_result", "bad_coroutine"]


def failing(*, debug: bool = False) -> Dispatcher:
    """Handlers of every kind that fail."""
    dispatcher = Dispatcher(debug=debug)

    @dispatcher.method
    def plain() -> int:
        raise LookupError(SECRET)

    @dispatcher.method
    def floating() -> float:
        raise LookupError(SECRET)

    @dispatcher.method
    async def coroutine() -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError(SECRET)

    @dispatcher.method(thread=True)
    def threaded() -> None:
        raise LookupError(SECRET)

    @dispatcher.method(serial=True)
    def in_turn() -> None:
        raise LookupError(SECRET)

    @dispatcher.method
    def bad_result() -> dict[str, int]:
        return {SECRET: object()}  # type: ignore[dict-item]

    @dispatcher.method
    async def bad_coroutine() -> Any:
        return {SECRET: float("nan")}

    return dispatcher


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    caplog.set_level(logging.DEBUG, "jsonrpc_iot")
    return caplog.records


@pytest.mark.parametrize("kind", KINDS)
async def test_the_caller_learns_nothing(kind: str) -> None:
    reply = await failing().dispatch(request(kind))
    assert error(reply) == INTERNAL
    assert reply is not None
    assert SECRET.encode() not in reply


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("message", [request, notice])
async def test_the_log_learns_it_once_with_the_traceback(
    kind: str, message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jsonrpc_iot")
    await failing().dispatch(message(kind))
    if message is notice and kind.startswith("bad"):
        assert caplog.records == []  # nobody wants the result of a notification
        return
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.name.startswith("jsonrpc_iot.")
    assert repr(kind) in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[2] is not None
    assert "Traceback" in caplog.text


async def test_each_failure_of_a_batch_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    await failing().dispatch(batch(request("plain", id=1), request("coroutine", id=2)))
    assert len(caplog.records) == 2


@pytest.mark.parametrize("kind", KINDS[:5])
async def test_debug_tells_the_caller(kind: str) -> None:
    refused = error(await failing(debug=True).dispatch(request(kind)))
    assert refused["code"] == -32603
    assert refused["message"] == "Internal error"
    assert refused["data"].keys() == {"type", "message", "traceback"}
    assert refused["data"]["type"] == "LookupError"
    assert refused["data"]["message"] == SECRET
    assert f"in {kind}" in refused["data"]["traceback"]


async def test_debug_still_logs(caplog: pytest.LogCaptureFixture) -> None:
    await failing(debug=True).dispatch(request("plain"))
    assert len(caplog.records) == 1


@pytest.mark.parametrize("debug", [False, True])
async def test_errors_raised_on_purpose_are_no_failures(
    debug: bool, records: list[logging.LogRecord]
) -> None:
    dispatcher = Dispatcher(debug=debug)

    @dispatcher.method
    def refuse() -> None:
        raise RpcError(1234, "Out of paper", {"tray": 2})

    @dispatcher.method
    async def forbid() -> None:
        raise Forbidden

    assert error(await dispatcher.dispatch(request("refuse"))) == {
        "code": 1234,
        "message": "Out of paper",
        "data": {"tray": 2},
    }
    assert error(await dispatcher.dispatch(request("forbid"))) == {
        "code": -32006,
        "message": "Forbidden",
    }
    assert records == []


async def test_a_handler_may_refuse_its_params_itself() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def even(number: int) -> int:
        if number % 2:
            raise InvalidParams("odd", {"path": "$.number"})
        return number

    assert error(await dispatcher.dispatch(request("even", [1]))) == {
        "code": -32602,
        "message": "odd",
        "data": {"path": "$.number"},
    }


async def test_an_error_class_of_ones_own() -> None:
    class OutOfPaper(RpcError):
        def __init__(self, tray: int) -> None:
            super().__init__(77, "Out of paper", {"tray": tray})

    dispatcher = Dispatcher()

    @dispatcher.method
    def print_page() -> None:
        raise OutOfPaper(3)

    assert error(await dispatcher.dispatch(request("print_page"))) == {
        "code": 77,
        "message": "Out of paper",
        "data": {"tray": 3},
    }


def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def wait_for_the_cancelled() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    call = request("wait_for_the_cancelled")
    assert error(anyio.run(dispatcher.dispatch, call)) == INTERNAL


async def test_the_dispatcher_goes_on_after_failures() -> None:
    dispatcher = failing()
    for _ in range(3):
        for kind in KINDS:
            assert error(await dispatcher.dispatch(request(kind))) == INTERNAL


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_not_held_back(stop: type[BaseException]) -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def interrupted() -> None:
        raise stop

    with pytest.raises(stop):
        dispatcher.dispatch_sync(request("interrupted"))


@pytest.mark.parametrize("debug", [True, False])
def test_an_exception_without_a_text_is_an_internal_error(
    debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    dispatcher = Dispatcher(debug=debug)

    @dispatcher.method
    def fail() -> None:
        raise Mute

    assert error(dispatcher.dispatch_sync(request("fail")))["code"] == -32603
    assert "Mute" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (RpcError("E", "m"), "the code of an error is an integer, not 'E'"),
        (RpcError(1.5, "m"), "the code of an error is an integer, not 1.5"),  # type: ignore[call-overload]
        (RpcError(True, "m"), "the code of an error is an integer, not True"),
        (RpcError(7, 5), "its message is a text, not 5"),  # type: ignore[call-overload]
    ],
)
async def test_an_error_that_is_none_is_an_internal_error(
    wrong: RpcError, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def plain() -> None:
        raise wrong

    @dispatcher.method
    async def later() -> None:
        raise wrong

    for name in ("plain", "later"):
        caplog.clear()
        assert error(await dispatcher.dispatch(request(name))) == INTERNAL
        assert f"method '{name}' failed: {complaint}" in caplog.text
