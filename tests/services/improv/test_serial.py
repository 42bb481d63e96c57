"""Improv on a serial line: a device over the simulated Wi-Fi, and clients of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import CallTimeout, ChannelClosed, MalformedResponse, UsageError
from jsonrpc_iot.protocol.improv.messages import Call, Command, WifiSettings, encode_strings
from jsonrpc_iot.protocol.improv.serial import (
    LineDecoder,
    Packet,
    PacketType,
    call_packet,
    error_packet,
    result_packet,
    state_packet,
)
from jsonrpc_iot.protocol.tuya.frame import encode_frame
from jsonrpc_iot.services.improv import (
    DeviceInfo,
    ErrorState,
    Improv,
    ImprovClient,
    ImprovError,
    Names,
    State,
    serve_line,
)
from jsonrpc_iot.services.wifi import SimulatedNetwork, SimulatedWifi, WifiState
from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair
from tests.services._wifi import HOME, KEY, NEVER, instant, pushes_of, reached
from tests.waiting import SECONDS, Tally

pytestmark = pytest.mark.anyio

on_one_loop = pytest.mark.only_on("asyncio")

INFO = DeviceInfo("lamp-firmware", "1.4.0", "ESP32-C3", "Lamp")
URLS = ["http://192.0.2.7/", "tcp://192.0.2.7:8805"]


class Line(NamedTuple):
    """A line with a device at its far end, a client at this one."""

    client: ImprovClient
    serial: VirtualSerial[ByteStream]

    async def next_packets(self, count: int) -> list[Packet]:
        """What the device sends, for tests that look closer than the client does."""
        decoder = LineDecoder()
        found: list[Packet] = []
        with anyio.fail_after(SECONDS):
            while len(found) < count:
                decoder.feed(await self.serial.first.receive(), 0.0)
                found += decoder.take_packets()
        return found


@asynccontextmanager
async def line_to(improv: Improv, repeat_seconds: float = 1.0) -> AsyncIterator[Line]:
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        tasks.start_soon(serve_line, improv, serial.second)
        yield Line(ImprovClient(serial.first, repeat_seconds=repeat_seconds), serial)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def device(
    wifi: SimulatedWifi | None = None, seconds: float = 25, repeat_seconds: float = 1.0
) -> AsyncIterator[Line]:
    wifi = wifi or instant()
    async with (
        Improv(wifi, INFO, lambda: URLS, connect_seconds=seconds) as improv,
        line_to(improv, repeat_seconds) as line,
    ):
        yield line


async def test_a_device_is_set_up() -> None:
    wifi = instant()
    async with device(wifi) as line:
        assert await line.client.find() == (State.AUTHORIZED, [])
        assert await line.client.info() == INFO
        assert await line.client.provision(HOME, KEY) == URLS
        assert (await wifi.status()).ssid == HOME
        assert await line.client.find() == (State.PROVISIONED, URLS)


@on_one_loop
async def test_a_scan_lists_each_name_once() -> None:
    async with device() as line:
        found = await line.client.scan()
    names = [each.ssid for each in found]
    assert len(names) == len(set(names)) == 6
    assert {"office-mesh", "caf\ufffd"} <= set(names)
    assert [each.rssi for each in found] == sorted((each.rssi for each in found), reverse=True)
    assert [each.ssid for each in found if not each.has_key] == ["coffee-corner"]


@on_one_loop
async def test_a_scan_without_networks() -> None:
    nameless = SimulatedNetwork("\0" * 32, "02:5e:10:00:24:01", 6, -46)
    async with device(instant(networks=(nameless,))) as line:
        assert await line.client.scan() == []


@on_one_loop
@pytest.mark.parametrize(
    ("ssid", "key"), [(HOME, "not the right key"), (HOME, ""), ("nowhere", KEY)]
)
async def test_a_network_that_is_not_to_be_had(ssid: str, key: str) -> None:
    async with device() as line:
        with pytest.raises(ImprovError, match="Unable to connect") as failure:
            await line.client.provision(ssid, key)
        assert failure.value.code == ErrorState.UNABLE_TO_CONNECT
        assert await line.client.find() == (State.AUTHORIZED, [])
        assert await line.client.provision(HOME, KEY) == URLS


@on_one_loop
async def test_an_attempt_that_takes_too_long_has_failed() -> None:
    async with device(instant(connect_time=NEVER), seconds=0.01) as line:
        with pytest.raises(ImprovError, match="Unable to connect"):
            await line.client.provision(HOME, KEY)
        assert await line.client.find() == (State.AUTHORIZED, [])


@on_one_loop
async def test_a_device_without_a_radio() -> None:
    async with device(instant(hardware=False)) as line:
        assert await line.client.find() == (State.AUTHORIZED, [])
        with pytest.raises(ImprovError, match="Unknown error"):
            await line.client.scan()
        with pytest.raises(ImprovError, match="Unable to connect"):
            await line.client.provision(HOME, KEY)


@on_one_loop
async def test_a_network_that_is_left_otherwise_shows() -> None:
    wifi = instant()
    await wifi.connect(HOME, KEY)
    async with device(wifi) as line:
        assert await line.client.find() == (State.PROVISIONED, URLS)
        await wifi.disconnect()
        assert await line.client.find() == (State.AUTHORIZED, [])


async def test_two_clients_at_once() -> None:
    """One waits for its attempt, the other is refused, unless it says the same."""
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    outcomes = Tally()

    async def provision(client: ImprovClient, ssid: str) -> None:
        try:
            outcomes.add(await client.provision(ssid, KEY))
        except ImprovError as error:
            outcomes.add(error.code)

    async with (
        Improv(wifi, INFO, lambda: URLS) as improv,
        line_to(improv) as one,
        line_to(improv) as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(provision, one.client, HOME)
        with anyio.fail_after(SECONDS):
            await connecting.wait()
        assert await other.client.find() == (State.PROVISIONING, [])
        with pytest.raises(ImprovError, match="Unknown error"):
            await other.client.provision("office-mesh", "meeting room 4")
        with pytest.raises(ImprovError, match="Unknown error"):
            await other.client.scan()
        tasks.start_soon(provision, other.client, HOME)
        await anyio.wait_all_tasks_blocked()
        await wifi.disconnect()
        await outcomes.reach(2)
    assert set(outcomes.items) == {ErrorState.UNABLE_TO_CONNECT}


async def test_an_attempt_goes_on_when_its_client_is_gone() -> None:
    wifi = instant(connect_time=0.01)
    connecting, connected = (
        reached(wifi, state) for state in (WifiState.CONNECTING, WifiState.CONNECTED)
    )
    async with Improv(wifi, INFO) as improv:
        async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
            tasks.start_soon(serve_line, improv, serial.second)
            settings = WifiSettings(HOME, KEY)
            packet = call_packet(Call(Command.WIFI_SETTINGS, settings.encode()))
            await serial.first.send(packet.encode())
            with anyio.fail_after(SECONDS):
                await connecting.wait()
            await serial.unplug()
        with anyio.fail_after(SECONDS):
            await connected.wait()


@on_one_loop
async def test_settings_that_come_twice_are_one_attempt() -> None:
    wifi = instant(connect_time=0.01)
    pushes = pushes_of(wifi)
    async with device(wifi) as line:
        settings = call_packet(Call(Command.WIFI_SETTINGS, WifiSettings(HOME, KEY).encode()))
        await line.serial.first.send(settings.encode() * 2)
        found = await line.next_packets(6)
        assert [each.type for each in found].count(PacketType.RESULT) == 2
    assert [status.state for status in pushes].count(WifiState.CONNECTING) == 1


@on_one_loop
async def test_a_line_that_spoils_bytes() -> None:
    async with device(repeat_seconds=0.02) as line:
        line.serial.to_second.faults = LineFaults(drop=0.01, insert=0.01, flip=0.01)
        assert await line.client.find() == (State.AUTHORIZED, [])
        assert await line.client.info() == INFO
        assert await line.client.provision(HOME, KEY) == URLS
        assert line.serial.to_second.counts.dropped + line.serial.to_second.counts.flipped > 0


@on_one_loop
async def test_the_order_of_packets() -> None:
    async with device() as line:
        settings = call_packet(Call(Command.WIFI_SETTINGS, WifiSettings(HOME, KEY).encode()))
        await line.serial.first.send(settings.encode())
        assert await line.next_packets(4) == [
            error_packet(ErrorState.NONE),
            state_packet(State.PROVISIONING),
            state_packet(State.PROVISIONED),
            result_packet(Call(Command.WIFI_SETTINGS, encode_strings(URLS))),
        ]
        await line.serial.first.send(call_packet(Call(Command.NETWORK_STATE)).encode())
        assert await line.next_packets(2) == [
            error_packet(ErrorState.NONE),
            result_packet(Call(Command.NETWORK_STATE, encode_strings(["3", *URLS]))),
        ]


@on_one_loop
async def test_names_are_asked_for_and_set() -> None:
    async def take(name: str) -> None:
        pass

    names = Names("lamp", "Lamp", set_hostname=take, set_name=take)
    async with Improv(instant(), INFO, names=names) as improv, line_to(improv) as line:
        for call, answer in (
            (Call(Command.HOSTNAME), "lamp"),
            (Call(Command.HOSTNAME, b"lamp-2"), "lamp-2"),
            (Call(Command.DEVICE_NAME, b"Hall"), "Hall"),
        ):
            await line.serial.first.send(call_packet(call).encode())
            assert await line.next_packets(2) == [
                error_packet(ErrorState.NONE),
                result_packet(Call(call.command, encode_strings([answer]))),
            ]
        assert (await line.client.info()).name == "Hall"


GOOD = call_packet(Call(Command.DEVICE_INFO)).encode()


@on_one_loop
@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (call_packet(Call(99)).encode(), ErrorState.UNKNOWN_COMMAND),
        (call_packet(Call(Command.HOSTNAME)).encode(), ErrorState.UNKNOWN_COMMAND),
        (call_packet(Call(Command.WIFI_SETTINGS)).encode(), ErrorState.INVALID_PACKET),
        (call_packet(Call(Command.WIFI_SETTINGS, b"\x09a")).encode(), ErrorState.INVALID_PACKET),
        (Packet(PacketType.CALL, b"\x01").encode(), ErrorState.INVALID_PACKET),
        (GOOD[:-2] + b"\0\n", ErrorState.INVALID_PACKET),
    ],
)
async def test_what_a_device_does_not_take(sent: bytes, error: ErrorState) -> None:
    async with device() as line:
        await line.serial.first.send(sent)
        found = await line.next_packets(1)
        if found == [error_packet(ErrorState.NONE)]:
            found = await line.next_packets(1)
        assert found == [error_packet(error)]
        assert await line.client.info() == INFO


@on_one_loop
async def test_an_echo_and_other_traffic_do_no_harm() -> None:
    async with device() as line:
        frame = encode_frame(0xFE, b'{"method":"rpc.ping","id":1}')
        for each in (state_packet(State.PROVISIONED), error_packet(ErrorState.UNKNOWN)):
            await line.serial.first.send(b"log: IMPRO\r\n" + frame + each.encode() + frame)
        assert await line.client.find() == (State.AUTHORIZED, [])


@on_one_loop
async def test_more_commands_than_a_device_answers_at_once() -> None:
    async with device(SimulatedWifi(scan_time=NEVER)) as line:
        await line.serial.first.send(call_packet(Call(Command.SCAN)).encode() * 9)
        assert (await line.next_packets(9))[8:] == [error_packet(ErrorState.UNKNOWN)]


@on_one_loop
async def test_a_cut_packet_is_sent_again() -> None:
    async with device(repeat_seconds=0.05) as line:
        line.serial.to_second.is_cut = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(line.client.info)
            while not line.serial.to_second.counts.lost:  # noqa: ASYNC110  # there is no event
                await anyio.sleep(0.001)
            line.serial.to_second.is_cut = False


@on_one_loop
async def test_a_device_that_says_nothing() -> None:
    async with virtual_serial_pair() as serial:
        client = ImprovClient(serial.first)
        with pytest.raises(CallTimeout, match=r"^no Improv device answers, in 0.01 s$"):
            await client.find(0.01)
        await serial.unplug()
        with pytest.raises(ChannelClosed, match="line is gone"):
            await client.info()


@on_one_loop
@pytest.mark.parametrize(
    ("command", "answer", "problem"),
    [
        (Command.DEVICE_INFO, encode_strings(["a", "b"]), "2 strings"),
        (Command.DEVICE_INFO, b"\x05a", "cut short"),
        (Command.DEVICE_INFO, b"\x01\xff", "no UTF-8"),
        (Command.SCAN, encode_strings(["a", "loud", "NO"]), "no name, strength"),
        (Command.SCAN, encode_strings(["a"]), "no name, strength"),
    ],
)
async def test_answers_that_make_no_sense(command: Command, answer: bytes, problem: str) -> None:
    async with virtual_serial_pair() as serial:
        client = ImprovClient(serial.first)
        results = [result_packet(Call(command, data)) for data in (answer, b"")]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_answer, serial.second, results)
            with pytest.raises(MalformedResponse, match=problem):
                await (client.info if command is Command.DEVICE_INFO else client.scan)()


@on_one_loop
async def test_a_state_that_there_is_not() -> None:
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        tasks.start_soon(_answer, serial.second, [Packet(PacketType.STATE, b"\x07")])
        with pytest.raises(MalformedResponse, match="no state 7"):
            await ImprovClient(serial.first).find()


async def _answer(stream: ByteStream, packets: list[Packet]) -> None:
    await stream.receive()
    for packet in packets:
        await stream.send(packet.encode())


@on_one_loop
async def test_results_of_other_commands_are_not_taken_for_the_answer() -> None:
    strings = encode_strings(["lamp-firmware", "1.4.0", "ESP32-C3", "Lamp", "os", "2"])
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        others = [Call(Command.SCAN), Call(Command.DEVICE_INFO, strings)]
        tasks.start_soon(_answer, serial.second, [result_packet(each) for each in others])
        assert await ImprovClient(serial.first).info() == INFO


@on_one_loop
@pytest.mark.parametrize(
    ("ssid", "key"),
    [
        ("", ""),
        ("ä" * 17, ""),
        (HOME, "short"),
        (HOME, "x" * 64),
        ("\ud800", ""),
        (HOME, "\U00010000" * 60),
    ],
)
async def test_what_no_network_has(ssid: str, key: str) -> None:
    async with virtual_serial_pair() as serial:
        with pytest.raises(UsageError) as refused:
            await ImprovClient(serial.first).provision(ssid, key)
    assert not key or key not in str(refused.value)


@on_one_loop
async def test_a_result_without_a_state_is_no_answer() -> None:
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        result = result_packet(Call(Command.REQUEST_STATE))
        tasks.start_soon(_answer, serial.second, [result, state_packet(State.AUTHORIZED)])
        assert await ImprovClient(serial.first).find() == (State.AUTHORIZED, [])
