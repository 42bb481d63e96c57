"""The device side of Improv on a virtual radio, as phones see it that are not ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

import anyio
import pytest
from bleak import BleakClient
from bleak.exc import BleakError
from bumble.core import UUID, AdvertisingData
from bumble.device import Advertisement, Device

from jsonrpc_iot import BindFailed, ChannelClosed, InvalidUrl, connect, serve
from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.ble import decode_call, encode_call
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Command,
    ErrorState,
    State,
    WifiSettings,
    decode_strings,
)
from jsonrpc_iot.services.improv import Improv, open_client, serve_bluetooth
from jsonrpc_iot.services.wifi import WifiState
from jsonrpc_iot.testing import VirtualRadio, virtual_radio
from jsonrpc_iot.transports.gatt import _served
from jsonrpc_iot.transports.gatt._options import SMALLEST_MTU
from jsonrpc_iot.transports.gatt._scan import Wanted, find
from jsonrpc_iot.transports.gatt.bumble.backend import MTU, backend_on
from tests.services._wifi import HOME, KEY, NEVER, instant, reached
from tests.transports.gatt.rig import adapter
from tests.transports.gatt.rig import device as rpc_device
from tests.waiting import SECONDS, Tally

from .test_bluetooth import INFO, URLS, device

pytestmark = pytest.mark.anyio

SETTINGS = encode_call(Call(Command.WIFI_SETTINGS, WifiSettings(HOME, KEY).encode()))
OTHER = encode_call(Call(Command.WIFI_SETTINGS, WifiSettings("office-mesh", "x" * 8).encode()))
SERVICE_DATA = AdvertisingData.SERVICE_DATA_16_BIT_UUID
ASK = encode_call(Call(Command.DEVICE_INFO))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested is above it."""
    return "asyncio"


class Phone(NamedTuple):
    """A central that has subscribed to all that Improv notifies."""

    client: BleakClient
    told: Tally
    gone: anyio.Event
    adapter: Device

    @classmethod
    @asynccontextmanager
    async def near(cls, radio: VirtualRadio, mtu: int = MTU) -> AsyncIterator[Self]:
        told, gone = Tally(), anyio.Event()
        async with adapter(radio) as central:
            using = backend_on(central, mtu)
            found = await find(Wanted("", "lamp", ble.SERVICE), using, "lamp")
            async with BleakClient(
                found, lambda _: gone.set(), timeout=SECONDS, backend=using.client
            ) as client:
                for uuid in (ble.STATE, ble.ERROR, ble.RESULT):
                    await client.start_notify(
                        uuid, lambda at, value: told.add((at.uuid, bytes(value)))
                    )
                yield cls(client, told, gone, central)

    async def write(self, data: bytes, *, response: bool = True) -> None:
        await self.client.write_gatt_char(ble.CALL, data, response)


def state(value: State) -> tuple[str, bytes]:
    return ble.STATE, bytes((value,))


def error(value: ErrorState) -> tuple[str, bytes]:
    return ble.ERROR, bytes((value,))


@asynccontextmanager
async def scanner(
    radio: VirtualRadio, *, active: bool = False
) -> AsyncIterator[tuple[Tally, Tally]]:
    """All that is advertised, and the states in it, each once in a row."""
    heard, states = Tally(), Tally()
    async with adapter(radio) as scanning:

        def hear(advertisement: Advertisement) -> None:
            heard.add(advertisement.data.ad_structures)
            for kind, value in advertisement.data.ad_structures:
                if kind == SERVICE_DATA and states.items[-1:] != [value[2]]:
                    states.add(value[2])

        scanning.on(Device.EVENT_ADVERTISEMENT, hear)
        await scanning.start_scanning(active=active, filter_duplicates=False)
        yield heard, states


async def test_what_is_advertised_fits_into_31_bytes() -> None:
    """Who scans passively hears all but the name."""
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio), scanner(radio) as (heard, _):
            await heard.reach(1)
            async with scanner(radio, active=True) as (more, _):
                await more.reach(2)  # the second has what was answered
    data = heard.items[0]
    assert data == [
        (AdvertisingData.FLAGS, b"\x06"),
        (
            AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
            UUID(ble.SERVICE).to_bytes(),
        ),
        (SERVICE_DATA, b"\x77\x46\x02\x06\0\0\0\0"),
    ]
    assert sum(2 + len(value) for _, value in data) == 31
    assert more.items[1] == [*data, (AdvertisingData.COMPLETE_LOCAL_NAME, b"lamp")]


async def test_each_state_is_advertised_while_a_phone_is_connected_too() -> None:
    wifi = instant(connect_time=NEVER)
    with anyio.fail_after(SECONDS):
        async with (
            virtual_radio() as radio,
            device(radio, wifi=wifi, wants_button=True) as improv,
            scanner(radio) as (_, states),
            Phone.near(radio) as phone,
        ):
            await states.reach(1)
            improv.authorize()
            await states.reach(2)
            await phone.write(SETTINGS)
            await states.reach(3)
            await wifi.disconnect()
            await states.reach(4)
            assert phone.client.is_connected
    assert states.items == [
        State.AUTHORIZATION_REQUIRED,
        State.AUTHORIZED,
        State.PROVISIONING,
        State.AUTHORIZED,
    ]


