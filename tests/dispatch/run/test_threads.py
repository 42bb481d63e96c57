"""Handlers that block, in threads of their own."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.from_thread
import pytest

from jsonrpc_iot import Context, Dispatcher, RpcError
from tests.dispatch._messages import batch, code, error, notice, request, value, values_by_id

pytestmark = pytest.mark.anyio

SECONDS = 5


class Blocker:
    """A method that blocks its thread until it is released."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.release = threading.Event()
        self.ended = threading.Event()
        self.dispatcher = Dispatcher()
        self.dispatcher.method(thread=True)(self.block)
        self.dispatcher.method("limited", thread=True, timeout=0.3)(self.block)
        self.dispatcher.method("quick")(lambda: "quick")

    def block(self) -> str:
        anyio.from_thread.run_sync(self.begun.set)
        released = self.release.wait(SECONDS)
        self.ended.set()
        return "released" if released else "given up"


@contextmanager
def blocker() -> Iterator[Blocker]:
    each = Blocker()
    try:
        yield each
    finally:
        each.release.set()


async def test_a_thread_does_not_block_the_event_loop() -> None:
    with blocker() as device:
        replies: list[bytes | None] = []

        async def call() -> None:
            replies.append(await device.dispatcher.dispatch(request("block")))

        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await device.begun.wait()
                assert value(await device.dispatcher.dispatch(request("quick"))) == "quick"
                assert replies == []
                device.release.set()
        assert value(replies[0]) == "released"


async def test_a_thread_is_another_thread() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(thread=True)
    def where() -> int:
        return threading.get_ident()

    @dispatcher.method
    def here() -> int:
        return threading.get_ident()

    assert value(await dispatcher.dispatch(request("where"))) != threading.get_ident()
    assert value(await dispatcher.dispatch(request("here"))) == threading.get_ident()


async def test_threads_run_side_by_side() -> None:
    meeting = threading.Barrier(3)
    dispatcher = Dispatcher()

    @dispatcher.method(thread=True)
    def meet() -> None:
        meeting.wait(SECONDS)

    calls = batch(*(request("meet", id=number) for number in range(3)))
    assert values_by_id(await dispatcher.dispatch(calls)) == dict.fromkeys(range(3))


@pytest.mark.parametrize("call", [request("limited"), request("block", timeout=0.3)])
async def test_a_deadline_answers_although_the_thread_goes_on(call: bytes) -> None:
    with blocker() as device:
        with anyio.fail_after(SECONDS):
            assert code(await device.dispatcher.dispatch(call)) == -32002
        assert not device.ended.is_set()
        device.release.set()
        assert device.ended.wait(SECONDS)


async def test_a_threads_errors_are_answered() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(thread=True)
    def refuse(code: int) -> None:
        raise RpcError(code, "refused", [1])

    @dispatcher.method(thread=True)
    def stop() -> None:
        raise StopIteration

    expected = {"code": 7, "message": "refused", "data": [1]}
    assert error(await dispatcher.dispatch(request("refuse", [7]))) == expected
    assert code(await dispatcher.dispatch(request("stop"))) == -32603


async def test_a_notification_may_run_in_a_thread() -> None:
    idents: list[int] = []
    dispatcher = Dispatcher()

    @dispatcher.notification(thread=True)
    def report() -> None:
        idents.append(threading.get_ident())

    assert await dispatcher.dispatch(notice("report")) is None
    assert idents != [threading.get_ident()]
    assert len(idents) == 1


async def test_a_thread_has_its_context_and_may_call_into_the_loop() -> None:
    done: list[str] = []
    dispatcher = Dispatcher()

    async def in_the_loop() -> None:
        done.append("in the loop")

    @dispatcher.method(thread=True)
    def work(context: Context) -> str:
        anyio.from_thread.run(in_the_loop)
        return context.method

    assert value(await dispatcher.dispatch(request("work"))) == "work"
    assert done == ["in the loop"]


async def test_serial_threads_run_one_at_a_time_in_order() -> None:
    log: list[str] = []
    alone = threading.Lock()
    dispatcher = Dispatcher()

    @dispatcher.method(thread=True, serial=True)
    def step(name: str) -> bool:
        log.append(name)
        if not alone.acquire(blocking=False):
            return False
        threading.Event().wait(0.002)  # long enough for another to come in between
        alone.release()
        return True

    calls = batch(*(request("step", [name], id=name) for name in "abcdef"))
    with anyio.fail_after(SECONDS):
        found = values_by_id(await dispatcher.dispatch(calls))
    assert found == dict.fromkeys("abcdef", True)
    assert log == list("abcdef")


def test_without_an_event_loop_the_callers_thread_will_do() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(thread=True)
    def where() -> int:
        return threading.get_ident()

    assert value(dispatcher.dispatch_sync(request("where"))) == threading.get_ident()


async def test_a_serial_call_waits_for_the_thread_that_a_deadline_left_behind() -> None:
    log: list[str] = []
    release = threading.Event()
    dispatcher = Dispatcher()

    @dispatcher.method(thread=True, serial=True)
    def step(number: int) -> None:
        log.append(f"begin {number}")
        if number == 1:
            release.wait(SECONDS)
        log.append(f"end {number}")

    context = Context()
    with anyio.fail_after(SECONDS):
        while not log:  # a busy machine may have no thread for it in time
            late = await dispatcher.dispatch(request("step", [1], timeout=0.01), context)
            assert code(late) == -32002
        second = request("step", [2], timeout=0.01)
        assert code(await dispatcher.dispatch(second, context)) == -32002
        release.set()
        assert value(await dispatcher.dispatch(request("step", [3]), context)) is None
    assert log == ["begin 1", "end 1", "begin 3", "end 3"]


ENDS_LATE = """
import sys, threading
import anyio
from jsonrpc_iot import Dispatcher

dispatcher = Dispatcher()
go = threading.Event()

@dispatcher.method(thread=True)
def block() -> None:
    go.wait()

async def main() -> None:
    await dispatcher.dispatch(b'{"id":1,"method":"block","timeout":0.01}')
    go.set()

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_that_ends_with_the_event_loop_keeps_nobody(backend: str) -> None:
    command = [sys.executable, "-c", ENDS_LATE, backend]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
