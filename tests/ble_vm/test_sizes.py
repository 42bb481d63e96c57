"""Every size about an MTU arrives whole, or is refused: nothing is cut."""

import anyio
import pytest

from jsonrpc_iot import connect, serve
from jsonrpc_iot.transports import open_channel
from tests.transports.gatt.rig import device

from .daemons import PATIENCE, Bluez

pytestmark = [pytest.mark.anyio, pytest.mark.ble]

LAMP = "gatt://lamp?adapter=hci0"
DEVICE = "gatt://?name=lamp&adapter=hci1"
REPLY = len('{"id":1,"result":""}')


@pytest.mark.parametrize("bluez", [48, 64, 225, 517], indirect=True)
async def test_every_size_about_the_mtu(bluez: Bluez) -> None:
    with anyio.fail_after(PATIENCE):
        async with (
            serve(device(), f"{DEVICE}&max=512") as server,
            await open_channel(f"{LAMP}&max=512") as channel,
        ):
            await channel.send(b'{"id":1,"method":"big","params":[0]}')
            assert await channel.receive() == b'{"id":1,"result":""}'
            (peer,) = server.peers
            assert peer.info.max_message
            most = peer.info.max_message - REPLY
            for size in range(max(most - 8, 0), most + 1):
                await channel.send(b'{"id":1,"method":"big","params":[%d]}' % size)
                assert await channel.receive() == b'{"id":1,"result":"%b"}' % (b"x" * size)
            await channel.send(b'{"id":1,"method":"big","params":[%d]}' % (most + 1))


@pytest.mark.parametrize("bluez", [48, 100], indirect=True)
async def test_segments_of_every_size(bluez: Bluez) -> None:
    with anyio.fail_after(PATIENCE):
        async with (
            serve(device(), f"{DEVICE}&segment=1"),
            connect(f"{LAMP}&segment=1", connect_timeout=PATIENCE, timeout=PATIENCE) as client,
        ):
            for size in (1, 50, 100, 150, 300, 1000, *range(75, 95)):
                assert await client.call("big", [size]) == "x" * size
                assert await client.call("echo", ["y" * size]) == "y" * size
