"""`memory://NAME`: both ends in one process."""

import anyio
import pytest

from jsonrpc_iot import BindFailed, ConnectFailed, Dispatcher, MessageTooLarge, connect, serve
from jsonrpc_iot.transports import open_channel, open_listener
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


async def test_a_name_is_taken_until_it_is_given_back() -> None:
    async with await open_listener("memory://lamp") as listener:
        assert list(listener.addresses) == ["memory://lamp"]
        with pytest.raises(BindFailed, match="memory://lamp"):
            await open_listener("memory://lamp")
        async with await open_listener("memory://other"):
            pass
    async with await open_listener("memory://lamp"):
        pass


async def test_nobody_there() -> None:
    with pytest.raises(ConnectFailed, match="memory://nobody"):
        await open_channel("memory://nobody")
    async with await open_listener("memory://gone"):
        pass
    with pytest.raises(ConnectFailed, match="memory://gone"):
        await open_channel("memory://gone")


async def test_a_failed_server_leaves_no_name_behind() -> None:
    with pytest.raises(BindFailed):
        async with serve(Dispatcher(), "memory://twice", "memory://twice"):
            pytest.fail("the name is taken by the first")
    async with serve(Dispatcher(), "memory://twice"):
        pass


async def test_the_servers_limit_holds_for_both() -> None:
    async with (
        serve(Dispatcher(), "memory://small?max=100") as server,
        connect(server.urls[0]) as client,
    ):
        assert client.info.max_message == 100
        with pytest.raises(MessageTooLarge):
            await client.call("x", ["y" * 100])
        assert await client.call("rpc.ping") is True


async def test_many_clients_at_once() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("echo")(echo)

    async def come(number: int) -> None:
        async with connect("memory://busy") as client:
            assert await client.call("echo", [number]) == number

    with anyio.fail_after(SECONDS):
        async with serve(dispatcher, "memory://busy"), anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(come, number)


def echo(value: int) -> int:
    return value


async def test_a_channel_that_nobody_accepted_ends_with_the_listener() -> None:
    with anyio.fail_after(SECONDS):
        async with await open_listener("memory://deaf"):
            channel = await open_channel("memory://deaf")
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await channel.receive()
        await channel.aclose()
