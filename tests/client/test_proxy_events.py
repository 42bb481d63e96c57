"""What a device emits, as its proxies hear it."""

import logging
import threading
from typing import Any

import anyio
import pytest

from jsonrpc_iot import BoundEvent, Dispatcher, connect, serve
from tests.rig import ANYWHERE, Raw, far_end
from tests.waiting import Tally, eventually

from .proxied import FakeRelay, Relay, Status, calling, everywhere, within_time

pytestmark = pytest.mark.anyio


@everywhere
async def test_a_callback_gets_decoded_values(url: str) -> None:
    device, heard = FakeRelay(), Tally()
    async with calling(url, device) as (_, client):
        relay = client.proxy(Relay)
        leave = relay.changed.subscribe(heard.add)
        await relay.switch(2)
        device.names.emit(["not", "wanted"])
        await heard.reach(1)
        leave()
        leave()
        await relay.switch(1)
        await client.call("rpc.ping")
        assert heard.items == [Status(2, True)]


@everywhere
async def test_two_proxies_and_the_clients_own_handlers_hear_it_all(url: str) -> None:
    device, heard = FakeRelay(), Tally()
    async with calling(url, device, prefix="x") as (_, client):
        one, other = client.proxy(Relay, prefix="x"), client.proxy(Relay, prefix="x")
        elsewhere = client.proxy(Relay)

        @client.on("x.relay.status")
        def note(channel: int, on: bool) -> None:
            heard.add(("handler", channel, on))

        leave = one.changed.subscribe(lambda status: heard.add(("one", status)))
        one.changed.subscribe(lambda status: heard.add(("again", status)))
        other.changed.subscribe(lambda status: heard.add(("other", status)))
        elsewhere.changed.subscribe(lambda status: heard.add(("elsewhere", status)))
        async with client.notifications() as stream:
            await one.switch(1)
            assert (await stream.receive()).method == "x.relay.status"
            await heard.reach(4)
            status = Status(1, True)
            assert sorted(heard.items, key=str) == sorted(
                [("handler", 1, True), ("one", status), ("again", status), ("other", status)],
                key=str,
            )
            leave()
            await one.switch(2)
            await heard.reach(7)
        await client.call("rpc.ping")
        assert len(heard.items) == 7
        assert [who for who, *_ in heard.items].count("one") == 1


async def test_a_callback_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    heard = Tally()

    def fail(status: Status) -> None:
        raise LookupError

    async with calling("memory://proxied", FakeRelay()) as (_, client):
        relay = client.proxy(Relay)
        relay.changed.subscribe(fail)
        relay.changed.subscribe(heard.add)
        await relay.switch(1)
        await heard.reach(1)
        await relay.switch(2)
        await heard.reach(2)
    assert caplog.text.count("a listener failed") == 2
    caplog.clear()


async def test_what_does_not_fit_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    heard = Tally()
    wrong: list[Any] = [{"channel": 4, "on": True}, {"channel": 1}, ["x"], {}, None]
    with caplog.at_level(logging.WARNING):
        async with calling("memory://proxied", FakeRelay()) as (server, client):
            relay = client.proxy(Relay)
            relay.changed.subscribe(heard.add)
            relay.changed.subscribe(heard.add)
            for params in wrong:
                server.broadcast("relay.status", params)
            server.broadcast("relay.status", {"channel": 3, "on": False, "more": 1})
            await heard.reach(2)
            assert heard.items == [Status(3, False)] * 2
            assert relay.changed.malformed == len(wrong)
            assert relay.names.malformed == 0
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == len(wrong)
    assert "relay.status" in texts[0]
    assert "`int` <= 3" in texts[0]


async def test_a_batch_of_notifications_is_heard() -> None:
    heard = Tally()
    async with far_end() as (url, accept):
        with within_time():
            async with connect(url, extensions=False) as client:
                client.proxy(Relay).names.subscribe(heard.add)
                device = await accept()
                await device.send(
                    '[{"method":"relay.names","params":["a"]},{"method":"relay.names","params":[]}]'
                )
                await heard.reach(2)
            await device.stream.aclose()
    assert heard.items == [["a"], []]


async def test_a_proxy_does_not_emit() -> None:
    async with calling("memory://proxied", FakeRelay()) as (_, client):
        changed = client.proxy(Relay).changed
        with pytest.raises(TypeError, match=r"'relay\.status' is emitted by the device"):
            changed.emit(Status(1, True))
        assert changed.name == "relay.status"
        assert "relay.status" in repr(changed)


