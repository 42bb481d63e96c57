"""Notifications to many peers, to peers that do not read, and into streams."""

import anyio
import pytest

from jsonrpc_iot import ChannelClosed, Dispatcher, Limits, Notification, Unencodable, connect, serve
from tests.leaks import resident_mib
from tests.rig import ANYWHERE, Device, Mute, Raw, far_end
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("emit", [False, True], ids=["broadcast", "emit"])
async def test_all_peers_of_all_listeners_are_notified(emit: bool) -> None:
    dispatcher = Dispatcher()
    heard = Tally()
    async with (
        serve(dispatcher, ANYWHERE, "memory://notified") as first,
        serve(dispatcher, ANYWHERE) as second,
        anyio.create_task_group() as tasks,
    ):
        urls = [*first.urls, *second.urls] if emit else first.urls

        async def listen(url: str) -> None:
            async with connect(url) as client, client.notifications() as stream:
                await client.call("rpc.ping")
                heard.add("ready")
                async for notification in stream:
                    heard.add((url, notification))
                    return

        for url in urls * 2:
            tasks.start_soon(listen, url)
        await heard.reach(2 * len(urls))
        if emit:
            dispatcher.emit("lamp.changed", {"on": True})
        else:
            assert first.broadcast("lamp.changed", {"on": True}) == 4
        await heard.reach(4 * len(urls))
        wanted = Notification("lamp.changed", {"on": True})
        found = heard.items[2 * len(urls) :]
        assert sorted(url for url, _ in found) == sorted(urls * 2)
        assert all(notification == wanted for _, notification in found)


async def test_what_has_no_form_is_an_error_for_the_sender_alone() -> None:
    async with serve(Dispatcher(), ANYWHERE) as server, Raw.to(server.urls[0]) as raw:
        await eventually(lambda: len(server.peers) == 1)
        with pytest.raises(Unencodable):
            server.broadcast("bad", {"value": float("nan")})
        assert server.broadcast("good") == 1
        assert await raw.receive() == {"method": "good"}


async def test_a_peer_that_does_not_read_loses_only_its_own_notifications() -> None:
    limits = Limits(queue_bytes=100_000)
    pad = "x" * 10_000
    async with serve(Dispatcher(limits=limits), ANYWHERE) as server, Raw.to(server.urls[0]) as raw:
        with Mute(server.urls[0]):
            await eventually(lambda: len(server.peers) == 2)
            before = resident_mib()
            taken = []
            for number in range(3000):
                taken.append(server.broadcast("n", [number, pad]))
                assert (await raw.receive())["params"][0] == number
            assert taken[0] == 2
            assert taken[-1] == 1
            assert set(taken) == {1, 2}
            assert resident_mib() - before < 20  # the 30 MB that were sent do not wait anywhere
        assert server.broadcast("n") >= 1


async def test_an_emit_with_nobody_there_is_nothing() -> None:
    dispatcher = Dispatcher()
    dispatcher.emit("nobody", [1])
    async with serve(dispatcher, ANYWHERE) as server:
        dispatcher.emit("nobody", [1])
        assert server.broadcast("nobody") == 0
    dispatcher.emit("nobody", [1])


async def test_notifications_that_nobody_takes_are_counted() -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, ANYWHERE) as server,
            connect(server.urls[0]) as client,
            client.notifications() as stream,
        ):
            await client.call("echo", [0])
            for number in range(300):
                server.broadcast("n", [number])
            await client.call("echo", [0])
            assert client.missed == 300 - 256
            found = [(await stream.receive()).params[0] for _ in range(256)]
            assert found == list(range(256))
            server.broadcast("n", ["next"])
            assert (await stream.receive()).params == ["next"]
            assert client.missed == 300 - 256


async def test_every_stream_gets_every_notification() -> None:
    with anyio.fail_after(SECONDS):
        async with serve(Dispatcher(), ANYWHERE) as server, connect(server.urls[0]) as client:
            await client.call("rpc.ping")
            async with client.notifications() as first:
                async with client.notifications() as second:
                    server.broadcast("a")
                    assert await second.receive() == Notification("a")
                server.broadcast("b")
                assert await first.receive() == Notification("a")
                assert await first.receive() == Notification("b")
            server.broadcast("c")
            assert await client.call("rpc.ping") is True
            assert client.missed == 0


async def test_a_stream_ends_with_the_channel() -> None:
    ready = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:

            async def listen(url: str) -> None:
                async with connect(url) as client, client.notifications() as stream:
                    await client.call("rpc.ping")
                    ready.add()
                    assert [notification.method async for notification in stream] == ["last"]

            async with serve(Dispatcher(), ANYWHERE, grace=0.2) as server:
                tasks.start_soon(listen, server.urls[0])
                await ready.reach(1)
                server.broadcast("last")


async def test_handlers_of_the_client_get_validated_params() -> None:
    heard = Tally()
    with anyio.fail_after(SECONDS):
        async with serve(Dispatcher(), ANYWHERE) as server, connect(server.urls[0]) as client:

            @client.on("sensor.report")
            async def report(value: int) -> None:
                heard.add(value)

            await client.call("rpc.ping")
            server.broadcast("sensor.report", {"value": "no number"})
            server.broadcast("sensor.unknown", {"value": 1})
            server.broadcast("sensor.report", {"value": 7})
            await heard.reach(1)
    assert heard.items == [7]


async def test_a_stream_may_be_closed_before_its_block_ends() -> None:
    with anyio.fail_after(SECONDS):
        async with serve(Dispatcher(), ANYWHERE) as server, connect(server.urls[0]) as client:
            await client.call("rpc.ping")
            async with client.notifications() as stream, client.notifications() as other:
                await stream.aclose()
                server.broadcast("n")
                assert await other.receive() == Notification("n")
            assert await client.call("rpc.ping") is True


async def test_a_stream_that_begins_after_the_channels_end_ends_at_once() -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url) as client:
            await (await accept()).reset()
            with pytest.raises(ChannelClosed):
                await client.call("x")
            async with client.notifications() as stream:
                assert [notification async for notification in stream] == []


async def test_params_that_no_number_holds_do_no_harm() -> None:
    with anyio.fail_after(SECONDS):
        async with (
            far_end() as (url, accept),
            connect(url) as client,
            client.notifications() as stream,
        ):
            raw = await accept()
            await raw.send('{"method":"a","params":[1e400]}', '{"method":"b","params":[1e40]}')
            assert (await stream.receive()).method in {"a", "b"}
            await raw.send('{"method":"b","params":[1]}')
            while await stream.receive() != Notification("b", [1]):
                pass
            await raw.stream.aclose()
