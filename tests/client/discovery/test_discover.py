"""`discover` in a program: an iterator that goes on until it is closed."""

from contextlib import aclosing
from typing import Any, cast

import anyio
import pytest

from jsonrpc_iot import ConnectFailed, Dispatcher, Found, InvalidUrl, UsageError, discover, serve
from jsonrpc_iot.client.discovery import Via, udp, usual_ways
from jsonrpc_iot.client.discovery.ble import BleWay
from jsonrpc_iot.services import System
from jsonrpc_iot.testing import virtual_radio
from jsonrpc_iot.transports.gatt import HeardDevice
from tests.leaks import open_sockets
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


def lamp(name: str = "lamp") -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.include(System(name))
    return dispatcher


async def test_a_device_that_is_switched_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "_PAUSE_SECONDS", 0.02)
    async with serve(lamp("early"), "udp://127.0.0.1:0") as early:
        async with serve(lamp("late"), "udp://127.0.0.1:0") as late:
            (url,) = late.urls
        targets = [each.urls[0].removeprefix("udp://") for each in (early, late)]
        with anyio.fail_after(SECONDS):
            async with aclosing(discover("udp", targets=targets)) as devices:
                first = await anext(devices)
                async with serve(lamp("late"), url):
                    second = await anext(devices)

    assert (first.url, first.name, first.via) == (early.urls[0], "early", "udp")
    assert (second.url, second.name, second.info["error"]) == (url, "late", None)
    assert second.info["round_trip_ms"] > 0


async def test_nothing_is_left_of_one_that_is_stopped() -> None:
    before = open_sockets()
    async with serve(lamp(), "udp://127.0.0.1:0") as server:
        target = server.urls[0].removeprefix("udp://")
        found: list[Found] = []
        with anyio.move_on_after(SECONDS) as scope:  # once it has found one, soon
            async for device in discover("udp", targets=[target]):
                found.append(device)
                scope.deadline = anyio.current_time() + 0.05
        devices = discover("udp", targets=[target])
        async for device in devices:
            found.append(device)
            break
        await devices.aclose()

    assert len(found) == 2
    assert scope.cancelled_caught
    assert open_sockets() <= before


async def test_what_nobody_can_look_for() -> None:
    with pytest.raises(UsageError, match="'smell' is no way to look: udp, serial, ble or mdns"):
        await anext(discover(cast(Via, "smell")))
    with pytest.raises(InvalidUrl, match="HOST or HOST:PORT"):
        await anext(discover(targets=["tcp://127.0.0.1"]))
    with pytest.raises(ConnectFailed):
        await anext(discover("udp", targets=["lamp.invalid"]))


async def test_the_usual_ways() -> None:
    assert usual_ways()[:2] == ("udp", "serial")


@pytest.mark.only_on("asyncio")
async def test_a_device_that_advertises() -> None:
    async with virtual_radio() as radio:
        address = "F0:F1:F2:F3:F4:F5"
        async with serve(Dispatcher(), radio.url("lamp", address=address), grace=0):
            with anyio.fail_after(SECONDS):
                async with aclosing(
                    discover("ble", radio=f"gatt+bumble://{radio.transport}")
                ) as devices:
                    async for device in devices:
                        if device.name is not None:
                            break
    assert (device.url, device.name, device.via) == (radio.url(address=address), "lamp", "ble")
    assert device.info["rssi"] < 0


def test_a_name_that_comes_later_is_told() -> None:
    heard: list[Any] = []
    way = BleWay("gatt://")
    for address, name in (("a", None), ("b", None), ("a", "lamp"), ("b", None), ("b", None)):
        way._hear(heard.append, HeardDevice(url="gatt://", address=address, name=name, rssi=-50))
    for name in (None, "lamp", "light"):
        way._hear(heard.append, HeardDevice(url="gatt://", address="a", name=name, rssi=-50))

    assert [each.name for each in heard] == ["lamp", None, "light"]
