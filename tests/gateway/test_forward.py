"""`Dispatcher.forward`: calls are handed on to a device, and what it says comes back as it is."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from jsonrpc_iot import (
    Call,
    CallTimeout,
    Channel,
    Context,
    DeadlineExceeded,
    DeviceOffline,
    Dispatcher,
    Forbidden,
    InvalidParams,
    MalformedResponse,
    MethodNotFound,
    Next,
    OutcomeUnknown,
    Principal,
    RpcError,
    TooLarge,
    connect,
    serve,
)
from tests.rig import ANYWHERE, Device, Raw
from tests.waiting import SECONDS, Tally

from .rig import anywhere, forwarding

pytestmark = pytest.mark.anyio


def counting() -> tuple[Dispatcher, Tally, Tally]:
    """A device with a stream; what it has made, and whether that was closed."""
    device, made, closed = Dispatcher(), Tally(), Tally()

    @device.method
    async def count(to: int) -> AsyncIterator[int]:
        try:
            for number in range(to):
                made.add(number)
                yield number
        finally:
            closed.add()

    return device, made, closed


async def test_results_come_back_however_the_params_are_given() -> None:
    async with forwarding(Device().dispatcher) as client:
        assert await client.call("dev.echo", {"value": {"a": [1, None, "ü"]}}) == {
            "a": [1, None, "ü"]
        }
        assert await client.call("dev.echo", [12345678901234567890123]) == 12345678901234567890123
        assert await client.call("dev.rpc.ping") is True


async def test_errors_come_back_word_for_word() -> None:
    device = Dispatcher()

    @device.method
    async def pour() -> None:
        raise RpcError(2001, "No water", {"tank": [1, 2]})

    async with forwarding(device) as client:
        with pytest.raises(RpcError) as refused:
            await client.call("dev.pour")
        assert refused.value.args == (2001, "No water", {"tank": [1, 2]})
        with pytest.raises(InvalidParams) as wrong:
            await client.call("dev.pour", [1])
        assert wrong.value.data["path"] == "$"
        with pytest.raises(MethodNotFound) as unknown:
            await client.call("dev.poor")
        assert unknown.value.data == {"method": "poor", "hint": "did you mean pour?"}


async def test_a_device_that_is_not_there_is_an_unknown_method_with_a_hint() -> None:
    async with forwarding(Device().dispatcher) as client:
        with pytest.raises(MethodNotFound) as unknown:
            await client.call("dev2.echo", [1])
        assert unknown.value.data == {"method": "dev2.echo", "hint": "did you mean dev.echo?"}
        with pytest.raises(MethodNotFound):
            await client.call("dev")


@pytest.mark.parametrize("method", ["rpc.cancel", "rpc.more", "rpc.subscribe", "rpc.authenticate"])
async def test_what_is_between_two_ends_is_handed_on_to_nobody(method: str) -> None:
    async with forwarding(Device().dispatcher) as client:
        with pytest.raises(MethodNotFound):
            await client.call(f"dev.{method}", {"id": 1})


async def test_nobody_can_cancel_the_call_of_another() -> None:
    device = Device()
    async with (
        forwarding(device.dispatcher) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.call, "dev.hold", ["mine"])
        await device.began.reach(1)
        for id in range(10):
            await client.notify("dev.rpc.cancel", {"id": id})
        assert await client.call("dev.echo", [1]) == 1
        assert device.cancelled.items == []
        device.gate.set()


async def test_the_device_is_told_what_is_left_of_the_time() -> None:
    device = Device()
    async with forwarding(device.dispatcher) as client:
        await client.call("rpc.ping")
        await client.call("dev.rpc.ping")
        with pytest.raises((CallTimeout, DeadlineExceeded)):
            await client.call("dev.hold", ["late"], timeout=0.1)
        await device.cancelled.reach(1)
        (deadline,) = device.deadlines
        assert deadline is not None
        assert deadline - anyio.current_time() < 0.1


async def test_a_call_that_does_not_say_how_long_it_waits_ends_all_the_same() -> None:
    device = Device()
    async with forwarding(device.dispatcher, timeout=0.05) as client:
        with pytest.raises(DeadlineExceeded):
            await client.call("dev.hold", timeout=None)


async def test_a_caller_that_cancels_or_leaves_cancels_the_call_of_the_device() -> None:
    device = Device()
    async with forwarding(device.dispatcher, at=ANYWHERE, device_at=ANYWHERE) as client:
        with anyio.move_on_after(0.1):
            await client.call("dev.hold", ["cancelled"])
        await device.cancelled.reach(1)
        async with Raw.to(client.url) as raw:
            await raw.request(7, "dev.hold", "left")
            await device.began.reach(2)
            await raw.reset()
        await device.cancelled.reach(2)
        assert device.cancelled.items == ["cancelled", "left"]


async def test_items_come_as_the_caller_takes_them() -> None:
    device, made, closed = counting()
    async with forwarding(device) as client:
        assert [item async for item in client.stream("dev.count", [300])] == list(range(300))
        assert await client.call("dev.count", [3]) == [0, 1, 2]
        before = len(made.items)
        async with client.stream("dev.count", [1_000_000], window=8) as numbers:
            assert [await anext(numbers) for _ in range(3)] == [0, 1, 2]
            await anyio.wait_all_tasks_blocked()
            assert len(made.items) - before < 100  # two windows, and no more
        await closed.reach(3)


async def test_an_error_comes_after_the_items_before_it() -> None:
    device = Dispatcher()

    @device.method
    async def measure() -> AsyncIterator[float]:
        yield 20.5
        raise RpcError(4001, "The sensor is gone")

    async with forwarding(device) as client:
        seen = []
        stream = client.stream("dev.measure")
        seen.append(await anext(stream))
        with pytest.raises(RpcError, match="sensor"):
            await anext(stream)
        assert seen == [20.5]


async def test_a_result_that_is_no_list_is_no_stream_here_either() -> None:
    async with forwarding(Device().dispatcher) as client:
        with pytest.raises(MalformedResponse, match="no list"):
            [item async for item in client.stream("dev.echo", ["x"])]


async def test_notifications_go_both_ways() -> None:
    device, heard = Dispatcher(), Tally()

    @device.notification("door.open")
    async def take(by: str, context: Context) -> None:
        heard.add(by)
        await context.notify("door.opened", {"by": by})

    async with forwarding(device) as client, client.notifications() as news:
        await client.notify("dev.door.open", {"by": "cat"})
        await heard.reach(1)
        with anyio.fail_after(SECONDS):
            told = await news.receive()
        assert (told.method, told.params) == ("dev.door.opened", {"by": "cat"})
        device.emit("door.closed")
        assert (await news.receive()).method == "dev.door.closed"


async def test_what_does_not_fit_the_devices_link_is_too_large_there() -> None:
    device_at = "udp://127.0.0.1:0"
    async with serve(Device().dispatcher, device_at) as far:
        near = Dispatcher()
        near.forward("dev", f"{far.urls[0]}?max=300")
        async with serve(near, anywhere()) as server, connect(server.urls[0]) as client:
            with pytest.raises(TooLarge) as refused:
                await client.call("dev.echo", ["x" * 500])
            assert refused.value.data["limit"] == 300
            assert refused.value.data["size"] > 500


async def test_ends_with_different_codecs_understand_each_other() -> None:
    device = Dispatcher()

    @device.method
    def value(of: Any) -> Any:
        return of

    packed, plain = "udp://127.0.0.1:0?codec=msgpack", "udp://127.0.0.1:0"
    for near, far in ((packed, plain), (plain, packed)):
        async with forwarding(device, at=near, device_at=far) as client:
            assert await client.call("dev.value", {"of": [1, "ü", None]}) == [1, "ü", None]
            assert [x async for x in client.stream("dev.value", [["a", "b"]])] == ["a", "b"]
            with pytest.raises(InvalidParams):
                await client.call("dev.value")


async def test_two_hundred_callers_with_one_id_get_their_own_answers() -> None:
    async with forwarding(Device().dispatcher, at=ANYWHERE, device_at=ANYWHERE) as client:
        url = client.url
        answers: dict[int, Any] = {}

        async def call(number: int) -> None:
            async with Raw.to(url) as raw:
                await raw.request(1, "dev.echo", number)
                answers[number] = await raw.receive()

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(call, number)
        assert answers == {n: {"id": 1, "result": n} for n in range(200)}


async def test_batches_are_handed_on_entry_by_entry() -> None:
    async with forwarding(Device().dispatcher) as client, client.batch() as batch:
        one = batch.call("dev.echo", [1])
        two = batch.call("dev.nothing")
        three = batch.call("rpc.ping")
    assert (one.result(), three.result()) == (1, True)
    with pytest.raises(MethodNotFound):
        two.result()


async def test_a_lost_connection_leaves_the_outcome_unknown() -> None:
    device = Device()
    near = Dispatcher()
    links: list[Channel] = []
    async with serve(device.dispatcher, anywhere(), authenticate=links.append) as far:
        near.forward("dev", far.urls[0])
        async with (
            serve(near, anywhere()) as server,
            connect(server.urls[0]) as client,
            anyio.create_task_group() as tasks,
        ):
            outcomes = Tally()

            async def call() -> None:
                try:
                    await client.call("dev.hold", ["x"])
                except OutcomeUnknown as unknown:
                    outcomes.add(unknown.data)

            tasks.start_soon(call)
            await device.began.reach(1)
            for channel in links:
                await anyio.aclose_forcefully(channel)
            await outcomes.reach(1)
            assert outcomes.items == [None]


async def test_who_lacks_the_permission_is_refused_and_hears_nothing() -> None:
    device = Device()
    near = Dispatcher()
    guest, cook = Principal("guest"), Principal("cook", {"kitchen"})
    who = iter([guest, cook])
    async with serve(device.dispatcher, anywhere()) as far:
        near.forward("dev", far.urls[0], requires="kitchen")
        async with (
            serve(near, anywhere(), authenticate=lambda channel: next(who)) as server,
            connect(server.urls[0]) as stranger,
            connect(server.urls[0]) as known,
            stranger.notifications() as nothing,
            known.notifications() as news,
        ):
            with pytest.raises(Forbidden):
                await stranger.call("dev.echo", [1])
            assert await known.call("dev.echo", [1]) == 1
            assert "dev.echo" not in await stranger.call("rpc.methods")
            assert "dev.echo" in await known.call("rpc.methods")
            device.dispatcher.emit("boiling")
            with anyio.fail_after(SECONDS):
                assert (await news.receive()).method == "dev.boiling"
            await stranger.call("rpc.ping")
            with pytest.raises(anyio.WouldBlock):
                nothing.receive_nowait()


async def test_an_open_client_will_do_and_its_device_may_be_away() -> None:
    near = Dispatcher()
    async with serve(Device().dispatcher, anywhere()) as far, connect(far.urls[0]) as device:
        near.forward("dev", device)
        near.forward("gone", anywhere())
        async with serve(near, anywhere()) as server, connect(server.urls[0]) as client:
            assert await client.call("dev.echo", ["x"]) == "x"
            with pytest.raises(DeviceOffline):
                await client.call("gone.echo", ["x"])


async def test_middleware_is_around_forwarded_calls_too() -> None:
    near, seen = Dispatcher(), Tally()

    @near.middleware
    async def note(call: Call, context: Context, following: Next) -> Any:
        seen.add(call.method)
        return await following(call, context)

    async with serve(Device().dispatcher, anywhere()) as far:
        near.forward("dev", far.urls[0])
        async with serve(near, anywhere()) as server, connect(server.urls[0]) as client:
            assert await client.call("dev.echo", ["x"]) == "x"
    assert "dev.echo" in seen.items


def test_names_are_given_once() -> None:
    near = Dispatcher()
    near.method("lamp.set")(lambda: None)
    with pytest.raises(ValueError, match=r"lamp\.set"):
        near.forward("lamp", "tcp://127.0.0.1:1")
    near.forward("door", "tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match="door"):
        near.forward("door", "tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"door\.open"):
        near.method("door.open")(lambda: None)
    for name in ("", "a.b", "rpc"):
        with pytest.raises(ValueError, match="name"):
            near.forward(name, "tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match="forward"):
        Dispatcher().include(near)
