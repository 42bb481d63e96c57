"""What a client sends again, when, and what of it runs."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import Busy, CallTimeout, Channel, Dispatcher, InternalError, Limits
from jsonrpc_iot.testing import Faults, LossyLink, served
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

LOST = Faults(drop=1)


class Script:
    """A device at a channel that notes all it gets, and answers as a function says."""

    def __init__(self, channel: Channel, answer: Callable[[dict[str, Any]], str | None]) -> None:
        self.received: list[dict[str, Any]] = []
        self._channel = channel
        self._answer = answer

    async def run(self) -> None:
        while True:
            try:
                message = json.loads(await self._channel.receive())
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                return
            self.received.append(message)
            answer = self._answer(message)
            if answer is not None:
                await self._channel.send(f'{{"id":{message["id"]},{answer}}}'.encode())

    def of(self, method: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["method"] == method]


async def talk(answer: Callable[[dict[str, Any]], str | None], **options: Any) -> Script:
    """Call `m` on a scripted device for a third of a second."""
    from jsonrpc_iot.peer.new_session import new_session
    from jsonrpc_iot.peer.peer import Peer

    link = LossyLink(retry_seconds=0.02)
    script = Script(link.server, answer)
    dispatcher = Dispatcher()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            opened = anyio.Event()
            session = new_session(dispatcher, link.client.info)
            client = Peer(
                link.client,
                dispatcher,
                session,
                tasks,
                limits=Limits(),
                probe=True,
                on_open=lambda _: opened.set(),
            )
            tasks.start_soon(client.run)
            tasks.start_soon(script.run)
            await opened.wait()
            with pytest.raises(CallTimeout):
                await client.call("m", [5], timeout=0.3, **options)
            tasks.cancel_scope.cancel()
    return script


async def test_a_device_that_answers_nothing_is_asked_but_gets_nothing_twice() -> None:
    script = await talk(lambda _: None)
    assert len(script.of("m")) == 1
    assert len(script.of("rpc.ping")) >= 2


@pytest.mark.parametrize(
    "answer", ['"error":{"code":-32601,"message":"what?"}', '"result":"pong"', '"error":5']
)
async def test_a_device_without_extensions_gets_nothing_twice(answer: str) -> None:
    script = await talk(lambda message: answer if message["method"] == "rpc.ping" else None)
    assert len(script.of("m")) == 1
    assert len(script.of("rpc.ping")) == 1


async def test_a_device_with_extensions_gets_the_same_request_marked() -> None:
    script = await talk(lambda m: '"result":true' if m["method"] == "rpc.ping" else None)
    first, *repeats = script.of("m")
    assert "retry" not in first
    assert len(repeats) >= 2
    assert all(repeat == first | {"retry": True} for repeat in repeats)
    assert len(script.of("rpc.ping")) == 1


async def test_what_is_idempotent_is_repeated_as_it_was() -> None:
    script = await talk(lambda _: None, idempotent=True)
    first, *repeats = script.of("m")
    assert len(repeats) >= 2
    assert all(repeat == first for repeat in repeats)
    assert not script.of("rpc.ping")


class Lamp:
    def __init__(self, limits: Limits = Limits()) -> None:
        self.ran: list[object] = []
        self.gate = anyio.Event()
        self.dispatcher = Dispatcher(limits=limits)
        self.dispatcher.method(self.on)
        self.dispatcher.method(self.hold)
        self.dispatcher.notification(self.note)

    async def on(self, value: Any = None) -> Any:
        self.ran.append(value)
        await anyio.lowlevel.checkpoint()
        return value

    async def hold(self, value: Any = None) -> Any:
        self.ran.append(value)
        await self.gate.wait()
        return value

    async def note(self) -> None:
        self.ran.append("note")


async def test_a_batch_whose_answer_is_lost_runs_once_and_is_not_repeated() -> None:
    lamp = Lamp()
    link = LossyLink(retry_seconds=0.02)
    link.to_client.faults = LOST
    with anyio.fail_after(SECONDS):
        async with served(lamp.dispatcher, link.client, link.server, extensions=True) as ends:

            async def mend() -> None:
                await eventually(lambda: link.to_client.counts.dropped > 0)
                link.set_faults(Faults())

            async with anyio.create_task_group() as mending:
                mending.start_soon(mend)
                async with ends.client.batch(0.2) as batch:
                    calls = batch.call("on", [1]), batch.call("on", [2])
            for call in calls:
                with pytest.raises(CallTimeout):
                    call.result()
    assert sorted(map(str, lamp.ran)) == ["1", "2"]


async def test_a_batch_is_not_sent_by_timers_before_its_block_ends() -> None:
    lamp = Lamp()
    link = LossyLink(retry_seconds=0.01)
    with anyio.fail_after(SECONDS):
        async with (
            served(lamp.dispatcher, link.client, link.server, extensions=True) as ends,
            anyio.create_task_group() as tasks,
        ):
            async with ends.client.batch() as batch:
                batch.call("on", [1])
                tasks.start_soon(ends.client.call, "hold")
                await eventually(lambda: link.to_server.counts.sent >= 4)
                assert 1 not in lamp.ran
            lamp.gate.set()
    assert lamp.ran.count(1) == 1


async def test_a_new_calls_timer_does_not_wait_for_an_old_ones() -> None:
    lamp = Lamp()
    link = LossyLink(retry_seconds=0.05)
    with anyio.fail_after(SECONDS):
        async with (
            served(lamp.dispatcher, link.client, link.server, extensions=True) as ends,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(ends.client.call, "hold")
            # Its next timer: 0.6 s or more.
            await eventually(lambda: link.to_server.counts.sent >= 5)
            begin = anyio.current_time()
            link.to_server.faults = LOST

            async def call() -> None:
                await ends.client.call("on", [1])
                assert anyio.current_time() - begin < 0.4
                lamp.gate.set()

            tasks.start_soon(call)
            await eventually(lambda: link.to_server.counts.dropped > 0)
            link.set_faults(Faults())


async def test_a_repeated_request_keeps_to_the_limit() -> None:
    lamp = Lamp()
    link = LossyLink(retry_seconds=0.01, max_message=100)
    sizes: list[int] = []
    with anyio.fail_after(SECONDS):
        async with served(lamp.dispatcher, link.client, link.server, extensions=True) as ends:
            link.to_client.faults = LOST
            put = link.to_server.put

            def watched(message: bytes, now: float) -> bool:
                sizes.append(len(message))
                return put(message, now)

            link.to_server.put = watched  # type: ignore[method-assign]
            with pytest.raises(CallTimeout):
                await ends.client.call("on", ["x" * 40], timeout=0.1)
    assert sizes
    assert max(sizes) <= 100


async def test_a_full_table_is_said() -> None:
    lamp = Lamp(Limits(remembered=8))
    link = LossyLink(retry_seconds=0.5)
    with anyio.fail_after(SECONDS):
        async with served(lamp.dispatcher, link.client, link.server, extensions=True) as ends:
            assert [await ends.client.call("on", [n]) for n in range(2)] == [0, 1]
            with pytest.raises(Busy) as caught:
                await ends.client.call("on", [2])
            assert caught.value.data["retry_after"] > 0
            assert await ends.client.call("rpc.ping") is True
            ends.server.check(anyio.current_time() + 31)
            assert await ends.client.call("on", [3]) == 3
    assert lamp.ran == [0, 1, 3]


async def test_a_reply_that_is_no_longer_held_is_said() -> None:
    lamp = Lamp(Limits(remembered_bytes=10))
    link = LossyLink(retry_seconds=0.02)
    link.to_client.faults = LOST
    with anyio.fail_after(SECONDS):
        async with (
            served(lamp.dispatcher, link.client, link.server, extensions=True) as ends,
            anyio.create_task_group() as tasks,
        ):

            async def call() -> None:
                with pytest.raises(InternalError, match="reply no longer held"):
                    await ends.client.call("on", ["x"])

            tasks.start_soon(call)
            await eventually(lambda: link.to_client.counts.dropped > 0)
            link.set_faults(Faults())
    assert lamp.ran == ["x"]


async def test_calls_over_the_limit_are_refused_at_once() -> None:
    lamp = Lamp(Limits(in_flight=2))
    link = LossyLink()
    with anyio.fail_after(SECONDS):
        async with (
            served(lamp.dispatcher, link.client, link.server, extensions=True) as ends,
            anyio.create_task_group() as tasks,
        ):
            for number in range(2):
                tasks.start_soon(ends.client.call, "hold", [number])
            await eventually(lambda: len(lamp.ran) == 2)
            with pytest.raises(Busy):
                await ends.client.call("hold", [2])
            lamp.gate.set()
    assert sorted(map(str, lamp.ran)) == ["0", "1"]


async def test_a_refused_batch_of_notifications_is_not_remembered_for_ever() -> None:
    lamp = Lamp(Limits(in_flight=1, remembered=64))
    link = LossyLink()
    batch = b'[{"method":"note"}]'
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(SECONDS):
            async with served(lamp.dispatcher, link.client, link.server) as ends:
                tasks.start_soon(ends.client.call, "hold")
                await eventually(lambda: len(lamp.ran) == 1)
                await link.client.send(batch)
                await eventually(lambda: link.to_server.counts.delivered == 2)
                lamp.gate.set()
                await eventually(lambda: not ends.server.is_busy)
                ends.server.check(anyio.current_time() + 31)
                await link.client.send(batch)
                await eventually(lambda: lamp.ran[-1] == "note")