@pytest.mark.parametrize("response", [True, False])
async def test_a_phone_writes_either_way(response: bool) -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio), Phone.near(radio) as phone:
            capabilities = await phone.client.read_gatt_char(ble.CAPABILITIES)
            assert bytes(capabilities) == b"\x06"
            for at in range(0, len(SETTINGS), 20):
                await phone.write(SETTINGS[at : at + 20], response=response)
            await phone.told.reach(3)
            assert phone.told.items[:2] == [state(State.PROVISIONING), state(State.PROVISIONED)]
            uuid, result = phone.told.items[2]
            assert uuid == ble.RESULT
            assert decode_strings(decode_call(result).data) == URLS
            assert await phone.client.read_gatt_char(ble.RESULT) == result


async def test_a_result_that_is_cut_is_read_whole() -> None:
    with anyio.fail_after(SECONDS):
        async with (
            virtual_radio() as radio,
            device(radio),
            Phone.near(radio, SMALLEST_MTU) as phone,
        ):
            await phone.write(ASK)
            await phone.told.reach(1)
            ((_, cut),) = phone.told.items
            whole = bytes(await phone.client.read_gatt_char(ble.RESULT))
            assert len(cut) == SMALLEST_MTU - 3 < len(whole)
            assert whole.startswith(cut)
            assert decode_strings(decode_call(whole).data)[3] == INFO.name


async def test_two_phones_at_once() -> None:
    """Each hears its own errors and results, and both hear the state."""
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    with anyio.fail_after(SECONDS):
        async with (
            virtual_radio() as radio,
            device(radio, wifi=wifi, options="&centrals=2"),
            Phone.near(radio) as one,
            Phone.near(radio) as other,
        ):
            await one.write(SETTINGS[:20])
            await other.write(OTHER[:20])
            await one.write(SETTINGS[20:])
            await connecting.wait()
            await other.write(OTHER[20:])
            await other.told.reach(2)
            assert other.told.items == [state(State.PROVISIONING), error(ErrorState.UNKNOWN)]
            await other.write(ASK)
            await other.told.reach(4)
            assert other.told.items[2] == error(ErrorState.NONE)
            assert one.told.items == [state(State.PROVISIONING)]


async def test_one_phone_at_a_time() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio), Phone.near(radio) as second:
            async with Phone.near(radio) as first:
                await first.write(ASK)
                with pytest.raises(BleakError):
                    await second.write(ASK)
                await second.gone.wait()
                await first.told.reach(1)
            async with Phone.near(radio) as third:
                await third.write(ASK)
                await third.told.reach(1)


async def test_a_phone_that_has_been_silent_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_served, "_SILENCE_SECONDS", 0.0)
    with anyio.fail_after(SECONDS):
        async with (
            virtual_radio() as radio,
            device(radio),
            Phone.near(radio) as first,
            Phone.near(radio) as second,
        ):
            await first.write(ASK)
            await first.told.reach(1)
            await second.write(ASK)
            await second.told.reach(1)
            await first.gone.wait()


async def test_a_phone_that_vanishes_in_the_middle() -> None:
    """What it has begun to say is not taken for the beginning of what another says."""
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio):
            async with Phone.near(radio) as first:
                await first.write(SETTINGS[:20])
            async with Phone.near(radio) as second:
                await second.write(SETTINGS)
                await second.told.reach(3)
                assert second.told.items[1] == state(State.PROVISIONED)


async def test_an_adapter_that_is_gone_and_comes_back() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio):
            async with open_client(radio.url("lamp")) as client:
                assert await client.info() == INFO
                radio.cut()
                with pytest.raises(ChannelClosed):
                    await client.info()
            async with Phone.near(radio) as phone:
                await phone.write(SETTINGS)
                await phone.told.reach(3)


async def test_rpc_on_the_same_radio() -> None:
    with anyio.fail_after(SECONDS):
        async with (
            virtual_radio() as radio,
            serve(rpc_device(), radio.url("lamp")),
            device(radio),
            connect(radio.url("lamp")) as client,
            Phone.near(radio) as phone,
        ):
            assert await client.call("echo", [1]) == 1
            await phone.write(ASK)
            await phone.told.reach(1)
            assert await client.call("echo", [2]) == 2


async def test_an_adapter_that_is_not_to_be_had() -> None:
    async with Improv(instant(), INFO) as improv:
        with pytest.raises(BindFailed, match="cannot open"):
            await serve_bluetooth(improv, "gatt+bumble://unix:/nowhere/radio?name=lamp")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("gatt://lamp", "name=lamp"),
        ("gatt:///lamp", "path"),
        ("gatt+bumble://", "transport is missing"),
        (f"gatt://?name={'x' * 30}", "29 bytes"),
        ("gatt://?name=lamp&centrals=0", "centrals"),
        ("gatt://?name=lamp&segment=1", "adapter, centrals, name"),
        ("gatt://?address=F0:00:00:00:00:01", "adapter, centrals, name"),
        ("gatt+bumble://usb:0?adapter=hci0", "address, centrals, name"),
        ("gatt+bumble://usb:0?address=F0", "address"),
    ],
)
async def test_urls_that_make_no_sense(url: str, problem: str) -> None:
    async with Improv(instant(), INFO) as improv:
        with anyio.fail_after(SECONDS), pytest.raises(InvalidUrl, match=problem):
            await serve_bluetooth(improv, url)
