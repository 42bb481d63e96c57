"""A client that comes back by itself."""

from functools import partial

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    Client,
    ConnectFailed,
    Dispatcher,
    InvalidUrl,
    Notification,
    connect,
    serve,
)
from tests.rig import ANYWHERE, Device, Restarts, far_end, outcome
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio


def state(client: Client) -> str:
    return client.state


def is_connected(client: Client) -> bool:
    try:
        return bool(client.info)
    except ChannelClosed:
        return False


async def test_a_client_comes_back_to_a_restarted_server() -> None:
    device = Device()
    outcomes, repeated = Tally(), Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with connect(restarts.url, reconnect=True) as client:
                tasks.start_soon(outcome, lambda: client.call("hold", ["once"]), outcomes)
                tasks.start_soon(
                    outcome, lambda: client.call("hold", ["any"], idempotent=True), repeated
                )
                await device.began.reach(2)
                await restarts.stop()
                await outcomes.reach(1)
                assert outcomes.items == [ChannelClosed]
                assert repeated.items == []
                with pytest.raises(ChannelClosed):
                    _ = client.info
                await restarts.start()
                await device.began.reach(3)
                device.gate.set()
                await repeated.reach(1)
                assert repeated.items == ["any"]
                assert await client.call("echo", ["back"]) == "back"
                assert client.info.transport == "tcp"
                assert sorted(device.began.items) == ["any", "any", "once"]
            await restarts.stop()


async def test_calls_wait_for_the_connection() -> None:
    device = Device()
    outcomes = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with connect(restarts.url, reconnect=True) as client:
                await client.call("echo", [1])
                await restarts.stop()
                for number in range(5):
                    tasks.start_soon(outcome, lambda n=number: client.call("echo", [n]), outcomes)
                tasks.start_soon(client.notify, "hold.note", ["note"])
                await restarts.start()
                await outcomes.reach(5)
                assert sorted(outcomes.items) == list(range(5))
                await device.began.reach(1)
            await restarts.stop()


async def test_calls_do_not_wait_longer_than_their_time() -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url, reconnect=True) as client:
            raw = await accept()
            await raw.stream.aclose()
            raw = await accept()  # back again, but nobody answers there
            began = anyio.current_time()
            with pytest.raises(CallTimeout):
                await client.call("x", timeout=0.1)
            assert anyio.current_time() - began < 1
            await raw.stream.aclose()


async def test_a_call_without_a_connection_ends_in_time() -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with connect(restarts.url, reconnect=True) as client:
                await client.call("echo", [1])
                await restarts.stop()
                for idempotent in (False, True):
                    began = anyio.current_time()
                    with pytest.raises(CallTimeout):
                        await client.call("echo", [1], timeout=0.1, idempotent=idempotent)
                    assert anyio.current_time() - began < 1


async def test_notification_streams_and_handlers_outlive_the_connection() -> None:
    device = Device()
    handled = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with (
                connect(restarts.url, reconnect=True) as client,
                client.notifications() as stream,
            ):
                client.on("n")(handled.add)
                for turn in range(2):
                    await client.call("echo", [1])
                    restarts.server.broadcast("n", [turn])
                    assert await stream.receive() == Notification("n", [turn])
                    await handled.reach(turn + 1)
                    await restarts.stop()
                    await restarts.start()
                await client.call("echo", [1])
            await restarts.stop()
    assert handled.items == [0, 1]


async def test_clients_do_not_come_back_all_at_once() -> None:
    device = Device()
    back = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            device.gate.set()
            for _ in range(20):
                tasks.start_soon(come_back, restarts.url, back)
            await device.began.reach(20)
            await restarts.stop()
            await restarts.start()
            await back.reach(20)
            await restarts.stop()
    assert max(back.items) - min(back.items) > 0.1


async def come_back(url: str, back: Tally) -> None:
    async with connect(url, reconnect=True) as client:
        await client.call("hold", ["x"])
        await eventually(lambda: not is_connected(client))
        await client.call("echo", [1])
        back.add(anyio.current_time())


async def test_leaving_while_disconnected_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)  # it stays disconnected a while
    began = 0.0
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept):
            async with connect(url, reconnect=True) as client:
                raw = await accept()
                await raw.reset()
                await eventually(lambda: not is_connected(client))
                began = anyio.current_time()
            assert anyio.current_time() - began < 0.5


