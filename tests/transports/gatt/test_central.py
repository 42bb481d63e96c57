"""`gatt://` against devices that are not ours, some of them odd."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from bleak.exc import BleakError
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from jsonrpc_iot import (
    CallTimeout,
    ConnectFailed,
    ConnectTimeout,
    Dispatcher,
    InvalidUrl,
    MissingExtra,
    UsageError,
    connect,
    serve,
)
from jsonrpc_iot.testing import VirtualRadio, virtual_radio
from jsonrpc_iot.transports.gatt import RX, SERVICE, TX, ConnectOptions
from jsonrpc_iot.transports.gatt._scan import Backend
from tests.waiting import SECONDS

from .rig import COMMAND, NOTIFY, WRITE, Foreign, Part, channel_to, device, foreign_device

pytestmark = pytest.mark.anyio

OTHER_SERVICE = "0000180f-0000-1000-8000-00805f9b34fb"
OTHER = "00002a19-0000-1000-8000-00805f9b34fb"


class Answering:
    """Answers each request with its params."""

    def __init__(self, rx: str = RX) -> None:
        self.rx = rx
        self.send, self.todo = anyio.create_memory_object_stream[bytes](100)

    def write(self, connection: Connection, value: bytes) -> None:
        self.send.send_nowait(bytes(value))

    async def run(self, foreign: Foreign) -> None:
        with self.todo:
            async for message in self.todo:
                request = json.loads(message)
                reply = {"id": request["id"], "result": request.get("params")}
                await foreign.notify(self.rx, json.dumps(reply).encode())


async def call_foreign(
    radio: VirtualRadio,
    parts: list[tuple[str, Characteristic.Properties]],
    rx: str = RX,
    *,
    service: str = SERVICE,
    options: ConnectOptions | None = None,
    also: tuple[Service, ...] = (),
) -> bool:
    """Call a device that is made like that; says whether the channel was a reliable one."""
    answering = Answering(rx)
    with anyio.fail_after(SECONDS):
        async with (
            foreign_device(radio, answering.write, parts, service=service, also=also) as foreign,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(answering.run, foreign)
            async with (
                channel_to(radio, options=options or ConnectOptions()) as channel,
                connect(channel, extensions=False) as client,
            ):
                assert await client.call("echo", ["x" * 100]) == ["x" * 100]
                others = [each for uuid, each in foreign.characteristics.items() if uuid != rx]
                for other in (*others, *(each for one in also for each in one.characteristics)):
                    await foreign.notify_uncalled(other, b'{"id":2,"result":"wrong"}')
                assert await client.call("echo", [2]) == [2]
                reliable = client.info.reliable
            answering.send.close()
    return reliable


async def test_a_device_as_it_should_be(radio: VirtualRadio) -> None:
    assert await call_foreign(radio, [(TX, WRITE | COMMAND), (RX, NOTIFY), (OTHER, NOTIFY)])


@pytest.mark.parametrize(
    "junk", [b"", b"\0", b"\xff" * 220, b'{"id":1,"resu', b'{"id":77}', b"{" * 400, b"[]", b"null"]
)
async def test_a_device_that_notifies_junk(radio: VirtualRadio, junk: bytes) -> None:
    """It spoils one call at most."""
    answering = Answering()
    with anyio.fail_after(SECONDS):
        async with (
            foreign_device(radio, answering.write) as foreign,
            anyio.create_task_group() as tasks,
            connect(radio.url("lamp"), extensions=False) as client,
        ):
            await foreign.notify(RX, junk)
            tasks.start_soon(answering.run, foreign)
            for number in range(3):
                assert await client.call("echo", [number]) == [number]
            answering.send.close()


async def test_a_device_that_takes_commands_alone(radio: VirtualRadio) -> None:
    assert not await call_foreign(radio, [(TX, COMMAND), (RX, NOTIFY)])


async def test_swapped_characteristics(radio: VirtualRadio) -> None:
    assert await call_foreign(radio, [(TX, NOTIFY), (RX, WRITE)], TX)


async def test_one_characteristic_for_both(radio: VirtualRadio) -> None:
    assert await call_foreign(radio, [(TX, WRITE | NOTIFY)], TX)


async def test_characteristics_that_have_other_names(radio: VirtualRadio) -> None:
    assert await call_foreign(radio, [(OTHER, WRITE), ("2a1a", NOTIFY)], "2a1a")


async def test_uuids_of_the_users_choice(radio: VirtualRadio) -> None:
    parts = [("2a01", WRITE), ("2a02", WRITE), ("2a03", NOTIFY), ("2a04", NOTIFY)]
    options = ConnectOptions(service="180f", tx="2a02", rx="2a04")
    assert await call_foreign(radio, parts, "2a04", service="180f", options=options)


async def test_more_services_than_ours(radio: VirtualRadio) -> None:
    permissions = Characteristic.Permissions.READABLE
    also = Service("180f", [Characteristic(OTHER, NOTIFY, permissions, b"")])
    assert await call_foreign(radio, [(TX, WRITE), (RX, NOTIFY)], also=(also,))


@pytest.mark.parametrize("parts", [(), ((TX, COMMAND),), ((TX, WRITE), (RX, NOTIFY))])
async def test_a_service_that_is_there_twice(radio: VirtualRadio, parts: Sequence[Part]) -> None:
    """Whatever the first one, which may be one that was remembered, has in it."""
    permissions = Characteristic.Permissions.READABLE | Characteristic.Permissions.WRITEABLE
    old = Service(SERVICE, [Characteristic(uuid, can, permissions, b"") for uuid, can in parts])
    assert await call_foreign(radio, [(TX, WRITE), (RX, NOTIFY)], also=(old,))


@pytest.mark.parametrize(
    ("service", "parts", "words"),
    [
        ("180f", [(TX, WRITE)], [SERVICE, OTHER_SERVICE, "has no service"]),
        (SERVICE, [(TX, WRITE)], ["notifies", TX, "write"]),
        (SERVICE, [(RX, NOTIFY)], ["can be written", RX, "notify"]),
        (SERVICE, [], ["can be written", "none"]),
    ],
)
async def test_a_device_that_lacks_something_is_told_what_it_has(
    radio: VirtualRadio,
    service: str,
    parts: list[tuple[str, Characteristic.Properties]],
    words: list[str],
) -> None:
    with anyio.fail_after(SECONDS):
        async with foreign_device(radio, lambda *_: None, parts, service=service):
            with pytest.raises(ConnectFailed) as failed:
                async with connect(radio.url("lamp")):
                    pass
    for word in words:
        assert word in str(failed.value)


async def test_a_device_whose_handler_raises_costs_the_call_its_time(radio: VirtualRadio) -> None:
    """It answers no write then, for 30 s, but the caller gets an error in time."""

    def write(connection: Connection, value: bytes) -> None:
        raise RuntimeError("a bug in the device")

    with anyio.fail_after(SECONDS):
        async with (
            foreign_device(radio, write) as foreign,
            connect(radio.url("lamp"), timeout=0.3, extensions=False) as client,
        ):
            with pytest.raises(CallTimeout):
                await client.call("echo", [1])
            (connection,) = foreign.device.connections.values()
            await connection.disconnect()


async def test_a_name_of_another_device_is_not_enough(radio: VirtualRadio) -> None:
    async with serve(device(), radio.url("lamp"), radio.url("other"), grace=0.1):
        with pytest.raises(ConnectTimeout, match=r"heard only lamp, other"):
            async with connect(radio.url("la"), connect_timeout=2):
                pass


async def test_an_absent_device_takes_no_longer_than_the_caller_waits(radio: VirtualRadio) -> None:
    for url in (radio.url("nobody"), radio.url(address="F0:F1:F2:F3:F4:F5")):
        started = anyio.current_time()
        with pytest.raises(ConnectTimeout, match="heard no device"):
            async with connect(url, connect_timeout=0.5):
                pass
        assert anyio.current_time() - started < 1.5


async def test_a_device_that_vanishes_before_it_is_connected_to(radio: VirtualRadio) -> None:
    async with foreign_device(radio, lambda *_: None) as foreign:

        def change(backend: Backend) -> Backend:
            client = backend.client
            assert client is not None

            class Late(client):  # type: ignore[misc, valid-type]
                async def connect(self, pair: bool, **rest: object) -> None:
                    await foreign.device.stop_advertising()
                    await super().connect(pair, **rest)

            return Backend(backend.scanner, Late)

        started = anyio.current_time()
        with anyio.move_on_after(0.7) as scope, pytest.raises(ConnectFailed):
            async with channel_to(radio, change=change):
                pass
        assert scope.cancelled_caught or anyio.current_time() - started < 1.5
        assert anyio.current_time() - started < 3


@pytest.mark.parametrize("address", ["F0:F1:F2:F3:F4:F5", "f0:f1:f2:f3:f4:f5"])
async def test_by_address(radio: VirtualRadio, address: str) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            serve(device(), radio.url("lamp", address="F0:F1:F2:F3:F4:F5"), grace=0.1),
            connect(radio.url(address=address)) as client,
        ):
            assert await client.call("echo", [1]) == 1


async def test_names_with_spaces_and_letters(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with serve(device(), radio.url("Küche & Bad?"), grace=0.1) as server:
            assert server.urls == [radio.url("Küche & Bad?")]
            async with connect(server.urls[0]) as client:
                assert await client.call("echo", [1]) == 1


@pytest.mark.parametrize("write", ["request", "command"])
async def test_an_mtu_that_is_not_true(radio: VirtualRadio, write: Any) -> None:
    """Bleak reports the smallest one, right after a reconnect and on BlueZ for good."""

    def change(backend: Backend) -> Backend:
        client = backend.client
        assert client is not None

        class Lying(client):  # type: ignore[misc, valid-type]
            mtu_size = 23

            async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
                assert response or len(data) <= 20
                await super().write_gatt_char(characteristic, data, response)

        return Backend(backend.scanner, Lying)

    with anyio.fail_after(SECONDS):
        async with (
            serve(device(), radio.url("lamp"), grace=0.1),
            channel_to(radio, change=change, options=ConnectOptions(write=write)) as channel,
            connect(channel) as client,
        ):
            assert client.info.max_message == 220
            assert await client.call("echo", ["x" * 150]) == "x" * 150


async def test_without_bluetooth(radio: VirtualRadio) -> None:
    def change(backend: Backend) -> Backend:
        scanner = backend.scanner
        assert scanner is not None

        class Absent(scanner):  # type: ignore[misc, valid-type]
            async def start(self) -> None:
                raise BleakError("no adapter")

        return Backend(Absent, backend.client)

    with pytest.raises(ConnectFailed, match="no Bluetooth to scan with: no adapter"):
        async with channel_to(radio, change=change):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "gatt://",
        "gatt://lamp/path",
        "gatt://lamp?max=0",
        "gatt://lamp?max=513",
        "gatt://lamp?service=lamp",
        "gatt://lamp?write=both",
        "gatt+bumble://",
        "gatt+bumble://usb:0",
        "gatt+bumble://usb:0?name=lamp&adapter=hci0",
        "gatt+bumble://?name=lamp",
    ],
)
async def test_urls_that_make_no_sense(url: str) -> None:
    with pytest.raises(InvalidUrl):
        async with connect(url):
            pass


async def test_transports_that_are_not_there() -> None:
    for place in ("unix:/nowhere/radio.sock", "nonsense:0", "usb:FFFF:FFFF", "hci-socket:99"):
        with pytest.raises(ConnectFailed, match="bumble cannot open"):
            async with connect(f"gatt+bumble://{place}?name=x"):
                pass


async def test_a_name_that_is_too_long_to_advertise(radio: VirtualRadio) -> None:
    with pytest.raises(InvalidUrl, match="29"):
        async with serve(Dispatcher(), radio.url("x" * 30)):
            pass


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("bleak", "gatt://lamp", "gatt"),
        ("bleak", "gatt+bumble://unix:/x?name=lamp", "bumble"),
        ("bumble", "gatt+bumble://unix:/x?name=lamp", "bumble"),
    ],
)
async def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, url: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"jsonrpc-iot\[{extra}\]"):
        async with connect(url):
            pass


async def test_a_radio_without_bumble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jsonrpc_iot.testing._controllers", raising=False)
    monkeypatch.setitem(sys.modules, "bumble.controller", None)
    with pytest.raises(MissingExtra, match=r"jsonrpc-iot\[bumble\]"):
        async with virtual_radio():
            pass


async def test_a_path_that_is_too_long_for_a_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio:
            assert radio.transport.startswith("tcp-client:127.0.0.1:")
            async with (
                serve(device(), radio.url("lamp"), grace=0.1) as server,
                connect(server.urls[0]) as client,
            ):
                assert await client.call("echo", [1]) == 1


def test_trio_is_refused() -> None:
    async def use() -> None:
        for url in ("gatt://lamp", "gatt+bumble://unix:/x?name=lamp"):
            with pytest.raises(UsageError, match="asyncio, not on trio"):
                async with connect(url):
                    pass
            with pytest.raises(UsageError, match="asyncio, not on trio"):
                async with serve(Dispatcher(), url):
                    pass
        with pytest.raises(UsageError, match="asyncio, not on trio"):
            async with virtual_radio():
                pass

    anyio.run(use, backend="trio")
