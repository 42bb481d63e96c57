"""Entities appear at a real broker, are switched, follow, go offline and away."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from msgspec import Struct

from jsonrpc_iot import Dispatcher, Event, Gateway, InvalidUrl, UsageError, method, serve, service
from jsonrpc_iot.gateway.homeassistant import Fan, HomeAssistant, Light, Look, Switch
from jsonrpc_iot.gateway.homeassistant.entities import key_of
from jsonrpc_iot.tuya import DataPoint, DataPointType, Point, TuyaDevice
from tests.brokers import mosquitto, new_mosquitto
from tests.gateway.rig import anywhere
from tests.tuya.test_device import Lamp
from tests.waiting import SECONDS, Tally

from .home import Home, at_home

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


class Level(Struct):
    level: int
    on: bool
    watts: float
    label: str = ""


@service("lamp")
class Service:
    """A lamp that says what it does."""

    changed = Event[Level]()
    secret = Event[Level](requires="admin")

    def __init__(self) -> None:
        self.calls = Tally()
        self.now = Level(20, False, 1.5)

    def _change(self, what: str, **members: Any) -> None:
        for name, value in members.items():
            setattr(self.now, name, value)
        self.changed.emit(self.now)
        self.calls.add((what, *members.values()))

    @method
    def set_on(self, on: bool) -> None:
        self._change("set_on", on=on)

    @method(entity=Switch(state="lamp.changed.level", name="Night light", icon="mdi:lamp"))
    def night(self, on: bool) -> None:
        self._change("night", level=5 if on else 0)

    @method(button=True)
    def reset(self) -> None:
        self.calls.add(("reset",))

    @method(requires="admin")
    def erase(self, on: bool) -> None:
        raise AssertionError("nobody may")


@asynccontextmanager
async def shown(
    gateway: Gateway, *, at: str | None = None, **options: Any
) -> AsyncIterator[tuple[Home, HomeAssistant]]:
    """A gateway that is shown, and somebody who looks."""
    url = at or mosquitto().url()
    prefix = "ha" + key_of(url)[-8:]
    with anyio.fail_after(3 * SECONDS):
        async with (
            gateway,
            at_home(url, prefix) as home,
            HomeAssistant(gateway, url, prefix, **options) as publisher,
        ):
            yield home, publisher


@asynccontextmanager
async def device(service: Service | None = None) -> AsyncIterator[tuple[Service, str]]:
    dispatcher, service = Dispatcher(title="Lamp", version="2.1"), service or Service()
    dispatcher.include(service)
    async with serve(dispatcher, anywhere()) as server:
        yield service, server.urls[0]


async def test_entities_appear_are_switched_follow_and_go_away() -> None:
    gateway = Gateway()
    async with device() as (lamp, url), shown(gateway) as (home, _):
        gateway.add("kitchen", url)
        night = await home.entity("kitchen", "Night light")
        assert (night["platform"], night["icon"]) == ("switch", "mdi:lamp")
        await home.until(lambda: home.is_available("kitchen"))
        made = home.devices()["kitchen"]
        assert made["device"]["model"] == "Lamp"
        assert made["device"]["sw_version"] == "2.1"
        platforms = {name: each["platform"] for name, each in made["components"].items()}
        assert platforms == {
            "Night light": "switch",
            "Lamp set on": "switch",
            "Lamp watts": "sensor",
            "Lamp reset": "button",
        }

        await home.command(night, "ON")
        await home.state(night, "ON")
        await home.state(made["components"]["Lamp watts"], "1.5")
        await home.command(made["components"]["Lamp set on"], "ON")
        await home.state(made["components"]["Lamp set on"], "ON")
        await home.command(made["components"]["Lamp reset"], "PRESS")
        await home.command(night, "perhaps")
        await home.command(night, "OFF")
        await home.state(night, "OFF")
        assert lamp.calls.items == [("night", 5), ("set_on", True), ("reset",), ("night", 0)]

        gateway.remove("kitchen")
        await home.until(lambda: list(home.topics.values()) == ["online"])  # the gateway itself


TUYA: dict[int, str | Point] = {
    1: Point("switch", entity=Light(brightness="brightness")),
    2: Point("brightness", min=10, max=1000),
    3: Point("mode", values=["white", "colour"]),
    4: Point("timer", min=0, max=60, unit="min"),
    5: Point("fault", kind="bitmap", read_only=True),
    6: Point("motion", kind="bool", read_only=True),
    7: Point("blower", kind="bool", entity=Fan(speed="speed")),
    8: Point("speed", min=1, max=4),
    9: Point("raw", kind="raw"),
    10: "child_lock",
}
VALUES = [
    DataPoint(1, DataPointType.BOOL, True),
    DataPoint(2, DataPointType.VALUE, 500),
    DataPoint(3, DataPointType.ENUM, 1),
    DataPoint(4, DataPointType.VALUE, 5),
    DataPoint(5, DataPointType.BITMAP, 2),
    DataPoint(6, DataPointType.BOOL, False),
    DataPoint(7, DataPointType.BOOL, False),
    DataPoint(8, DataPointType.VALUE, 3),
    DataPoint(9, DataPointType.RAW, b"x"),
    DataPoint(10, DataPointType.BOOL, False),
]


async def test_tuya_points_are_entities_of_their_kinds_with_their_values() -> None:
    lamp = Lamp(*VALUES)
    for id in TUYA:
        lamp.mcu.on_datapoint(id)(lamp._take)
    gateway = Gateway()
    looks = {"lamp": Look("Kitchen lamp", "Kitchen", "mdi:lamp")}
    async with lamp.mcu, shown(gateway, looks=looks) as (home, publisher):
        gateway.add("lamp", TuyaDevice(lamp.url, TUYA))
        light = await home.entity("Kitchen lamp", "Switch")
        made = home.devices()["Kitchen lamp"]
        assert made["device"]["suggested_area"] == "Kitchen"
        entities = made["components"]
        assert {name: each["platform"] for name, each in entities.items()} == {
            "Switch": "light",
            "Mode": "select",
            "Timer": "number",
            "Fault": "sensor",
            "Motion": "binary_sensor",
            "Blower": "fan",
            "Child lock": "switch",
        }
        assert entities["Timer"]["unit_of_measurement"] == "min"
        assert light["brightness_scale"] == 1000
        for name, text in [
            ("Switch", "ON"),
            ("Mode", "colour"),
            ("Timer", "5"),
            ("Fault", "2"),
            ("Motion", "OFF"),
            ("Blower", "OFF"),
            ("Child lock", "OFF"),
        ]:
            await home.state(entities[name], text)
        await home.state(light, "500", "brightness_state_topic")
        await home.state(entities["Blower"], "3", "percentage_state_topic")

        await home.command(light, "4", "brightness_command_topic")  # under its least
        await home.state(light, "10", "brightness_state_topic")
        await home.command(light, "OFF")
        await home.state(light, "OFF")
        await home.command(entities["Mode"], "white")
        await home.state(entities["Mode"], "white")
        await home.command(entities["Timer"], "7.0")
        await home.state(entities["Timer"], "7")

        publisher.looks = {}
        publisher.look_again()
        await home.entity("lamp", "Switch")
        assert home.devices()["lamp"]["device"]["identifiers"] == made["device"]["identifiers"]


async def test_a_device_that_goes_is_offline_and_one_that_changes_loses_entities() -> None:
    gateway = Gateway()
    place = anywhere()
    gateway.add("kitchen", place)

    async def serve_it(dispatcher: Dispatcher, *, task_status: Any) -> None:
        async with serve(dispatcher, place):
            task_status.started()
            await anyio.sleep_forever()

    async with shown(gateway) as (home, _), anyio.create_task_group() as tasks:
        first = Dispatcher()
        first.include(Service())
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as inner:
                await inner.start(lambda *, task_status: serve_it(first, task_status=task_status))
                night = await home.entity("kitchen", "Night light")
                await home.until(lambda: home.is_available("kitchen"))
                scope.cancel()
        await home.until(lambda: not home.is_available("kitchen"))
        assert home.devices()["kitchen"]["components"]["Night light"] == night

        second = Dispatcher()
        second.method("other", button=True)(lambda: None)
        await tasks.start(lambda *, task_status: serve_it(second, task_status=task_status))
        await home.entity("kitchen", "Other")
        assert list(home.devices()["kitchen"]["components"]) == ["Other"]
        await home.until(lambda: home.is_available("kitchen"))
        tasks.cancel_scope.cancel()


PROGRAM = """
import sys
import anyio
from jsonrpc_iot import Dispatcher, Gateway, serve
from jsonrpc_iot.gateway.homeassistant import HomeAssistant

