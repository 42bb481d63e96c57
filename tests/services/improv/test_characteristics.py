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
from jsonrpc_iot.services.improv import DeviceInfo, Improv, Names
from jsonrpc_iot.services.improv.characteristics import Characteristics
from jsonrpc_iot.services.wifi import SimulatedNetwork, SimulatedWifi, WifiState
from tests.services._wifi import HOME, KEY, NEVER, instant, on_virtual_time, pushes_of, reached
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
        self.fails = False
        self.named: list[str] = []

    def publish(self, uuid: str, value: bytes, central: Hashable | None) -> None:
        self.told.add((uuid, value, central))

    def identify(self) -> None:
        if self.fails:
            raise OSError("the light is broken")
        self.identified += 1

    async def take_name(self, name: str) -> None:
        if name == "taken":
            raise ValueError(name)
        self.named.append(name)


class Running(Device):
    """With its characteristics."""

    improv: Improv
    on: Characteristics


@asynccontextmanager
async def device(
    wifi: SimulatedWifi | None = None,
    *,
    wants_button: bool = False,
    seconds: float = 60,
    names: bool = False,
) -> AsyncIterator[Running]:
    running = Running()
    take = running.take_name
    async with (
        Improv(
            wifi or instant(),
            INFO,
            lambda: URLS,
            identify=running.identify,
            names=Names("lamp", "Lamp", set_hostname=take, set_name=take) if names else None,
            wants_button=wants_button,
            authorized_seconds=seconds,
        ) as running.improv,
        anyio.create_task_group() as tasks,
    ):
        running.on = Characteristics(running.improv, running.publish)
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
            running.on.write(ble.CALL, "a", encoded[at : at + 20])
        await running.told.reach(3)
        result = encode_call(Call(Command.WIFI_SETTINGS, encode_strings(URLS)))
        assert running.told.items == [
            state(State.PROVISIONING),
            state(State.PROVISIONED),
            (ble.RESULT, result, "a"),
        ]
        assert running.on.read(ble.RESULT, "a") == result
        assert running.on.read(ble.STATE, "a") == running.on.advertised[1][:1] == b"\x04"
        assert running.on.read(ble.ERROR, "a") == b"\0"
        assert running.on.read(ble.CAPABILITIES, "a") == b"\x07"
        assert running.on.read(ble.CALL, "a") == b""


async def test_a_button_has_to_be_pressed() -> None:
    async with device(wants_button=True, seconds=0.02) as running:
        running.on.write(ble.CALL, "a", encode_call(SETTINGS))
        await running.told.reach(1)
        assert running.told.items == [error(ErrorState.NOT_AUTHORIZED)]
        assert running.on.advertised[1] == b"\x01\x07\0\0\0\0"
        running.improv.authorize()
        running.improv.authorize()
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
        running.on.write(ble.CALL, "a", encode_call(other))
        await running.told.reach(1)
        assert running.told.items == [error(ErrorState.NOT_AUTHORIZED)]
        assert (await wifi.status()).ssid == HOME
        running.improv.authorize()
        running.on.write(ble.CALL, "a", encode_call(other))
        await running.told.reach(5)
        assert (await wifi.status()).ssid == "coffee-corner"


async def test_nobody_keeps_a_device_open_by_wrong_keys() -> None:
    async with device(wants_button=True, seconds=0.04) as running:
        running.improv.authorize()
        wrong = Call(Command.WIFI_SETTINGS, WifiSettings(HOME, "not the right key").encode())
        with anyio.fail_after(10):
            while running.on.state is not State.AUTHORIZATION_REQUIRED:
                running.on.write(ble.CALL, "a", encode_call(wrong))
                await anyio.sleep(0.01)
        running.on.write(ble.CALL, "a", encode_call(SETTINGS))
        await anyio.wait_all_tasks_blocked()
        assert running.told.items[-1] == error(ErrorState.NOT_AUTHORIZED)


async def test_after_a_wrong_key_the_time_starts_over() -> None:
    async with device(wants_button=True) as running:
        running.improv.authorize()
        wrong = Call(Command.WIFI_SETTINGS, WifiSettings(HOME, "not the right key").encode())
        running.on.write(ble.CALL, "a", encode_call(wrong))
        await running.told.reach(4)
        assert running.told.items[1:] == [
            state(State.PROVISIONING),
            state(State.AUTHORIZED),
            error(ErrorState.UNABLE_TO_CONNECT),
        ]
        running.on.write(ble.CALL, "a", encode_call(SETTINGS))
        await running.told.reach(8)
        assert error(ErrorState.NONE) in running.told.items[4:]
        assert state(State.PROVISIONED) in running.told.items[4:]


