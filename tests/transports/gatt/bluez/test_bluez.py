"""Serving over BlueZ: links come and go, and so do bluetoothd, D-Bus and the adapter.

bleak's real backend is the central where its part matters.
"""

import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from bleak import BleakScanner
from dbus_fast import DBusError, Variant

from jsonrpc_iot.transports.gatt import RX, SERVICE, TX
from jsonrpc_iot.transports.gatt.bluez import registration
from tests.rig import Device
from tests.waiting import SECONDS

from .fake_bluez import FakeBluez, dbus_daemon
from .fake_link import ADAPTER, Link
from .rig import URL, Central, call, join, request, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="BlueZ is Linux's"),
]


async def test_bleak_scans_connects_subscribes_and_calls(fake: FakeBluez, link: Link) -> None:
    async with serving() as server:
        assert server.urls == ["gatt://lamp"]
        found = await BleakScanner.find_device_by_filter(
            lambda device, advertisement: SERVICE in advertisement.service_uuids, timeout=SECONDS
        )
        assert found
        assert found.name == "lamp"
        async with Central.at(link) as central:
            service = central.client.services.get_service(SERVICE)
            assert service
            assert {each.uuid: set(each.properties) for each in service.characteristics} == {
                TX: {"write", "write-without-response"},
                RX: {"notify"},
            }
            for id, with_response in enumerate((True, False) * 10):
                reply = await central.ask(id, "echo", "x" * 150, response=with_response)
                assert reply == {"id": id, "result": "x" * 150}
            assert len(server.peers) == 1
            assert server.broadcast("lamp.on", [1]) == 1
            assert (await central.receive())["method"] == "lamp.on"
        await central.gone.wait()


async def test_two_centrals_hear_only_what_is_theirs(fake: FakeBluez) -> None:
    async with (
        serving(url=f"{URL}&centrals=2") as server,
        Central.at(fake.links[0]) as one,
        Central.at(fake.links[1]) as other,
    ):
        for id in range(5):
            assert await one.ask(id, "echo", "one") == {"id": id, "result": "one"}
            assert await other.ask(id, "echo", "other") == {"id": id, "result": "other"}
        assert len({peer.info.peer for peer in server.peers}) == 2
        server.broadcast("lamp.on")
        for central in (one, other):
            assert (await central.receive())["method"] == "lamp.on"


async def test_a_second_central_is_sent_away(fake: FakeBluez) -> None:
    first, second = fake.links
    async with serving() as server:
        await join(first)
        assert await call(first, 1, "echo", 1) == {"id": 1, "result": 1}
        await join(second)
        await second.until(connected=False)
        await second.connect()
        with pytest.raises(DBusError):
            await second.write(request(1, "echo", 1))
        await second.until(connected=False)
        assert await call(first, 2, "echo", 2) == {"id": 2, "result": 2}
        assert [peer.info.peer for peer in server.peers] == [f"gatt://{first.address}"]
        first.drop()
        await join(second)
        assert await call(second, 3, "echo", 3) == {"id": 3, "result": 3}


async def test_a_link_that_is_lost_in_the_middle_of_a_call(fake: FakeBluez, link: Link) -> None:
    device = Device()
    async with serving(device) as server:
        async with Central.at(link) as central:
            await central.client.write_gatt_char(TX, request(1, "hold"), True)
            await device.began.reach(1)
            link.drop()
            await central.gone.wait()
            await device.cancelled.reach(1)
        assert not server.peers
        async with Central.at(link) as central:
            assert await central.ask(2, "echo", 2) == {"id": 2, "result": 2}


async def test_the_end_gives_all_back(fake: FakeBluez, link: Link) -> None:
    async with serving():
        await join(link)
        assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}
        assert fake.app
        assert fake.advertised
    assert not link.is_connected
    assert not fake.app
    assert not fake.advertised
    ends = [each for each in fake.calls if each.startswith("Unregister") or each == "Disconnect"]
    assert ends == ["Disconnect", "UnregisterAdvertisement", "UnregisterApplication"]


