"""RPC and Improv on one serial line, at both ends: neither is in the other's way."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import msgspec
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import ChannelClosed, Dispatcher, UsageError, connect, serve
from jsonrpc_iot.protocol.improv.messages import Call, Command, State, WifiSettings
from jsonrpc_iot.protocol.improv.serial import (
    LineDecoder,
    Packet,
    PacketType,
    call_packet,
    state_packet,
)
from jsonrpc_iot.protocol.tuya.frame import encode_frame
from jsonrpc_iot.services.improv import (
    DeviceInfo,
    Improv,
    ImprovClient,
    open_client,
    serve_line,
    share_port,
)
from jsonrpc_iot.services.wifi import WifiState
from jsonrpc_iot.testing import VirtualSerial, virtual_serial_pair
from jsonrpc_iot.tuya import DataPoint, DataPointType, TuyaLink, TuyaMcu, TuyaModule
from tests.services._wifi import HOME, KEY, NEVER, instant, reached
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

on_one_loop = pytest.mark.only_on("asyncio")

INFO = DeviceInfo("lamp-firmware", "1.4.0", "ESP32-C3", "Lamp")
URLS = ["http://192.0.2.7/"]

ASK_STATE = call_packet(Call(Command.REQUEST_STATE)).encode()
OTHER_KEY = call_packet(Call(Command.WIFI_SETTINGS, WifiSettings(HOME, "a wild guess").encode()))
SETTINGS = call_packet(Call(Command.WIFI_SETTINGS, WifiSettings(HOME, KEY).encode()))
AUTHORIZED = state_packet(State.AUTHORIZED)


def adding(id: int) -> bytes:
    """A call of `add`, and the answer is the id."""
    return encode_frame(0xFE, b'{"method":"add","params":[%d,0],"id":%d}' % (id, id))


ADD = adding(7)


def lamp() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("add")(lambda a, b: a + b)
    return dispatcher


class Raw(NamedTuple):
    """A device on a line, and the bytes of its other end."""

    serial: VirtualSerial[ByteStream]
    link: TuyaLink

    async def answers(self, ids: set[int], states: int) -> None:
        """Wait until the device has answered these calls, and told its state so often."""
        decoder = LineDecoder()
        answered: set[int] = set()
        told: list[Packet] = []
        with anyio.fail_after(SECONDS):
            while answered != ids or len(told) < states:
                for frame in decoder.feed(await self.serial.first.receive(), 0.0):
                    answer = msgspec.json.decode(frame.data)
                    assert answer["result"] == answer["id"]
                    answered.add(answer["id"])
                packets = decoder.take_packets()
                told += [each for each in packets if each.type == PacketType.STATE]
        assert told == [AUTHORIZED] * states


@asynccontextmanager
async def device() -> AsyncIterator[Raw]:
    async with (
        virtual_serial_pair() as serial,
        Improv(instant(), INFO, lambda: URLS) as improv,
        TuyaLink(serial.second) as link,
        serve(lamp(), link.rpc_channel()),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(serve_line, improv, link)
        yield Raw(serial, link)
        tasks.cancel_scope.cancel()


async def test_a_device_is_called_and_set_up_on_one_line() -> None:
    async with device() as raw, TuyaLink(raw.serial.first) as link:
        improv = ImprovClient(link)
        async with connect(link.rpc_channel()) as client:
            assert await client.call("add", [1, 2]) == 3
            assert await improv.find() == (State.AUTHORIZED, [])
            assert len(await improv.scan()) == 6
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(client.call, "add", [number, 1])
                assert await improv.provision(HOME, KEY) == URLS
            assert await client.call("add", [1, 2]) == 3
        assert await improv.info() == INFO
        assert raw.link.decoder.bad_checksums == 0


async def test_a_tuya_product_is_set_up_on_its_line() -> None:
    """DataPoints, RPC and Improv at once."""
    switch = DataPoint(1, DataPointType.BOOL, True)
    async with (
        virtual_serial_pair() as serial,
        Improv(instant(), INFO, lambda: URLS) as improv,
        TuyaMcu(serial.second, "lamp") as mcu,
        TuyaModule(serial.first) as module,
        serve(lamp(), mcu.rpc_channel()),
        connect(module.rpc_channel()) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(serve_line, improv, mcu)
        reported = anyio.Event()
        module.on_datapoint(1)(lambda point: reported.set())
        with anyio.fail_after(SECONDS):
            await module.wait_online()
            assert await ImprovClient(module).provision(HOME, KEY) == URLS
            await mcu.report(switch)
            await reported.wait()
            assert await client.call("add", [1, 2]) == 3
        tasks.cancel_scope.cancel()


@on_one_loop
@pytest.mark.parametrize("size", [1, 3, 4096])
async def test_both_kinds_come_in_pieces_beside_noise(size: int) -> None:
    line = b"".join(
        (
            b"I (311) wifi: IMPROV\r\n",
            adding(1),
            ASK_STATE,
            adding(2)[:-1] + b"\0",  # a wrong checksum
            b"I",
            adding(3),
            ASK_STATE[:-2] + b"\0\n",  # likewise
            ASK_STATE[:-1],  # without a newline
            adding(4),
            ASK_STATE[:9],  # cut
            adding(5),
            adding(6) * 2,
            ASK_STATE * 2,
            adding(7)[:5],  # cut
            ASK_STATE,
        )
    )
    async with device() as raw:
        for at in range(0, len(line), size):
            await raw.serial.first.send(line[at : at + size])
        await raw.answers({1, 3, 4, 5, 6}, states=5)
        decoder = raw.link.decoder
        assert decoder.bad_checksums > 0
        assert decoder.noise_bytes > 0


@on_one_loop
async def test_what_a_message_carries_is_no_packet() -> None:
    async with device() as raw:
        await raw.serial.first.send(encode_frame(0xFD, SETTINGS.encode()) + ASK_STATE + ADD)
        await raw.answers({7}, states=1)
        async with TuyaLink(raw.serial.first) as link:
            assert await ImprovClient(link).find() == (State.AUTHORIZED, [])


@on_one_loop
async def test_a_device_that_prints_all_the_time() -> None:
    """Its text is noise at the other end, and nothing is lost by it."""
    text = b"I (42) IMPROV: still here, \x1b[0;32mIMPRO\x1b[0m, UUU\r\n"
    async with device() as raw, anyio.create_task_group() as tasks:

        async def chatter() -> None:
            while True:
                await raw.link.line.send_frame(text)
                await anyio.sleep(0.001)

        tasks.start_soon(chatter)
        async with TuyaLink(raw.serial.first) as link, connect(link.rpc_channel()) as client:
            improv = ImprovClient(link)
            for number in range(10):
                assert await client.call("add", [number, 1]) == number + 1
                assert await improv.info() == INFO
            assert await improv.provision(HOME, KEY) == URLS
            assert link.decoder.noise_bytes > len(text)
        tasks.cancel_scope.cancel()


@on_one_loop
async def test_who_comes_while_others_read_gets_the_very_next_packet() -> None:
    async with virtual_serial_pair() as serial, TuyaLink(serial.second) as link:
        await anyio.wait_all_tasks_blocked()  # the link reads
        async with Improv(instant(), INFO) as improv, anyio.create_task_group() as tasks:
            tasks.start_soon(serve_line, improv, link)
            await anyio.wait_all_tasks_blocked()
            assert await ImprovClient(serial.first, repeat_seconds=SECONDS).info() == INFO
            tasks.cancel_scope.cancel()


@on_one_loop
async def test_an_adapter_is_unplugged_and_comes_back() -> None:
    """Both are there again, at one port; a client that waits for its network hears of the end."""
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(paths=True) as serial:
            url = f"uart://{serial.second}"
            wifi = instant(connect_time=NEVER)
            connecting = reached(wifi, WifiState.CONNECTING)
            async with (
                Improv(wifi, INFO, lambda: URLS) as improv,
                serve(lamp(), url, transports={url: share_port(improv)}) as server,
            ):
                assert server.urls == [url]
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_provision_in_vain, f"uart://{serial.first}")
                    await connecting.wait()
                    await serial.replug()
                async with TuyaLink(f"uart://{serial.first}") as link:
                    assert await ImprovClient(link).find() == (State.PROVISIONING, [])
                    async with connect(link.rpc_channel()) as client:
                        assert await client.call("add", [1, 2]) == 3


@on_one_loop
async def test_a_transport_is_for_a_url_that_is_served() -> None:
    port = share_port(Improv(instant(), INFO))
    for url, problem in (("memory://lamp", "no serial port"), ("uart+pty://", "uart\\+pty:///")):
        with pytest.raises(UsageError, match=problem):
            async with serve(lamp(), url, transports={url.replace("pty://", "pty:///"): port}):
                pass


async def _provision_in_vain(url: str) -> None:
    with pytest.raises(ChannelClosed, match="is gone"):
        async with open_client(url) as client:
            await client.provision(HOME, KEY)


@on_one_loop
async def test_no_trace_and_no_log_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    """Not in a packet that is spoilt either, whose bytes are noise."""
    caplog.set_level(logging.DEBUG)
    shown: list[bytes] = []

    def trace(direction: str, message: bytes) -> None:
        shown.append(message)

    spoilt = SETTINGS.encode().replace(b"IMPROV", b"IMPROW")
    cut = SETTINGS.encode()[:-4]
    async with (
        virtual_serial_pair() as serial,
        Improv(instant(), INFO) as improv,
        TuyaLink(serial.second) as link,
        serve(lamp(), link.rpc_channel(), trace=trace),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(serve_line, improv, link)
        await anyio.wait_all_tasks_blocked()
        await serial.first.send(OTHER_KEY.encode())
        await eventually(lambda: "no connection" in caplog.text)
        for line in (spoilt, cut, SETTINGS.encode(), ADD):
            await serial.first.send(line)
        await eventually(lambda: any(b'"result"' in each for each in shown))
        tasks.cancel_scope.cancel()
    everything = b"".join(shown)
    assert HOME.encode() in everything
    assert b"***" in everything
    assert ADD in shown
    for text in (everything, caplog.text.encode()):
        assert b"correct" not in text
        assert b"guess" not in text