async def main(url, prefix, *names):
    device = Dispatcher()
    device.method("press", button=True)(lambda: None)
    gateway = Gateway()
    async with serve(device, "memory://device"):
        for name in names:
            gateway.add(name, "memory://device")
        async with gateway, HomeAssistant(gateway, url, prefix):
            await anyio.sleep_forever()

anyio.run(main, *sys.argv[1:])
"""


async def test_a_gateway_that_is_killed_is_offline_and_removes_what_it_has_no_more() -> None:
    url = mosquitto().url()
    prefix = "ha" + key_of(url)[-8:]
    command = [sys.executable, "-c", PROGRAM, url, prefix]
    with anyio.fail_after(5 * SECONDS):
        async with at_home(url, prefix) as home:
            async with await anyio.open_process([*command, "one", "two"], stdout=None) as process:
                before = await home.entity("one", "Press")
                await home.entity("two", "Press")
                await home.until(lambda: home.is_available("one"))
                process.kill()
            await home.until(lambda: not home.is_available("one"))
            async with await anyio.open_process([*command, "one"], stdout=None) as process:
                await home.until(lambda: list(home.devices()) == ["one"])
                await home.until(lambda: home.is_available("one"))
                assert await home.entity("one", "Press") == before  # ids stay
                process.terminate()


async def test_a_will_that_comes_late_does_not_take_the_gateway_away() -> None:
    gateway = Gateway()
    async with device() as (_, url), shown(gateway) as (home, _):
        gateway.add("kitchen", url)
        await home.entity("kitchen", "Night light")
        await home.until(lambda: home.is_available("kitchen"))
        status = home.devices()["kitchen"]["availability"][0]["topic"]
        told = home.seen.count((status, "online"))
        await home.broker.deliver(status, b"offline", 1)
        await home.until(lambda: home.seen.count((status, "online")) > told)
        assert home.is_available("kitchen")


async def test_a_gateway_that_ends_takes_its_leave_of_the_broker() -> None:
    gateway = Gateway()
    url = mosquitto().url()
    with anyio.fail_after(SECONDS):
        async with at_home(url, "haleave") as home:
            async with gateway, HomeAssistant(gateway, url, "haleave"):
                await home.until(lambda: "online" in home.topics.values())
            await home.until(lambda: "offline" in home.topics.values())
            async with gateway, HomeAssistant(gateway, url, "haleave"):
                await home.until(lambda: "online" in home.topics.values())
                told = [text for _, text in home.seen]
    assert told == ["online", "offline", "online"]  # and no will


async def test_a_broker_that_forgets_all_is_told_again() -> None:
    broker = new_mosquitto()
    try:
        gateway = Gateway()
        async with device() as (_, url):
            gateway.add("kitchen", url)
            at = broker.url()
            async with gateway, HomeAssistant(gateway, at, "ha"):
                for _ in range(2):
                    async with at_home(at, "ha") as home:
                        night = await home.entity("kitchen", "Night light")
                        await home.until(lambda: home.is_available("kitchen"))
                        await home.command(night, "ON")
                        await home.state(night, "ON")
                    await anyio.to_thread.run_sync(broker.stop)
                    await anyio.to_thread.run_sync(broker.start)
    finally:
        broker.stop()


async def test_what_needs_a_permission_is_not_shown() -> None:
    gateway = Gateway()
    async with device() as (_, url), shown(gateway) as (home, _):
        gateway.add("open", url)
        gateway.add("closed", url, requires="admin")
        await home.entity("open", "Night light")
        assert "Lamp erase" not in home.devices()["open"]["components"]
        assert not any("secret" in text for text in home.topics.values())
        assert "closed" not in home.devices() or not home.devices()["closed"]["components"]


@pytest.mark.parametrize(
    "name", ["Küche", "a-b", "x" * 64, "日本", "'\"`{{", "-", "a:b", "$SYS", "~"]
)
async def test_names_that_are_no_topics(name: str) -> None:
    gateway = Gateway()
    async with device() as (_, url), shown(gateway) as (home, _):
        gateway.add(name, url)
        night = await home.entity(name, "Night light")
        await home.until(lambda: home.is_available(name))
        await home.command(night, "ON")
        await home.state(night, "ON")


@pytest.mark.parametrize("url", ["tcp://h/x", "mqtt://", "mqtt://h/a+b", "mqtt://h/x?nonsense=1"])
def test_a_url_that_is_no_brokers(url: str) -> None:
    with pytest.raises(InvalidUrl):
        HomeAssistant(Gateway(), url)


@pytest.mark.parametrize("prefix", ["", "/", "a+", "#"])
def test_a_prefix_that_is_none(prefix: str) -> None:
    with pytest.raises(UsageError):
        HomeAssistant(Gateway(), "mqtt://h/x", prefix)