async def test_two_phones_write_at_once() -> None:
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    async with device(wifi) as running:
        one = encode_call(SETTINGS)
        other = encode_call(Call(Command.WIFI_SETTINGS, WifiSettings("office-mesh").encode()))
        running.on.write(ble.CALL, "a", one[:10])
        running.on.write(ble.CALL, "b", other[:10])
        running.on.write(ble.CALL, "a", one[10:])
        with anyio.fail_after(SECONDS):
            await connecting.wait()
        running.on.write(ble.CALL, "b", other[10:])
        await running.told.reach(2)
        assert running.told.items == [state(State.PROVISIONING), error(ErrorState.UNKNOWN, "b")]


async def test_a_scan_is_one_result_of_whole_networks() -> None:
    networks = tuple(
        SimulatedNetwork(f"network-{n}-{'x' * 20}", f"02:5e:10:00:24:{n:02}", 6, -50)
        for n in range(20)
    )
    async with device(instant(networks=networks)) as running:
        running.on.write(ble.CALL, "a", encode_call(Call(Command.SCAN)))
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
        running.on.write(ble.CALL, "a", data)
        await running.told.reach(1)
        assert running.told.items == [error(problem)]
        running.on.write(ble.CALL, "a", encode_call(Call(Command.DEVICE_INFO)))
        await running.told.reach(3)
        (uuid, value, _) = running.told.items[2]
    assert uuid == ble.RESULT
    assert decode_strings(decode_call(value).data)[3] == "Lamp"


async def test_a_command_that_was_not_finished_is_forgotten_with_its_central() -> None:
    async with device() as running:
        running.on.write(ble.CALL, "a", encode_call(SETTINGS)[:10])
        running.on.left("a")
        running.on.write(ble.CALL, "a", encode_call(Call(Command.IDENTIFY)))
        running.on.write(ble.CALL, "a", encode_call(Call(Command.DEVICE_INFO)))
        await running.told.reach(1)
        assert running.told.items[0][0] == ble.RESULT
        assert running.identified == 1


def test_a_command_that_is_not_finished_is_forgotten_after_5_seconds() -> None:
    begun, rest = encode_call(SETTINGS)[:10], encode_call(SETTINGS)[10:]
    whole = encode_call(Call(Command.DEVICE_INFO))

    async def main() -> None:
        async with device() as running:
            running.on.write(ble.CALL, "a", begun)
            await anyio.sleep(4.9)
            running.on.write(ble.CALL, "a", rest[:5])
            await anyio.sleep(4.9)
            running.on.write(ble.CALL, "a", rest[5:])
            await running.told.reach(3)
            assert running.told.items[1] == state(State.PROVISIONED)
            running.on.write(ble.CALL, "a", begun)
            await anyio.sleep(5)
            running.on.write(ble.CALL, "a", whole)
            await running.told.reach(4)
            assert running.told.items[3][0] == ble.RESULT
            assert running.told.items[3][1][0] == Command.DEVICE_INFO

    on_virtual_time(main)


async def test_a_packet_that_comes_twice_or_cut_or_spoilt() -> None:
    encoded = encode_call(SETTINGS)
    spoilt = encoded[:-1] + bytes((encoded[-1] ^ 1,))
    wifi = instant(connect_time=0.01)
    pushes = pushes_of(wifi)
    async with device(wifi) as running:
        running.on.write(ble.CALL, "a", spoilt)
        await running.told.reach(1)
        assert running.told.items == [error(ErrorState.INVALID_PACKET)]
        running.on.write(ble.CALL, "a", encoded)
        running.on.write(ble.CALL, "a", encoded)
        await running.told.reach(6)
        assert [each[0] for each in running.told.items].count(ble.RESULT) == 2
        running.on.write(ble.CALL, "a", encoded + encoded[:3])
        await running.told.reach(7)
        assert running.told.items[6] == error(ErrorState.INVALID_PACKET)
    assert [each.state for each in pushes].count(WifiState.CONNECTING) == 1


async def test_each_central_reads_its_own_errors_and_results() -> None:
    async with device() as running:
        running.on.write(ble.CALL, "a", encode_call(Call(Command.DEVICE_INFO)))
        running.on.write(ble.CALL, "b", encode_call(Call(99)))
        await running.told.reach(2)
        assert running.on.read(ble.RESULT, "a")[0] == Command.DEVICE_INFO
        assert running.on.read(ble.ERROR, "a") == b"\0"
        assert running.on.read(ble.RESULT, "b") == running.on.read(ble.RESULT, "c") == b""
        assert running.on.read(ble.ERROR, "b") == bytes((ErrorState.UNKNOWN_COMMAND,))


