"""Improv's service through BlueZ, alone and beside RPC."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError
from dbus_fast import DBusError, Variant

from jsonrpc_iot import BindFailed, UsageError
from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.ble import encode_call
from jsonrpc_iot.protocol.improv.messages import Call, Command, State, WifiSettings
from jsonrpc_iot.services.improv import Improv, open_client, serve_bluetooth
from jsonrpc_iot.services.wifi import SimulatedWifi, WifiState
from tests.services._wifi import HOME, KEY, NEVER, instant, reached
from tests.services.improv.test_bluetooth import INFO, URLS
from tests.waiting import SECONDS, Tally

from .fake_bluez import FakeBluez
from .fake_link import Link
from .rig import URL, call, join, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="BlueZ is Linux's"),
]

SETTINGS = encode_call(Call(Command.WIFI_SETTINGS, WifiSettings(HOME, KEY).encode()))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested is above it."""
    return "asyncio"


@asynccontextmanager
async def device(
    wifi: SimulatedWifi | None = None, *, wants_button: bool = False, options: str = ""
) -> AsyncIterator[Improv]:
    async with (
        Improv(wifi or instant(), INFO, lambda: URLS, wants_button=wants_button) as improv,
        anyio.create_task_group() as tasks,
    ):
        assert await tasks.start(serve_bluetooth, improv, URL + options) == "gatt://lamp"
        yield improv
        tasks.cancel_scope.cancel()


async def advertises(fake: FakeBluez, state: State) -> None:
    """Wait until the service's data have a state."""
    data = bytes((state, 6, 0, 0, 0, 0))
    with anyio.fail_after(SECONDS):
        while (await fake.until_advertised())["ServiceData"] != {ble.SERVICE_DATA: data}:
            fake.news.clear()
            await fake.news.wait()


@asynccontextmanager
async def phone(link: Link) -> AsyncIterator[tuple[BleakClient, Tally, anyio.Event]]:
    """bleak as a central that hears all; what it hears, and whether it is gone."""
    told, gone = Tally(), anyio.Event()
    found = await BleakScanner.find_device_by_address(link.address, timeout=SECONDS)
    assert found
    async with BleakClient(found, lambda _: gone.set(), timeout=SECONDS) as client:
        for uuid in (ble.STATE, ble.ERROR, ble.RESULT):
            await client.start_notify(uuid, lambda at, value: told.add((at.uuid, bytes(value))))
        yield client, told, gone


@pytest.mark.parametrize("mtu", [23, 247])
async def test_a_device_is_set_up(system_bus: None, mtu: int) -> None:
    async with FakeBluez(mtu=mtu).running() as fake, device():
        advertised = await fake.until_advertised()
        assert advertised["ServiceUUIDs"] == [ble.SERVICE]
        assert advertised["LocalName"] == "lamp"
        assert advertised["Discoverable"]
        await advertises(fake, State.AUTHORIZED)
        async with open_client("gatt://lamp") as client:
            assert await client.find() == (State.AUTHORIZED, [])
            assert await client.info() == INFO
            assert len(await client.scan()) > 3
            assert await client.provision(HOME, KEY) == URLS
            await advertises(fake, State.PROVISIONED)
    assert not fake.app
    assert not fake.advertised


async def test_each_state_is_advertised(fake: FakeBluez) -> None:
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    async with device(wifi, wants_button=True) as improv, phone(fake.links[0]) as (client, _, _):
        await advertises(fake, State.AUTHORIZATION_REQUIRED)
        improv.authorize()
        await advertises(fake, State.AUTHORIZED)
        await client.write_gatt_char(ble.CALL, SETTINGS, response=True)
        await connecting.wait()
        await advertises(fake, State.PROVISIONING)


async def test_rpc_and_improv_on_one_adapter(fake: FakeBluez) -> None:
    first, second = fake.links
    async with serving(), device():
        assert [each["LocalName"] for each in fake.advertisements.values()] == ["lamp"] * 2
        await join(first)
        assert await call(first, 1, "echo", 1) == {"id": 1, "result": 1}
        async with phone(second) as (client, told, _):
            await client.write_gatt_char(ble.CALL, SETTINGS, response=True)
            await told.reach(3)
            assert await call(first, 2, "echo", 2) == {"id": 2, "result": 2}
        assert first.is_connected
    assert not fake.apps
    assert not fake.advertisements


async def test_one_phone_at_a_time(fake: FakeBluez) -> None:
    async with device():
        async with phone(fake.links[0]) as (first, told, _):
            await first.write_gatt_char(ble.CALL, SETTINGS[:20], response=True)
            async with phone(fake.links[1]) as (second, _, gone):
                with pytest.raises(BleakError):
                    await second.write_gatt_char(ble.CALL, SETTINGS, response=True)
                with anyio.fail_after(SECONDS):
                    await gone.wait()
            await first.write_gatt_char(ble.CALL, SETTINGS[20:], response=False)
            await told.reach(3)
        async with phone(fake.links[1]) as (second, told, _):
            await second.write_gatt_char(ble.CALL, encode_call(Call(Command.SCAN)), response=True)
            await told.reach(1)


async def test_a_phone_that_vanishes_in_the_middle(fake: FakeBluez, link: Link) -> None:
    async with device():
        async with phone(link) as (client, _, gone):
            await client.write_gatt_char(ble.CALL, SETTINGS[:20], response=True)
            link.drop()
            with anyio.fail_after(SECONDS):
                await gone.wait()
        async with phone(link) as (client, told, _):
            await client.write_gatt_char(ble.CALL, SETTINGS, response=True)
            await told.reach(3)
            assert told.items[1] == (ble.STATE, bytes((State.PROVISIONED,)))


async def test_bluetoothd_is_restarted(system_bus: None) -> None:
    wifi = instant()
    async with AsyncExitStack() as first:
        await first.enter_async_context(FakeBluez().running())
        async with device(wifi):
            await first.aclose()
            await wifi.connect(HOME, KEY)
            async with FakeBluez().running() as later:
                await advertises(later, State.PROVISIONED)
                async with open_client("gatt://lamp") as client:
                    assert await client.info() == INFO


async def test_what_makes_no_sense_is_refused(fake: FakeBluez, link: Link) -> None:
    async with device():
        path, _ = fake.characteristic("read")
        with pytest.raises(DBusError, match="not so many bytes"):
            await fake.call_app(path, "ReadValue", "a{sv}", link._options(offset=Variant("q", 9)))
        with pytest.raises(DBusError, match="which device"):
            await fake.call_app(path, "ReadValue", "a{sv}", {})
        with pytest.raises(DBusError, match="whole"):
            await link.write(b"\x03", offset=Variant("q", 1))
        await link.write(b"\x03", prepare_authorize=Variant("b", True))


async def test_what_bluetoothd_refuses(fake: FakeBluez) -> None:
    error = DBusError("org.bluez.Error.NotPermitted", "Maximum advertisements reached")
    fake.errors["RegisterAdvertisement"] = error
    async with Improv(instant(), INFO) as improv:
        with pytest.raises(BindFailed, match="Maximum advertisements reached"):
            await serve_bluetooth(improv, URL)
    await fake.until_app_left()


async def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    async with Improv(instant(), INFO) as improv:
        with pytest.raises(UsageError, match="Linux"):
            await serve_bluetooth(improv, URL)
