"""Every conformance case at the dispatcher, without a transport."""

import json
import logging
from collections.abc import Iterator

import anyio
import pytest

from jsonrpc_iot import Dispatcher, Limits
from jsonrpc_iot.testing.conformance.replies import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    NOT_AN_OBJECT,
    PARSE_ERROR,
    UNPARSED,
    fail,
    ok,
    strict_json,
)

from .backends import Failures, Outcome
from .cases import PACKET_CASES
from .device import Device
from .model import SECRET, Case

BATCH_OF_LIMIT = b"[" + b",".join([b'{"id":1,"method":"void"}'] * 3) + b"]"


def test_dispatch_sync() -> None:
    device, failures = Device(), Failures()
    for case in PACKET_CASES:
        if not case.needs_loop:
            device.reset()
            outcome = _messages(device.dispatcher.dispatch_sync(case.sent)), list(device.ran)
            failures.check(case, outcome)
    failures.raise_all()


@pytest.mark.anyio
async def test_dispatch() -> None:
    device, failures = Device(), Failures()
    for case in PACKET_CASES:
        failures.check(case, await _outcome(device, case))
    failures.raise_all()


async def _outcome(device: Device, case: Case) -> Outcome:
    device.ran.clear()
    try:
        with anyio.fail_after(5):
            reply = await device.dispatcher.dispatch(case.sent)
    except Exception as error:  # noqa: BLE001 - it is the case's own
        return error
    return _messages(reply), list(device.ran)


def few_methods() -> Iterator[Dispatcher]:
    """Dispatchers with hardly any methods."""
    yield Dispatcher()
    one = Dispatcher()
    one.method("only")(lambda: None)
    yield one
    other = Dispatcher()

    @other.method("only")
    def with_default(level: int = 5) -> int:
        return level

    yield other


@pytest.mark.parametrize("dispatcher", list(few_methods()), ids=["none", "one", "one-with-default"])
def test_what_is_refused_does_not_depend_on_the_methods(dispatcher: Dispatcher) -> None:
    for case in PACKET_CASES:
        if not case.needs_loop and not case.ran and _is_refused(case):
            case.check(_messages(dispatcher.dispatch_sync(case.sent)), [])


def _is_refused(case: Case) -> bool:
    """Whether the case's bytes are invalid whatever methods there are."""
    replies = [
        reply
        for message in case.expect
        for reply in (message if isinstance(message, tuple) else (message,))
    ]
    return all(reply.code in {INVALID_REQUEST, PARSE_ERROR} for reply in replies)


def test_a_failing_handler_is_logged_with_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "jsonrpc_iot"):
        reply = Device().dispatcher.dispatch_sync(b'{"id":1,"method":"fail.exception"}')
    Case("", b"", (fail(1, INTERNAL_ERROR, message="Internal error", data=None),)).check(
        _messages(reply), []
    )
    assert SECRET in caplog.text
    assert "Traceback" in caplog.text


def test_a_failing_notification_is_logged_and_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "jsonrpc_iot"):
        assert Device().dispatcher.dispatch_sync(b'{"method":"fail.exception"}') is None
    assert SECRET in caplog.text


def test_debug_sends_the_text_of_an_exception() -> None:
    device = Device(debug=True)
    reply = device.dispatcher.dispatch_sync(b'{"id":1,"method":"fail.exception"}')
    assert reply is not None
    assert SECRET in json.dumps(strict_json(reply))
    Case("", b"", (fail(1, INTERNAL_ERROR),)).check([reply.replace(SECRET.encode(), b"")], [])


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b'{"id":1,"method":"echo","params":[[[1]]]}', ok(1, [[1]])),
        (b'{"id":1,"method":"echo","params":[[[[1]]]]}', UNPARSED),
        (b'{"id":1,"method":"echo","params":["x"],"x":[[[]]]}', ok(1, "x")),
        (b'{"id":1,"method":"echo","params":["x"],"x":[[[[]]]]}', UNPARSED),
    ],
)
def test_the_nesting_limit_is_settable(sent: bytes, reply: object) -> None:
    device = Device(limits=Limits(nesting=4))
    Case("", sent, (reply,)).check(_messages(device.dispatcher.dispatch_sync(sent)), [])  # type: ignore[arg-type]


def test_the_batch_limit_is_settable() -> None:
    def check(limit: int, expect: object) -> None:
        reply = Device(limits=Limits(batch=limit)).dispatcher.dispatch_sync(BATCH_OF_LIMIT)
        Case("", BATCH_OF_LIMIT, (expect,)).check(_messages(reply), [])  # type: ignore[arg-type]

    check(3, (ok(1, None),) * 3)
    check(2, NOT_AN_OBJECT)


def test_rpc_methods_are_sorted_names() -> None:
    dispatcher = Dispatcher()
    for name in ("zoo", "a.b", "a"):
        dispatcher.method(name)(lambda: None)
    value = _value(dispatcher.dispatch_sync(b'{"id":1,"method":"rpc.methods"}'))
    assert isinstance(value, dict)
    names = value["result"]
    assert names == sorted(names)
    assert {"zoo", "a.b", "a", "rpc.ping", "rpc.methods"} <= set(names)


@pytest.mark.anyio
async def test_async_notifications_run_and_stay_silent() -> None:
    device = Device()
    assert await device.dispatcher.dispatch(b'{"method":"async.note","params":[1]}') is None
    batch = b'[{"method":"async.note","params":[2]},{"method":"async.fail"}]'
    assert await device.dispatcher.dispatch(batch) is None
    assert device.ran == [1, 2]


@pytest.mark.anyio
async def test_async_calls_of_a_batch_run_together() -> None:
    device = Device()
    batch = b'[{"id":1,"method":"hold"},{"id":1,"method":"hold"},{"id":2,"method":"release"}]'
    reply = await device.dispatcher.dispatch(batch)
    Case("", batch, ((ok(1, 1), ok(1, 2), ok(2, None)),)).check(_messages(reply), [])


def _messages(reply: bytes | None) -> list[bytes]:
    assert reply is None or isinstance(reply, bytes)
    return [] if reply is None else [reply]


def _value(reply: bytes | None) -> object:
    assert reply is not None
    return strict_json(reply)
