"""Improv on the real bluetoothd: a device is set up, beside calls, while others come and go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Device

from jsonrpc_iot import ChannelClosed, ConnectFailed, RpcError, connect, serve
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.protocol.improv.messages import State
from jsonrpc_iot.services.improv import Improv, open_client, serve_bluetooth
from jsonrpc_iot.services.wifi import SimulatedWifi
from jsonrpc_iot.transports.gatt.bumble.radio import open_radio
from tests.services._wifi import HOME, KEY, instant
from tests.services.improv.test_bluetooth import INFO, URLS
from tests.transports.gatt.rig import device
from tests.waiting import Tally

from .daemons import PATIENCE, Bluez
from .test_links import ADDRESS
from .test_sizes import DEVICE, LAMP

pytestmark = [pytest.mark.anyio, pytest.mark.ble]


@asynccontextmanager
async def lamp(wifi: SimulatedWifi | None = None, *, button: bool = False) -> AsyncIterator[Improv]:
    async with (
        Improv(wifi or instant(), INFO, lambda: URLS, wants_button=button) as improv,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(serve_bluetooth, improv, DEVICE)
        yield improv
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def states(radio: str) -> AsyncIterator[Tally]:
    """The states that are advertised, each once in a row."""
    heard = Tally()
    async with open_radio(Url.parse(radio), "central", "", ConnectFailed) as scanning:

        def hear(advertisement: Advertisement) -> None:
            for kind, value in advertisement.data.ad_structures:
                is_new = kind == AdvertisingData.SERVICE_DATA_16_BIT_UUID
                if is_new and heard.items[-1:] != [value[2]]:
                    assert value[:2] == b"\x77\x46"
                    heard.add(value[2])

        scanning.on(Device.EVENT_ADVERTISEMENT, hear)
        await scanning.start_scanning(active=True, filter_duplicates=False)
        yield heard


@pytest.mark.parametrize("bluez", [48, 517], indirect=True)
async def test_a_device_is_set_up(bluez: Bluez) -> None:
    with anyio.fail_after(PATIENCE):
        async with lamp(), open_client(LAMP) as client:
            assert await client.find(PATIENCE) == (State.AUTHORIZED, [])
            assert await client.info(PATIENCE) == INFO
            assert len(await client.scan(PATIENCE)) > 3
            with pytest.raises(RpcError, match="Unable to connect"):
                await client.provision(HOME, "not the right key", PATIENCE)
            assert await client.provision(HOME, KEY, PATIENCE) == URLS


async def test_each_state_is_advertised_while_a_client_is_connected_too(
    bluez: Bluez, radio: str
) -> None:
    wifi = instant()
    with anyio.fail_after(PATIENCE):
        async with lamp(wifi, button=True) as improv, states(radio) as heard:
            await heard.reach(1)
            async with open_client(LAMP) as client:
                await client.find(PATIENCE)
                improv.authorize()
                await heard.reach(2)
                await wifi.connect(HOME, KEY)
                await heard.reach(3)
                assert (await client.find(PATIENCE))[0] is State.PROVISIONED
    assert heard.items == [State.AUTHORIZATION_REQUIRED, State.AUTHORIZED, State.PROVISIONED]


async def test_calls_and_improv_on_one_adapter(bluez: Bluez) -> None:
    with anyio.fail_after(2 * PATIENCE):
        async with serve(device(), DEVICE), lamp():
            async with open_client(LAMP) as client:
                assert await client.provision(HOME, KEY, PATIENCE) == URLS
            async with connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as caller:
                assert await caller.call("echo", [1]) == 1


async def test_one_client_at_a_time(bluez: Bluez, radio: str) -> None:
    with anyio.fail_after(PATIENCE):
        async with lamp(), open_client(LAMP) as first:
            assert await first.info(PATIENCE) == INFO
            with pytest.raises((ChannelClosed, ConnectFailed)):
                async with open_client(f"{radio}?address={ADDRESS}") as second:
                    await second.info(PATIENCE)
            assert await first.provision(HOME, KEY, PATIENCE) == URLS
        async with lamp(), open_client(f"{radio}?address={ADDRESS}") as second:
            assert await second.info(PATIENCE) == INFO
