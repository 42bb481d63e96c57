"""Serving channels that are open already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot import (
    BindFailed,
    Channel,
    ChannelClosed,
    Dispatcher,
    Forbidden,
    InvalidUrl,
    connect,
    serve,
)
from jsonrpc_iot.channel.contract import ReceivingChannel
from jsonrpc_iot.testing import memory_pair
from jsonrpc_iot.transports import open_channel, open_listener
from tests.rig import ANYWHERE, Device
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Channel, Channel]]:
    """Both ends of a channel; the test sees to it that the second one is closed."""
    here, there = memory_pair()
    async with here:
        yield here, there


@asynccontextmanager
async def udp_channel() -> AsyncIterator[tuple[Channel, Channel]]:
    """Both ends of a channel; the server's hands out its messages by itself."""
    accepted = Tally()

    async def keep(channel: Channel) -> None:
        accepted.add(channel)
        await anyio.sleep_forever()

    async with (
        await open_listener("udp://127.0.0.1:0") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, keep, tasks)
        async with await open_channel(listener.addresses[0]) as client:
            await client.send(b'{"method":"hello"}')
            await accepted.reach(1)
            yield client, accepted.items[0]
        tasks.cancel_scope.cancel()


async def test_a_channel_is_served_next_to_a_url() -> None:
    here, there = memory_pair()
    with anyio.fail_after(SECONDS):
        async with (
            serve(Device().dispatcher, there, ANYWHERE) as server,
            connect(here) as near,
            connect(*server.urls) as far,
        ):
            assert await near.call("echo", [1]) == 1
            assert await far.call("echo", [2]) == 2
            async with near.notifications() as first, far.notifications() as second:
                assert server.broadcast("news") == 2
                assert (await first.receive()).method == "news"
                assert (await second.receive()).method == "news"


async def test_an_added_channel_can_be_called_at_once() -> None:
    here, there = memory_pair()
    app = Dispatcher()
    app.method("ask")(lambda: "yes")
    with anyio.fail_after(SECONDS):
        async with serve(Device().dispatcher, ANYWHERE) as server:
            peer = await server.add(there)
            assert server.peers == (peer,)
            async with connect(here, dispatcher=app):
                assert await peer.call("ask") == "yes"
            await eventually(lambda: not server.peers)


async def test_a_channel_that_hands_out_its_messages_by_itself() -> None:
    with anyio.fail_after(SECONDS):
        async with udp_channel() as (here, there):
            assert isinstance(there, ReceivingChannel)
            async with serve(Device().dispatcher, there) as server, connect(here) as client:
                assert await client.call("echo", [1]) == 1
                assert await server.peers[0].call("rpc.ping") is True


async def test_the_channel_is_closed_in_the_end() -> None:
    with anyio.fail_after(SECONDS):
        async with pair() as (here, there):
            async with serve(Device().dispatcher, there), connect(here):
                pass
            with pytest.raises(anyio.ClosedResourceError):
                await there.send(b"{}")


@pytest.mark.parametrize(
    ("url", "failure"), [("nothing://", InvalidUrl), ("memory://taken", BindFailed)]
)
async def test_the_channel_is_closed_when_a_url_cannot_be_bound(
    url: str, failure: type[Exception]
) -> None:
    with anyio.fail_after(SECONDS):
        async with serve(Device().dispatcher, "memory://taken"), pair() as (here, there):
            with pytest.raises(failure):
                async with serve(Device().dispatcher, there, url):
                    pytest.fail("served")
            with pytest.raises(anyio.EndOfStream):
                await here.receive()


async def test_channels_are_authenticated() -> None:
    device = Dispatcher()
    device.method("open", requires="door")(lambda: "open")

    async def outcome(permissions: set[str]) -> object:
        async with (
            pair() as (here, there),
            serve(device, there, authenticate=lambda _: permissions),
            connect(here) as client,
        ):
            try:
                return await client.call("open")
            except Forbidden as error:
                return type(error)

    with anyio.fail_after(SECONDS):
        assert await outcome({"door"}) == "open"
        assert await outcome(set()) is Forbidden


async def test_a_channel_whose_authentication_fails_is_not_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(channel: Channel) -> None:
        raise OSError("the card reader is gone")

    with anyio.fail_after(SECONDS):
        async with pair() as (here, there):
            with pytest.raises(ChannelClosed):
                async with serve(Device().dispatcher, there, authenticate=refuse):
                    pytest.fail("served")
            with pytest.raises(anyio.EndOfStream):
                await here.receive()
        async with (
            pair() as (here, there),
            serve(Device().dispatcher, ANYWHERE, authenticate=refuse) as server,
        ):
            with pytest.raises(ChannelClosed, match="memory://"):
                await server.add(there)
            with pytest.raises(anyio.EndOfStream):
                await here.receive()
    assert caplog.text.count("OSError: the card reader is gone") == 2
    caplog.clear()


async def test_no_channel_is_added_to_a_closed_server() -> None:
    async with serve(Device().dispatcher, ANYWHERE) as server:
        pass
    with anyio.fail_after(SECONDS):
        async with pair() as (here, there):
            with pytest.raises(ChannelClosed):
                await server.add(there)
            with pytest.raises(anyio.EndOfStream):
                await here.receive()


async def test_who_stops_waiting_for_an_added_channel_ends_it() -> None:
    async def think(channel: Channel) -> None:
        await anyio.sleep_forever()

    with anyio.fail_after(SECONDS):
        async with (
            pair() as (here, there),
            serve(Device().dispatcher, ANYWHERE, authenticate=think) as server,
        ):
            with anyio.move_on_after(0.01):
                await server.add(there)
            with pytest.raises(anyio.EndOfStream):
                await here.receive()
            assert not server.peers
