"""Who hears which notifications: permissions of events, and what a peer asked for."""

from typing import Any

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream
from msgspec import Struct

from jsonrpc_iot import (
    Context,
    Dispatcher,
    Event,
    Notification,
    Principal,
    connect,
    serve,
    service,
)
from tests.client.proxied import within_time
from tests.rig import Device, Restarts, far_end
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

TRANSPORTS = ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "memory://door"]


class Opened(Struct):
    by: str


@service("door")
class Door:
    opened = Event[Opened]()
    code = Event[Opened]("code", requires="admin")


async def names(news: MemoryObjectReceiveStream[Notification], last: str = "last") -> list[str]:
    """The names of what comes, up to the last."""
    found: list[str] = []
    async for notification in news:
        if notification.method == last:
            break
        found.append(notification.method)
    return found


def emit_all(dispatcher: Dispatcher, door: Door, *others: str) -> None:
    door.code.emit(Opened("the code"))
    dispatcher.emit("alarm", {"pin": "1234"}, requires="admin")
    door.opened.emit(Opened("somebody"))
    for name in others:
        dispatcher.emit(name)
    dispatcher.emit("last")


@pytest.mark.parametrize("url", TRANSPORTS)
@pytest.mark.parametrize("included", [False, True], ids=["service", "dispatcher"])
@pytest.mark.parametrize("permissions", [set[str](), {"admin"}], ids=str)
async def test_who_lacks_a_permission_does_not_hear(
    url: str, included: bool, permissions: set[str]
) -> None:
    door, dispatcher, inner = Door(), Dispatcher(), Dispatcher()
    (inner if included else dispatcher).include(door)
    if included:
        dispatcher.include(inner)
    with within_time():
        async with (
            serve(dispatcher, url, authenticate=lambda channel: permissions) as server,
            connect(server.urls[0]) as client,
            client.notifications() as news,
        ):
            await client.call("rpc.ping")
            emit_all(dispatcher, door)
            secret = ["door.code", "alarm"] if permissions else []
            assert await names(news) == [*secret, "door.opened"]
            server.broadcast("secret", requires="admin")
            server.broadcast("last")
            assert await names(news) == (["secret"] if permissions else [])


@pytest.mark.parametrize("url", TRANSPORTS)
async def test_whom_a_hook_does_not_know_hears_nothing(url: str) -> None:
    door, dispatcher = Door(), Dispatcher()
    dispatcher.include(door)
    with within_time():
        async with (
            serve(dispatcher, url, authenticate=lambda channel: None) as server,
            connect(server.urls[0]) as client,
            client.notifications() as news,
        ):
            await client.call("rpc.ping")
            emit_all(dispatcher, door)
            assert server.broadcast("last") == 0
            server.peers[0].become(Principal("friend"))
            door.opened.emit(Opened("a friend"))
            assert (await news.receive()).params == {"by": "a friend"}


async def test_an_event_is_described_to_who_may_hear_it() -> None:
    dispatcher = Dispatcher()
    dispatcher.include(Door())
    for permissions, emitted in (
        (None, {"door.opened"}),
        ({"admin"}, {"door.opened", "door.code"}),
    ):
        async with (
            serve(dispatcher, "memory://door", authenticate=lambda channel: permissions),  # noqa: B023
            connect("memory://door") as client,
        ):
            document = await client.call("rpc.discover")
            events = {each["name"]: each for each in document["x-notifications"]}
            assert set(events) == emitted
            assert [each.get("x-requires") for each in events.values()] == ["admin", None][
                -len(events) :
            ]


@pytest.mark.parametrize("params", [["door.*", "last"], [["door.*", "last"]]], ids=str)
@pytest.mark.parametrize("url", TRANSPORTS)
async def test_a_peer_gets_what_it_subscribed_to(url: str, params: Any) -> None:
    door, dispatcher = Door(), Dispatcher()
    dispatcher.include(door)

    @dispatcher.method
    async def progress(context: Context) -> None:
        await context.notify("progress", [50])

    with within_time():
        async with (
            serve(dispatcher, url) as server,
            connect(server.urls[0]) as client,
            connect(server.urls[0]) as other,
            client.notifications() as news,
            other.notifications() as all_news,
        ):
            await other.call("rpc.ping")
            await client.call("rpc.subscribe", params)
            await client.call("progress")
            emit_all(dispatcher, door, "lamp", "doorbell")
            assert await names(news) == ["door.opened"]
            assert await names(all_news) == ["door.opened", "lamp", "doorbell"]
            await client.call("rpc.unsubscribe")
            await client.call("progress")
            emit_all(dispatcher, door, "lamp")
            assert await names(news) == ["progress", "door.opened", "lamp"]


@pytest.mark.parametrize(
    "params", [[1], {"names": ["a"]}, ["a"] * 65, [["a"], "b"], None], ids=repr
)
async def test_wrong_subscriptions(params: Any) -> None:
    async with (
        serve(Dispatcher(), "memory://door"),
        connect("memory://door") as client,
    ):
        with pytest.raises(Exception, match="Invalid params"):
            await client.call("rpc.subscribe", params)


@pytest.mark.parametrize("url", TRANSPORTS)
async def test_a_stream_of_some_notifications(url: str) -> None:
    door, dispatcher = Door(), Dispatcher()
    dispatcher.include(door)
    with within_time():
        async with (
            serve(dispatcher, url) as server,
            connect(server.urls[0]) as client,
            client.notifications("door.*", "last") as news,
        ):
            await client.call("rpc.ping")
            emit_all(dispatcher, door, "lamp")
            assert await names(news) == ["door.opened"]


async def test_the_device_is_asked_for_the_union_of_all_that_is_listened_to() -> None:
    dispatcher = Dispatcher()
    with within_time():
        async with far_end() as (url, accept), connect(url, extensions=True) as client:
            raw = await accept()
            asked: list[Any] = []

            async def answer(count: int) -> None:
                for _ in range(count):
                    request = await raw.receive()
                    asked.append((request["method"], request.get("params")))
                    await raw.send(f'{{"id":{request["id"]},"result":null}}')

            client.on("bell")(lambda: None)
            async with raw.stream, anyio.create_task_group() as tasks:
                tasks.start_soon(answer, 1)
                async with client.notifications("door.*") as news:
                    leave = client.proxy(Door).opened.subscribe(lambda opened: None)
                    await answer(1)
                    leave()
                    await answer(1)
                    async with client.notifications():
                        await answer(1)
                    await answer(1)
                await answer(1)
                assert news is not None
    doors = ("rpc.subscribe", ["bell", "door.*"])
    everything = ("rpc.unsubscribe", None)
    event = ("rpc.subscribe", ["bell", "door.*", "door.opened"])
    assert asked == [doors, event, doors, everything, doors, everything]
    assert dispatcher.received == []


async def test_a_client_subscribes_again_after_a_reconnect() -> None:
    device = Device()
    with within_time():
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with (
                connect(restarts.url, reconnect=True) as client,
                client.notifications("door.*", "last") as news,
            ):
                await restarts.stop()
                await restarts.start()
                await client.call("rpc.ping")
                await eventually(lambda: restarts.server.broadcast("lamp") == 0)
                device.dispatcher.emit("door.opened")
                device.dispatcher.emit("last")
                assert await names(news) == ["door.opened"]
            await restarts.stop()
