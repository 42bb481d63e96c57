"""Serving over BlueZ: messages of all sizes and kinds, and more of them than there is room for."""

import json
import sys

import anyio
import anyio.lowlevel
import pytest
from dbus_fast import DBusError, Variant

from jsonrpc_iot import Limits
from jsonrpc_iot.transports.gatt import RX, TX
from tests.rig import Device

from .fake_bluez import FakeBluez
from .fake_link import Link
from .rig import URL, call, join, request, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="BlueZ is Linux's"),
]


@pytest.mark.parametrize("mtu", [25, 185, 223, 224, 225, 226, 247, 517])
async def test_nothing_is_truncated(fake: FakeBluez, link: Link, mtu: int) -> None:
    link.mtu = mtu
    largest = min(220, mtu - 5)
    async with serving() as server:
        await join(link)
        for size in (0, largest - len('{"id":1,"result":""}')):
            assert await call(link, 1, "big", size) == {"id": 1, "result": "x" * size}
        (peer,) = server.peers
        assert peer.info.max_message == largest
        await link.write(request(2, "big", size + 1))
        if mtu == 25:  # where not even the error fits, there is none
            assert await call(link, 3, "echo", 3) == {"id": 3, "result": 3}
        else:
            (heard,) = await link.hear()
            assert json.loads(heard)["error"]["code"] == -32001
        assert server.broadcast("on", ["x" * 220]) == 0
        assert server.broadcast("on") == 1
        assert json.loads((await link.hear())[0])["method"] == "on"


async def test_what_is_larger_goes_in_segments(fake: FakeBluez, link: Link) -> None:
    link.mtu = 100
    async with serving(url=f"{URL}&segment=1") as server:
        assert server.urls == ["gatt://lamp?segment=1"]
        await join(link)
        assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}
        await link.write(request(2, "big", 500))
        count = 7
        heard = await link.hear(count)
        assert max(map(len, heard)) == 95
        assert all(each.startswith(b"~") and each[6:9] == b"%03x" % count for each in heard)
        text = b"".join(each[9:] for each in heard)
        assert json.loads(text) == {"id": 2, "result": "x" * 500}


async def test_an_mtu_that_is_agreed_on_after_subscribing(fake: FakeBluez, link: Link) -> None:
    link.mtu = 23
    async with serving() as server:
        await join(link)
        link.mtu = 247
        assert await call(link, 1, "echo", "x" * 190) == {"id": 1, "result": "x" * 190}
        (peer,) = server.peers
        assert peer.info.max_message == 220


@pytest.mark.parametrize(("kind", "reliable"), [("request", True), ("command", False)])
async def test_how_a_central_writes_says_what_may_be_lost(
    fake: FakeBluez, link: Link, kind: str, reliable: bool
) -> None:
    async with serving() as server:
        await join(link)
        assert await call(link, 1, "echo", 1, kind=kind) == {"id": 1, "result": 1}
        (peer,) = server.peers
        assert peer.info.reliable is reliable
        assert peer.info.transport == "gatt"
        assert peer.info.local == "gatt://lamp"
        assert peer.info.peer == f"gatt://{link.address}"


async def test_a_central_that_never_reads_costs_little_and_is_sent_away(fake: FakeBluez) -> None:
    deaf, other = fake.links
    deaf.reads = False
    device = Device(Limits(queue_bytes=2000, send_seconds=0.3))
    async with serving(device, f"{URL}&centrals=2") as server:
        for link in (deaf, other):
            await join(link)
            await link.write(request(1, "echo", 1))
        await other.hear()
        taken = 0
        while deaf.is_connected:
            taken += server.broadcast("on", ["x" * 150]) - 1  # the other one's
            assert await call(other, 2, "echo", 2) == {"id": 2, "result": 2}
        deaf.heard.clear()
        deaf.reads = True
        await join(deaf)
        assert await call(deaf, 3, "echo", 3) == {"id": 3, "result": 3}
        assert len(server.peers) == 2
        assert 0 < taken < 500  # what the socket's buffer holds


async def test_a_central_that_leaves_while_much_waits_for_it(fake: FakeBluez, link: Link) -> None:
    link.reads = False
    device = Device(Limits(queue_bytes=2000))
    async with serving(device) as server:
        await join(link)
        await link.write(request(1, "hold"))
        await device.began.reach(1)
        while server.broadcast("on", ["x" * 150]):
            await anyio.lowlevel.checkpoint()
        link.drop()
        await device.cancelled.reach(1)
        while (
            server.peers
        ):  # until then it may still be told to leave; on the air it comes back later
            await anyio.lowlevel.checkpoint()
        link.reads = True
        await join(link)
        assert await call(link, 2, "echo", 2) == {"id": 2, "result": 2}
        assert len(server.peers) == 1


