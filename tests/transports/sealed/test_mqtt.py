"""Sealed links through a broker, which reads nothing and changes nothing unnoticed."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import ConnectFailed, connect, serve
from jsonrpc_iot.testing import check_channel_contract
from jsonrpc_iot.transports import open_channel
from tests.brokers import Broker, mosquitto, nats
from tests.rig import Restarts
from tests.transports.links import accepting
from tests.waiting import SECONDS

from .rig import Device, joined, option

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


@pytest.fixture(params=[mosquitto, nats], ids=["MQTT 5", "MQTT 3.1.1"])
def broker(request: pytest.FixtureRequest) -> Broker:
    start: Callable[[], Broker] = request.param
    return start()


async def test_sealed_and_plain_clients_at_one_topic(broker: Broker, tmp_path: Path) -> None:
    device = Device()
    plain = broker.url()
    with anyio.fail_after(2 * SECONDS):
        async with (
            serve(device.dispatcher, joined(plain, option(tmp_path))) as server,
            connect(server.urls[0]) as sealed,
            connect(server.urls[0]) as another,
            connect(plain) as stranger,
        ):
            for _ in range(3):
                assert await sealed.call("who") == "psk"
                assert await another.call("secret") == "42"
                assert await stranger.call("who") is None
            async with (
                sealed.notifications("lamp") as notes,
                stranger.notifications("lamp") as heard,
            ):
                await sealed.call("who")
                server.broadcast("lamp", [1])
                assert (await notes.receive()).params == (await heard.receive()).params
            with pytest.raises(ConnectFailed, match="but not to this key"):
                async with connect(joined(plain, option(tmp_path, "wrong")), connect_timeout=4.0):
                    pass


async def test_a_server_that_starts_again_is_known_again(broker: Broker, tmp_path: Path) -> None:
    device = Device()
    with anyio.fail_after(2 * SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks, broker.url(f"?{option(tmp_path)}"))
            await restarts.start()
            async with connect(restarts.url, timeout=SECONDS) as client:
                assert await client.call("note", ["x"]) == 1
                await restarts.stop()
                await restarts.start()
                restarts.server._ended._began -= 60
                assert await client.call("note", ["y"]) == 1
            await restarts.stop()
    assert device.ran == ["x", "y"]


async def test_the_contract(broker: Broker, tmp_path: Path) -> None:
    with anyio.fail_after(2 * SECONDS):
        async with accepting(broker.url(f"?{option(tmp_path)}")) as (listener, accept):
            await accept()  # what is for everybody
            client = await open_channel(listener.addresses[0])
            await client.send(b"[]")
            server = await accept()
            assert await server.receive() == b"[]"
            assert server.principal is not None
            await check_channel_contract(client, server, 2 * SECONDS)