async def test_bluetoothd_is_restarted(system_bus: None) -> None:
    device = Device()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(FakeBluez().running())
        async with serving(device) as server:
            (link,) = first.links
            await join(link)
            await link.write(request(1, "hold"))
            await device.began.reach(1)
            await stack.aclose()
            await device.cancelled.reach(1)
            assert not server.peers
            for _ in range(2):
                async with FakeBluez().running() as later:
                    await later.until_advertised()
                    (link,) = later.links
                    await join(link)
                    assert await call(link, 2, "echo", 2) == {"id": 2, "result": 2}


async def test_the_system_bus_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    async with AsyncExitStack() as first_bus, AsyncExitStack() as first_bluez:
        await first_bus.enter_async_context(dbus_daemon(tmp_path))
        await first_bluez.enter_async_context(FakeBluez().running())
        async with serving() as server:
            await first_bus.aclose()
            await first_bluez.aclose()
            assert not server.peers
            async with dbus_daemon(tmp_path), FakeBluez().running() as fake:
                await fake.until_advertised()
                (link,) = fake.links
                await join(link)
                assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}


async def test_the_adapter_is_unplugged_and_comes_back(
    fake: FakeBluez, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("_FIRST_PAUSE_SECONDS", "_LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(registration, pause, 60.0)
    async with serving() as server:
        await join(link)
        assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}
        interfaces = fake.unplug()
        await fake.until_called("GetManagedObjects")  # which finds none
        fake.plug(interfaces | {"org.bluez.Adapter1": {"Powered": Variant("b", False)}})
        await fake.until_called("GetManagedObjects")
        fake.change(ADAPTER, "org.bluez.Adapter1", Powered=Variant("b", True))
        await fake.until_advertised()
        await join(link)
        assert await call(link, 2, "echo", 2) == {"id": 2, "result": 2}
        assert len(server.peers) == 1


async def test_an_advertisement_that_is_released_is_registered_again(fake: FakeBluez) -> None:
    async with serving():
        await fake.release()
        await fake.until_advertised()
        ends = [each for each in fake.calls if each.startswith("Unregister")]
        assert ends == ["UnregisterApplication"]  # the advertisement is gone already


async def test_a_socket_that_hangs_up_while_the_central_stays(fake: FakeBluez, link: Link) -> None:
    async with serving():
        await join(link)
        assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}
        link.hang_up()
        await link.until(connected=False)
        await join(link)
        assert await call(link, 2, "echo", 2) == {"id": 2, "result": 2}


async def test_a_central_that_subscribes_anew_stays(fake: FakeBluez, link: Link) -> None:
    async with serving() as server:
        await join(link)
        assert await call(link, 1, "echo", 1) == {"id": 1, "result": 1}
        link.hang_up()
        for _ in range(3):  # by which time it is known
            await link.write(b'{"method":"nothing"}')
        assert link.is_connected
        await link.subscribe()
        await link.subscribe()
        for id in range(2, 5):
            assert await call(link, id, "echo", id) == {"id": id, "result": id}
        assert len(server.peers) == 1
        assert "Disconnect" not in fake.calls


async def test_a_central_that_was_there_before_us_comes_anew(fake: FakeBluez, link: Link) -> None:
    await link.connect()
    fake.links[1].is_connected = True
    for each in fake.links:
        fake.show_device(each, {"LocalName": "lamp", "ServiceUUIDs": [SERVICE]})
    async with serving(url=f"{URL}&centrals=2"):
        await link.write(request(1, "echo", 1))
        await link.until(connected=False)
        await join(link)
        assert await call(link, 2, "echo", 2) == {"id": 2, "result": 2}
        second = fake.links[1]
        await second.subscribe()
        assert await call(second, 3, "echo", 3) == {"id": 3, "result": 3}
        assert second.is_connected