async def test_writes_before_the_subscription_are_answered_after(
    fake: FakeBluez, link: Link
) -> None:
    device = Device()
    async with serving(device) as server:
        await link.connect()
        await link.write(b'{"method":"hold.note","params":[1]}')
        await link.write(request(1, "echo", 1))
        await device.began.reach(1)
        await link.subscribe()
        (late,) = await link.hear()
        assert json.loads(late) == {"id": 1, "result": 1}
        assert await call(link, 2, "echo", 2) == {"id": 2, "result": 2}
        assert len(server.peers) == 1
        device.gate.set()


@pytest.mark.parametrize("junk", [b"", b"\0", b"\xff" * 220, bytes(range(220)), b"{" * 100])
async def test_empty_writes_and_junk_do_no_harm(fake: FakeBluez, link: Link, junk: bytes) -> None:
    async with serving():
        await join(link)
        for kind in ("request", "command"):
            await link.write(junk, kind)
            assert json.loads((await link.hear())[0])["error"]["code"] == -32700
        assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}


async def test_odd_calls_of_bluetoothd(fake: FakeBluez, link: Link) -> None:
    async with serving():
        await join(link)
        tx, _ = fake.characteristic("write")
        rx, _ = fake.characteristic("notify")
        await link.write(request(1, "echo", 1), prepare_authorize=Variant("b", True))
        with pytest.raises(DBusError):
            await link.write(request(1, "echo", 1), offset=Variant("q", 2))
        for path, member, signature, *body in (
            (tx, "WriteValue", "aya{sv}", b"[]", {}),
            (tx, "WriteValue", "ay", b"[]"),
            (tx, "ReadValue", "a{sv}", {}),
            (rx, "AcquireNotify", "a{sv}", {}),
            (rx, "AcquireNotify", ""),
            (rx, "WriteValue", "aya{sv}", b"[]", {}),
        ):
            with pytest.raises(DBusError):
                await fake.call_app(path, str(member), str(signature), *body)
        assert await call(link, 2, "echo", 2) == {"id": 2, "result": 2}
        assert not link.heard


async def test_the_properties_are_there_to_be_read(fake: FakeBluez) -> None:
    async with serving():
        tx, properties = fake.characteristic("write")
        assert await fake.get_property(tx, "UUID") == properties["UUID"] == TX
        for call in (
            fake.get_property(tx, "Value"),
            fake.get_property(tx, "UUID", interface="org.bluez.Nothing"),
            fake.set_property(tx, "UUID", Variant("s", RX)),
        ):
            with pytest.raises(DBusError):
                await call


async def test_a_flood_of_writes_is_bounded(fake: FakeBluez, link: Link) -> None:
    """More than there is room for is refused, and the rest is handled."""
    device = Device(Limits(in_flight=4))
    async with serving(device) as server:
        await join(link)
        refused: list[str] = []
        for id in range(400):
            try:
                await link.write(request(id, "hold", id))
            except DBusError as error:
                refused.append(error.type)
        assert set(refused) == {"org.bluez.Error.InProgress"}
        assert len(refused) < 400 - 256
        assert len(device.began.items) <= 4
        device.gate.set()
        heard = await link.hear(400 - len(refused))
        assert len({json.loads(each)["id"] for each in heard}) == 400 - len(refused)
        assert len(server.peers) == 1


async def test_options(fake: FakeBluez, link: Link) -> None:
    service, tx, rx = (
        f"0000{digits}-0000-1000-8000-00805f9b34fb" for digits in ("fff0", "fff1", "fff2")
    )
    url = "gatt://?name=Lamp%20%C3%BC&service=fff0&tx=FFF1&rx=0000fff2&max=100&adapter=hci0"
    async with serving(url=url) as server:
        assert server.urls == [f"gatt://Lamp%20%C3%BC?service={service}&tx={tx}&rx={rx}"]
        advertised = await fake.until_advertised()
        assert advertised["LocalName"] == "Lamp ü"
        assert advertised["ServiceUUIDs"] == [service]
        assert fake.characteristic("write")[1]["UUID"] == tx
        assert fake.characteristic("notify")[1]["UUID"] == rx
        await join(link)
        assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}
        assert server.peers[0].info.max_message == 100