async def test_subscriptions_survive_a_reconnect() -> None:
    heard = Tally()
    async with far_end() as (url, accept):
        with within_time():
            async with connect(url, reconnect=True, extensions=False) as client:
                relay = client.proxy(Relay)
                relay.names.subscribe(heard.add)
                async with relay.names.values() as values:
                    for round in range(2):
                        device: Raw = await accept()
                        await device.send(f'{{"method":"relay.names","params":["{round}"]}}')
                        assert await values.receive() == [str(round)]
                        await device.stream.aclose()
                    await heard.reach(2)
    assert heard.items == [["0"], ["1"]]


@everywhere
async def test_values_come_as_a_stream(url: str) -> None:
    device = FakeRelay()
    async with calling(url, device) as (_, client):
        relay = client.proxy(Relay)
        async with relay.changed.values() as values, relay.changed.values() as others:
            for channel in (1, 2):
                await relay.switch(channel)
            assert [await values.receive() for _ in "12"] == [Status(1, True), Status(2, True)]
            assert await others.receive() == Status(1, True)
        async with relay.changed.values() as later:
            await relay.switch(2, False)
            assert await later.receive() == Status(2, False)


async def test_the_stream_of_a_proxy_ends_with_the_channel() -> None:
    async with calling("memory://proxied", FakeRelay()) as (server, client):
        changed = client.proxy(Relay).changed
        async with changed.values() as values:
            server.close()
            for peer in server.peers:
                peer.leave(0)
            assert [value async for value in values] == []
        async with changed.values() as values:
            assert [value async for value in values] == []


async def fill(event: BoundEvent[list[str]], emit: Any) -> None:
    async with event.values() as values:
        for number in range(300):
            emit([str(number)])
        await eventually(lambda: event.missed == 300 - 256)
        found = [values.receive_nowait() for _ in range(256)]
        assert found == [[str(number)] for number in range(256)]
        emit(["next"])
        assert await values.receive() == ["next"]
        assert event.missed == 300 - 256


async def test_values_that_nobody_takes_are_counted() -> None:
    device = FakeRelay()
    async with calling(ANYWHERE, device) as (_, client):
        await fill(client.proxy(Relay).names, device.names.emit)
        assert device.names.missed == 0
    with within_time():
        await fill(device.names, device.names.emit)


async def test_any_thread_may_emit() -> None:
    device = FakeRelay()
    async with calling("memory://proxied", device) as (_, client):
        relay = client.proxy(Relay)
        async with relay.names.values() as far, device.names.values() as own:
            watcher = threading.Thread(target=device.names.emit, args=(["pin"],))
            watcher.start()
            assert await own.receive() == ["pin"]
            assert await far.receive() == ["pin"]
            await anyio.to_thread.run_sync(watcher.join)


async def test_a_device_hears_its_own_values_also_from_threads() -> None:
    device = FakeRelay()
    with within_time():
        async with device.names.values() as values:
            device.names.emit(["here"])
            await anyio.to_thread.run_sync(device.names.emit, ["there"])
            assert [await values.receive() for _ in "12"] == [["here"], ["there"]]
        device.names.emit(["nobody"])


async def test_a_stream_that_is_closed_gets_no_more() -> None:
    device = FakeRelay()
    async with device.names.values() as values:
        values.close()
        for _ in range(300):
            device.names.emit(["x"])
    assert device.names.missed == 0


async def test_a_client_forgets_what_nobody_hears_any_more() -> None:
    device = FakeRelay()
    dispatcher = Dispatcher()
    dispatcher.include(device)
    heard = Tally()
    with within_time():
        async with serve(dispatcher, ANYWHERE) as server, connect(server.urls[0]) as client:
            await client.call("rpc.ping")
            for _ in range(3):
                event = client.proxy(Relay).names
                leave = event.subscribe(heard.add)
                leave()
                server.broadcast("relay.names", {"not": "a list"})
                await client.call("rpc.ping")
                assert event.malformed == 0  # it does not even look
            client.proxy(Relay).names.subscribe(heard.add)
            server.broadcast("relay.names", ["heard"])
            await heard.reach(1)
    assert heard.items == [["heard"]]