async def test_without_reconnect_the_first_connection_must_succeed() -> None:
    async with serve(Dispatcher(), ANYWHERE) as server:
        url = server.urls[0]
    with pytest.raises(ConnectFailed):
        async with connect(url):
            pytest.fail("nobody is there")


async def test_the_device_may_be_off_at_first() -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with serve(device.dispatcher, ANYWHERE) as server:
            url = server.urls[0]
        async with anyio.create_task_group() as tasks, connect(url, reconnect=True) as client:
            assert state(client) == "connecting"
            with pytest.raises(ChannelClosed):
                _ = client.info
            with pytest.raises(CallTimeout, match="not connected"):
                await client.call("echo", [1], timeout=0.01)
            answers = Tally()
            tasks.start_soon(outcome, partial(client.call, "echo", [1]), answers)
            async with client.connected.values() as opened:
                restarts = Restarts(device, tasks, url)
                await restarts.start()
                assert (await opened.receive()).peer
            assert state(client) == "connected"
            await answers.reach(1)
            assert answers.items == [1]
            await restarts.stop()


async def test_a_wrong_url_is_an_error_at_once() -> None:
    with pytest.raises(InvalidUrl):
        async with connect("tpc://127.0.0.1:1", reconnect=True):
            pytest.fail("there is no such scheme")


async def test_leaving_before_the_device_was_there() -> None:
    with anyio.fail_after(SECONDS):
        async with connect("tcp://127.0.0.1:1", reconnect=True) as client:
            assert state(client) == "connecting"
        assert state(client) == "closed"


@pytest.mark.parametrize("reconnect", [False, True])
async def test_a_client_tells_when_it_is_connected_and_when_not(reconnect: bool) -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with connect(restarts.url, reconnect=reconnect) as client:
                assert state(client) == "connected"
                async with client.lost.values() as lost, client.connected.values() as opened:
                    await restarts.stop()
                    assert isinstance(await lost.receive(), str)
                    assert state(client) == ("connecting" if reconnect else "closed")
                    if reconnect:
                        await restarts.start()
                        assert (await opened.receive()).transport == "tcp"
                        assert state(client) == "connected"
                        await restarts.stop()
            assert state(client) == "closed"


@pytest.mark.parametrize("url", [ANYWHERE, "udp://127.0.0.1:0", "memory://peers"])
async def test_a_server_tells_who_comes_and_goes(url: str) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            serve(Dispatcher(), url) as server,
            server.peer_joined.values() as joined,
            server.peer_left.values() as left,
        ):
            async with connect(server.urls[0]) as client:
                await client.call("rpc.ping")
                peer = await joined.receive()
                assert list(server.peers) == [peer]
                await peer.notify("welcome")
            if not url.startswith("udp"):
                assert await left.receive() is peer
                assert list(server.peers) == []


async def test_without_reconnect_a_client_stays_closed() -> None:
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), connect(url) as client:
            raw = await accept()
            await raw.stream.aclose()
            for _ in range(2):
                with pytest.raises(ChannelClosed):
                    await client.call("x", idempotent=True)


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_server_that_hangs_up_at_once_is_not_besieged(idempotent: bool) -> None:
    visits = 0
    with anyio.fail_after(SECONDS):
        async with far_end() as (url, accept), anyio.create_task_group() as tasks:

            async def hang_up() -> None:
                nonlocal visits
                while True:
                    await (await accept()).stream.aclose()
                    visits += 1

            tasks.start_soon(hang_up)
            async with connect(url, reconnect=True) as client:
                began = anyio.current_time()
                while anyio.current_time() < began + 1:
                    with pytest.raises((CallTimeout, ChannelClosed)):
                        await client.call("x", timeout=0.3, idempotent=idempotent)
                assert anyio.current_time() - began < 2
            tasks.cancel_scope.cancel()
    assert visits < 20


async def test_waiting_for_the_connection_is_part_of_a_calls_time() -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with connect(restarts.url, reconnect=True) as client:
                await client.call("echo", [1])
                await restarts.stop()
                began = anyio.current_time()
                tasks.start_soon(restarts.start)
                with pytest.raises(CallTimeout):
                    await client.call("hold", timeout=0.7)
                assert 0.65 < anyio.current_time() - began < 0.95
            await restarts.stop()
