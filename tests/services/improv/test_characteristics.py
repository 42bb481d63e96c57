"""Improv's characteristics, as those see them who serve them over Bluetooth."""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.ble import decode_call, encode_call
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Command,
    ErrorState,
    State,
    WifiSettings,
    decode_strings,
    encode_strings,
)
from jsonrpc_iot.services.improv import DeviceInfo, Improv
from jsonrpc_iot.services.improv.characteristics import Characteristics
from jsonrpc_iot.services.wifi import SimulatedNetwork, SimulatedWifi, WifiState
from tests.services._wifi import HOME, KEY, NEVER, instant, reached
from tests.waiting import SECONDS, Tally

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

INFO = DeviceInfo("lamp-firmware", "1.4.0", "ESP32-C3", "Lamp")
URLS = ["http://192.0.2.7/"]
SETTINGS = Call(Command.WIFI_SETTINGS, WifiSettings(HOME, KEY).encode())


class Device:
    """A device, and all that its centrals were notified of."""

    def __init__(self) -> None:
        self.told = Tally()
        self.identified = 0

    def publish(self, uuid: str, value: bytes, central: Hashable | None) -> None:
        self.told.add((uuid, value, central))

    def identify(self) -> None:
        self.identified += 1


class Running(Device):
    """With its characteristics."""

    on: Characteristics


@asynccontextmanager
async def device(
    wifi: SimulatedWifi | None = None, *, wants_button: bool = False, seconds: float = 60
) -> AsyncIterator[Running]:
    running = Running()
    async with (
        Improv(wifi or instant(), INFO, lambda: URLS) as improv,
        anyio.create_task_group() as tasks,
    ):
        running.on = Characteristics(
            improv,
            running.publish,
            identify=running.identify,
            wants_button=wants_button,
            authorized_seconds=seconds,
        )
        stop = running.on.start(tasks)
        yield running
        stop()
        tasks.cancel_scope.cancel()


def state(value: State) -> tuple[str, bytes, None]:
    return ble.STATE, bytes((value,)), None


def error(value: ErrorState, central: Hashable = "a") -> tuple[str, bytes, Hashable]:
    return ble.ERROR, bytes((value,)), central


async def test_a_device_is_set_up_in_writes_of_20_bytes() -> None:
    async with device() as running:
        encoded = encode_call(SETTINGS)
        for at in range(0, len(encoded), 20):
            running.on.write("a", encoded[at : at + 20])
        await running.told.reach(3)
        result = encode_call(Call(Command.WIFI_SETTINGS, encode_strings(URLS)))
        assert running.told.items == [
            state(State.PROVISIONING),
            state(State.PROVISIONED),
            (ble.RESULT, result, "a"),
        ]
        assert running.on.read(ble.RESULT) == result
        assert running.on.read(ble.STATE) == running.on.service_data[:1] == b"\x04"
        assert running.on.read(ble.ERROR) == b"\0"
        assert running.on.read(ble.CAPABILITIES) == b"\x07"
        assert running.on.read(ble.CALL) == b""


async def test_a_button_has_to_be_pressed() -> None:
    async with device(wants_button=True, seconds=0.02) as running:
        running.on.write("a", encode_call(SETTINGS))
        await running.told.reach(1)
        assert running.told.items == [error(ErrorState.NOT_AUTHORIZED)]
        assert running.on.service_data == b"\x01\x07\0\0\0\0"
        running.on.authorize()
        running.on.authorize()
        await running.told.reach(3)
        assert running.told.items[1:] == [
            state(State.AUTHORIZED),
            state(State.AUTHORIZATION_REQUIRED),
        ]


async def test_a_device_on_a_network_takes_another_only_when_somebody_says_so() -> None:
    wifi = instant()
    await wifi.connect(HOME, KEY)
    async with device(wifi) as running:
        other = Call(Command.WIFI_SETTINGS, WifiSettings("coffee-corner").encode())
        running.on.write("a", encode_call(other))
        await running.told.reach(1)
        assert running.told.items == [error(ErrorState.NOT_AUTHORIZED)]
        assert (await wifi.status()).ssid == HOME
        running.on.authorize()
        running.on.write("a", encode_call(other))
        await running.told.reach(5)
        assert (await wifi.status()).ssid == "coffee-corner"


async def test_after_a_wrong_key_the_time_starts_over() -> None:
    async with device(wants_button=True) as running:
        running.on.authorize()
        wrong = Call(Command.WIFI_SETTINGS, WifiSettings(HOME, "not the right key").encode())
        running.on.write("a", encode_call(wrong))
        await running.told.reach(4)
        assert running.told.items[1:] == [
            state(State.PROVISIONING),
            state(State.AUTHORIZED),
            error(ErrorState.UNABLE_TO_CONNECT),
        ]
        running.on.write("a", encode_call(SETTINGS))
        await running.told.reach(8)
        assert error(ErrorState.NONE) in running.told.items[4:]
        assert state(State.PROVISIONED) in running.told.items[4:]


async def test_two_phones_write_at_once() -> None:
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    async with device(wifi) as running:
        one = encode_call(SETTINGS)
        other = encode_call(Call(Command.WIFI_SETTINGS, WifiSettings("office-mesh").encode()))
        running.on.write("a", one[:10])
        running.on.write("b", other[:10])
        running.on.write("a", one[10:])
        with anyio.fail_after(SECONDS):
            await connecting.wait()
        running.on.write("b", other[10:])
        await running.told.reach(2)
        assert running.told.items == [state(State.PROVISIONING), error(ErrorState.UNKNOWN, "b")]


async def test_a_scan_is_one_result_of_whole_networks() -> None:
    networks = tuple(
        SimulatedNetwork(f"network-{n}-{'x' * 20}", f"02:5e:10:00:24:{n:02}", 6, -50)
        for n in range(20)
    )
    async with device(instant(networks=networks)) as running:
        running.on.write("a", encode_call(Call(Command.SCAN)))
        await running.told.reach(1)
        ((uuid, value, central),) = running.told.items
        strings = decode_strings(decode_call(value).data)
    assert (uuid, central) == (ble.RESULT, "a")
    assert len(strings) % 3 == 0
    assert 3 < len(strings) < 60
    assert set(strings[2::3]) == {"NO"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x02\x00\x03", ErrorState.INVALID_PACKET),
        (encode_call(Call(Command.WIFI_SETTINGS)), ErrorState.INVALID_PACKET),
        (encode_call(Call(99)), ErrorState.UNKNOWN_COMMAND),
    ],
)
async def test_what_a_device_does_not_take(data: bytes, problem: ErrorState) -> None:
    async with device() as running:
        running.on.write("a", data)
        await running.told.reach(1)
        assert running.told.items == [error(problem)]
        running.on.write("a", encode_call(Call(Command.DEVICE_INFO)))
        await running.told.reach(3)
        (uuid, value, _) = running.told.items[2]
    assert uuid == ble.RESULT
    assert decode_strings(decode_call(value).data)[3] == "Lamp"


async def test_a_command_that_was_not_finished_is_forgotten_with_its_central() -> None:
    async with device() as running:
        running.on.write("a", encode_call(SETTINGS)[:10])
        running.on.left("a")
        running.on.write("a", encode_call(Call(Command.IDENTIFY)))
        running.on.write("a", encode_call(Call(Command.DEVICE_INFO)))
        await running.told.reach(1)
        assert running.told.items[0][0] == ble.RESULT
        assert running.identified == 1