async def test_a_central_that_vanishes_in_the_middle() -> None:
    wifi = instant(connect_time=0.01)
    connected = reached(wifi, WifiState.CONNECTED)
    async with device(wifi) as running:
        running.on.write(ble.CALL, "a", encode_call(SETTINGS))
        running.on.left("a")
        with anyio.fail_after(SECONDS):
            await connected.wait()
        await running.told.reach(2)
        assert [each[0] for each in running.told.items] == [ble.STATE] * 2
        assert running.on.read(ble.RESULT, "a") == b""


async def test_identifying_that_fails_or_cannot_be() -> None:
    identify = encode_call(Call(Command.IDENTIFY))
    async with device() as running:
        running.fails = True
        running.on.write(ble.CALL, "a", identify)
        await running.told.reach(1)
        assert running.told.items == [error(ErrorState.UNKNOWN)]
        running.fails = False
        running.on.write(ble.CALL, "a", identify)
        await running.told.reach(2)
        assert running.told.items[1] == error(ErrorState.NONE)
        assert running.identified == 1
    async with Improv(instant(), INFO) as improv:
        on = Characteristics(improv, running.publish)
        assert on.read(ble.CAPABILITIES, "a") == on.advertised[1][1:2] == b"\x06"


async def test_names_are_asked_for_and_set() -> None:
    async with device(names=True) as running:
        calls = [
            Call(Command.HOSTNAME),
            Call(Command.HOSTNAME, b"lamp-2"),
            Call(Command.HOSTNAME, b"\x06lamp-3"),  # as Home Assistant's client has it
            Call(Command.DEVICE_NAME, "Küche".encode()),
            Call(Command.DEVICE_NAME),
        ]
        for number, call in enumerate(calls, 1):
            running.on.write(ble.CALL, "a", encode_call(call))
            await running.told.reach(number)
        results = [decode_strings(decode_call(value).data) for _, value, _ in running.told.items]
        assert results == [["lamp"], ["lamp-2"], ["lamp-3"], ["Küche"], ["Küche"]]
        assert running.improv.info.name == "Küche"
        assert running.named == ["lamp-2", "lamp-3", "Küche"]
        assert running.on.read(ble.CAPABILITIES, "a") == b"\x0f"


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (Call(Command.HOSTNAME, b"-lamp"), ErrorState.BAD_HOSTNAME),
        (Call(Command.HOSTNAME, b"lamp.example"), ErrorState.BAD_HOSTNAME),
        (Call(Command.HOSTNAME, b"x" * 64), ErrorState.BAD_HOSTNAME),
        (Call(Command.HOSTNAME, b"taken"), ErrorState.BAD_HOSTNAME),
        (Call(Command.HOSTNAME, b"\xff"), ErrorState.INVALID_PACKET),
        (Call(Command.DEVICE_NAME, b"taken"), ErrorState.UNKNOWN),
        (Call(Command.DEVICE_NAME, b"\xff"), ErrorState.INVALID_PACKET),
    ],
)
async def test_names_that_a_device_does_not_take(call: Call, problem: ErrorState) -> None:
    async with device(names=True) as running:
        running.on.write(ble.CALL, "a", encode_call(call))
        await running.told.reach(1)
        assert running.told.items == [error(problem)]
        assert running.improv.info.name == "Lamp"


async def test_a_name_is_set_once_the_button_was_pressed() -> None:
    async with device(names=True, wants_button=True) as running:
        for _ in range(2):
            running.on.write(ble.CALL, "a", encode_call(Call(Command.DEVICE_NAME, b"Hall")))
            await running.told.reach(1)
            running.improv.authorize()
        await running.told.reach(4)
        assert running.told.items[0] == error(ErrorState.NOT_AUTHORIZED)
        assert running.improv.info.name == "Hall"


async def test_who_has_missed_the_answer_says_it_again() -> None:
    wifi = instant()
    pushes = pushes_of(wifi)
    other_key = Call(Command.WIFI_SETTINGS, WifiSettings(HOME, "another key").encode())
    async with device(wifi) as running:
        running.on.write(ble.CALL, "a", encode_call(SETTINGS))
        running.on.left("a")
        await running.told.reach(2)
        assert running.told.items[1] == state(State.PROVISIONED)
        running.on.write(ble.CALL, "b", encode_call(other_key))
        await running.told.reach(3)
        assert running.told.items[2] == error(ErrorState.NOT_AUTHORIZED, "b")
        running.on.write(ble.CALL, "b", encode_call(SETTINGS))
        await running.told.reach(7)
        assert running.told.items[-1][0] == ble.RESULT
        assert pushes[-1].ssid == HOME
        await wifi.connect("coffee-corner")
        before = len(running.told.items)
        running.on.write(ble.CALL, "b", encode_call(SETTINGS))
        await running.told.reach(before + 1)
        assert running.told.items[-1] == error(ErrorState.NOT_AUTHORIZED, "b")
