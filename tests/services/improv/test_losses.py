"""Provisioning where a line loses what either end says, from the first question to the result."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import CallTimeout, ChannelClosed
from jsonrpc_iot.protocol.improv.messages import Call, Command, State, encode_strings
from jsonrpc_iot.protocol.improv.serial import (
    call_packet,
    error_packet,
    result_packet,
    state_packet,
)
from jsonrpc_iot.services.improv import (
    DeviceInfo,
    ErrorState,
    Improv,
    ImprovClient,
    ImprovError,
    serve_line,
)
from jsonrpc_iot.services.wifi import SimulatedWifi, WifiState
from jsonrpc_iot.testing import LineFaults, VirtualSerial, virtual_serial_pair
from tests.services._wifi import HOME, KEY, NEVER, instant, pushes_of, reached
from tests.waiting import SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

INFO = DeviceInfo("lamp-firmware", "1.4.0", "ESP32-C3", "Lamp")
URLS = ["http://192.0.2.7/"]
SOON = 0.02  # seconds until the client asks again


class Losing(ByteStream):
    """A device's end of a line, which loses some of what goes over it.

    Args:
        stream: the end.
        lost: which of the packets that leave, from 0; or what such a packet has in it, for one.
        unheard: which of the pieces that come, from 0.
    """

    def __init__(
        self, stream: ByteStream, lost: Collection[int] | bytes = (), unheard: Collection[int] = ()
    ) -> None:
        self._stream = stream
        self._lost = lost
        self._unheard = unheard
        self.sent = self.received = 0

    async def send(self, item: bytes) -> None:
        self.sent += 1
        if not isinstance(self._lost, bytes):
            is_lost = self.sent - 1 in self._lost
        elif is_lost := self._lost in item:
            self._lost = ()
        if not is_lost:
            await self._stream.send(item)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while True:
            piece = await self._stream.receive(max_bytes)
            self.received += 1
            if self.received - 1 not in self._unheard:
                return piece

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def device(
    wifi: SimulatedWifi,
    lost: Collection[int] | bytes = (),
    unheard: Collection[int] = (),
    repeat_seconds: float = SOON,
) -> AsyncIterator[ImprovClient]:
    async with (
        virtual_serial_pair() as serial,
        Improv(wifi, INFO, lambda: URLS) as improv,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(serve_line, improv, Losing(serial.second, lost, unheard))
        yield ImprovClient(serial.first, repeat_seconds=repeat_seconds)
        tasks.cancel_scope.cancel()


# Of finding it: no error, its state. Of joining: no error, provisioning, provisioned, the result.
LOST = [[0], [1], [2, 3], [4], [5], [3, 4, 5], [*range(2, 12)]]


@pytest.mark.parametrize("lost", LOST)
async def test_whatever_the_device_says_is_lost(lost: list[int]) -> None:
    wifi = instant()
    pushes = pushes_of(wifi)
    async with device(wifi, lost) as client:
        assert await client.find() == (State.AUTHORIZED, [])
        assert await client.provision(HOME, KEY) == URLS
        assert await client.find() == (State.PROVISIONED, URLS)
    attempts = [status.state for status in pushes].count(WifiState.CONNECTING)
    assert attempts in (1, 2)  # an answer that is late on a busy machine may bring another one


@pytest.mark.parametrize("lost", LOST)
async def test_whatever_is_lost_of_a_failure(lost: list[int]) -> None:
    async with device(instant(), lost) as client:
        await client.find()
        with pytest.raises(ImprovError) as failure:
            await client.provision(HOME, "not the right key")
        assert failure.value.code == ErrorState.UNABLE_TO_CONNECT


@pytest.mark.parametrize("unheard", [[0], [1], [1, 2, 3], [0, 1, 3]])
async def test_whatever_the_client_says_is_lost(unheard: list[int]) -> None:
    async with device(instant(), unheard=unheard) as client:
        await client.find()
        assert await client.provision(HOME, KEY) == URLS


@pytest.mark.parametrize("lost", LOST)
async def test_a_device_that_is_on_that_network_already(lost: list[int]) -> None:
    """It says that it is on a network before it has heard of this one, which proves nothing."""
    wifi = instant()
    await wifi.connect(HOME, KEY)
    for unheard in ([], [1], [1, 2]):
        async with device(wifi, lost, unheard) as client:
            assert await client.find() == (State.PROVISIONED, URLS)
            assert await client.provision(HOME, KEY) == URLS
    async with device(wifi, unheard=[1, 2]) as client:
        await client.find()
        assert await client.provision("office-mesh", "meeting room 4") == URLS
    assert (await wifi.status()).ssid == "office-mesh"


END = result_packet(Call(Command.SCAN)).encode()


@pytest.mark.parametrize("lost", [INFO.firmware.encode(), END])
async def test_a_result_of_information_or_the_end_of_a_scan_is_lost(lost: bytes) -> None:
    async with device(instant(), lost) as client:
        assert await client.info() == INFO
        assert len(await client.scan()) == 6
        assert await client.info() == INFO


async def test_that_a_scan_has_holes_does_not_show() -> None:
    async with device(instant(), b"office-mesh", repeat_seconds=SECONDS) as client:
        assert len(await client.scan()) == 5


@pytest.mark.parametrize("seed", range(4))
async def test_bytes_are_lost_and_altered_both_ways(seed: int) -> None:
    faults = LineFaults(drop=0.006, insert=0.006, flip=0.006)
    async with (
        virtual_serial_pair(faults, seed=seed) as serial,
        Improv(instant(connect_time=0.01), INFO, lambda: URLS) as improv,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(serve_line, improv, serial.second)
        client = ImprovClient(serial.first, repeat_seconds=SOON)
        assert await client.find() == (State.AUTHORIZED, [])
        assert await client.info() == INFO
        assert await client.provision(HOME, KEY) == URLS
        assert await client.find() == (State.PROVISIONED, URLS)
        ways = serial.to_first.counts, serial.to_second.counts
        assert sum(each.dropped + each.inserted + each.flipped for each in ways) > 0
        tasks.cancel_scope.cancel()


async def test_commands_that_come_all_at_once_after_a_pause() -> None:
    """They wait behind what looks like a long packet; those that take no time are all answered."""
    asked = call_packet(Call(Command.REQUEST_STATE)).encode()
    told = state_packet(State.AUTHORIZED).encode()
    async with (
        virtual_serial_pair() as serial,
        Improv(instant(), INFO) as improv,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(serve_line, improv, serial.second)
        await serial.first.send(b"IMPROV\x01\x03\xc8" + 20 * asked)
        said = b""
        with anyio.fail_after(SECONDS):
            while said.count(told) < 20:
                said += await serial.first.receive()
        assert error_packet(ErrorState.UNKNOWN).encode() not in said
        tasks.cancel_scope.cancel()


async def test_a_device_that_has_no_urls_to_tell() -> None:
    """One that leaves the result out, against the standard, is on the network all the same."""
    said = [State.PROVISIONING, State.PROVISIONED]
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        tasks.start_soon(_say, serial, b"".join(state_packet(each).encode() for each in said))
        client = ImprovClient(serial.first, repeat_seconds=SOON)
        assert await client.provision(HOME, KEY) == []


async def test_urls_that_come_after_an_answer_without_any() -> None:
    online = state_packet(State.PROVISIONED).encode()
    none_yet = online + result_packet(Call(Command.REQUEST_STATE)).encode()
    urls = result_packet(Call(Command.WIFI_SETTINGS, encode_strings(URLS))).encode()
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        joined = state_packet(State.PROVISIONING).encode() + online
        tasks.start_soon(_say, serial, joined, none_yet, none_yet + urls)
        client = ImprovClient(serial.first, repeat_seconds=SOON)
        assert await client.provision(HOME, KEY) == URLS


async def test_a_device_that_never_has_a_whole_packet() -> None:
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        tasks.start_soon(_always_say, serial, error_packet(ErrorState.INVALID_PACKET).encode())
        client = ImprovClient(serial.first)
        for ask in (client.info, client.scan):
            with pytest.raises(ImprovError, match="Invalid packet"):
                await ask()
        with pytest.raises(ImprovError, match="Invalid packet"):
            await client.provision(HOME, KEY)
        tasks.cancel_scope.cancel()


async def test_a_line_that_is_unplugged_while_a_device_joins() -> None:
    """The client hears of it, and the device goes on."""
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    async with virtual_serial_pair() as serial, Improv(wifi, INFO) as improv:
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(serve_line, improv, serial.second)
                tasks.start_soon(_provision_in_vain, serial.first)
                await connecting.wait()
                await serial.unplug()
        assert improv.state is State.PROVISIONING


async def test_a_device_that_prints_and_knows_no_improv() -> None:
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        tasks.start_soon(_always_say, serial, b"I (42) IMPROV: \x01 never heard of it\r\n")
        client = ImprovClient(serial.first, repeat_seconds=SOON)
        with pytest.raises(CallTimeout, match="no Improv device answers"):
            await client.find(0.1)
        with pytest.raises(CallTimeout, match="whether it is on the network"):
            await client.provision(HOME, KEY, 0.1)
        tasks.cancel_scope.cancel()


async def test_an_answer_to_another_question_ends_nothing() -> None:
    others = result_packet(Call(Command.SCAN)).encode() + state_packet(State.AUTHORIZED).encode()
    async with virtual_serial_pair() as serial, anyio.create_task_group() as tasks:
        tasks.start_soon(_always_say, serial, others)
        with pytest.raises(CallTimeout):
            await ImprovClient(serial.first, repeat_seconds=SOON).provision(HOME, KEY, 0.1)
        tasks.cancel_scope.cancel()


async def _say(serial: VirtualSerial[ByteStream], *lines: bytes) -> None:
    for line in lines:
        await serial.second.receive()
        await serial.second.send(line)


async def _always_say(serial: VirtualSerial[ByteStream], line: bytes) -> None:
    while True:
        with anyio.move_on_after(0.005):
            await serial.second.receive()
        await serial.second.send(line)


async def _provision_in_vain(stream: ByteStream) -> None:
    with pytest.raises(ChannelClosed, match="line is gone"):
        await ImprovClient(stream).provision(HOME, KEY)
