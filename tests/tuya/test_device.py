"""`TuyaDevice`: DataPoints by name, on a pseudo-terminal with an MCU at its other end."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from jsonrpc_iot import (
    Client,
    ConnectFailed,
    DeadlineExceeded,
    DeviceOffline,
    Gateway,
    InvalidParams,
    InvalidUrl,
    MethodNotFound,
    UsageError,
    connect,
    serve,
)
from jsonrpc_iot.protocol.tuya import module
from jsonrpc_iot.transports.serial.pty import open_pty
from jsonrpc_iot.tuya import DataPoint, DataPointType, Point, Product, TuyaDevice, TuyaMcu, device
from tests.gateway.rig import Changes, anywhere
from tests.waiting import SECONDS, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

BOOL, VALUE, STRING = DataPointType.BOOL, DataPointType.VALUE, DataPointType.STRING
ENUM, BITMAP, RAW = DataPointType.ENUM, DataPointType.BITMAP, DataPointType.RAW

POINTS: dict[int, str | Point] = {
    1: "switch",
    2: Point("brightness", min=10, max=1000),
    3: Point("mode", values=["white", "colour"]),
    4: Point("scene", kind="raw"),
    5: Point("fault", kind="bitmap", read_only=True),
    6: Point("level", kind="enum"),
    7: "label",
}
AT_FIRST = [
    DataPoint(1, BOOL, False),
    DataPoint(2, VALUE, 500),
    DataPoint(3, ENUM, 1),
    DataPoint(4, RAW, b"\0\xff"),
    DataPoint(5, BITMAP, 4),
    DataPoint(6, ENUM, 200),
    DataPoint(7, STRING, "kitchen"),
]


def values() -> dict[str, Any]:
    return {
        "switch": False,
        "brightness": 500,
        "mode": "colour",
        "scene": "AP8=",
        "fault": 4,
        "level": 200,
        "label": "kitchen",
    }


class Lamp:
    """An MCU that takes what it is told, and reports that, but for what a test leaves out."""

    def __init__(self, *points: DataPoint, mute: bool = False) -> None:
        self.mcu = mcu = TuyaMcu("uart+pty://", Product("pid", "2.4.1"))
        self.taken: list[DataPoint] = []
        self.is_mute = mute
        mcu.set(*points)
        for id in POINTS:
            mcu.on_datapoint(id)(self._take)

    async def _take(self, point: DataPoint) -> None:
        self.taken.append(point)
        if not self.is_mute:
            await self.mcu.report(point)

    @property
    def url(self) -> str:
        return self.mcu.address.replace("uart://", "tuya-dp://")


@asynccontextmanager
async def lit(
    *points: DataPoint, mute: bool = False, table: dict[int, str | Point] = POINTS
) -> AsyncIterator[tuple[Lamp, Client]]:
    """A lamp, and a client of its names."""
    lamp = Lamp(*(points or AT_FIRST), mute=mute)
    with anyio.fail_after(SECONDS):
        async with (
            lamp.mcu,
            TuyaDevice(lamp.url, table).open() as channel,
            connect(channel) as client,
        ):
            yield lamp, client


async def test_values_are_known_by_name_set_and_reported() -> None:
    async with lit() as (lamp, client), client.notifications() as news:
        assert await client.call("get") == values()
        assert await client.call("brightness") == 500
        assert await client.call("brightness", [20]) == 20
        assert (await news.receive()).params == {"brightness": 20}
        assert await client.call("set", {"switch": True, "mode": "white"}) == {
            "switch": True,
            "mode": "white",
        }
        assert [(await news.receive()).method for _ in range(2)] == [
            "switch.changed",
            "mode.changed",
        ]
        assert await client.call("scene", {"scene": "AQID"}) == "AQID"
        assert await client.call("label", ["hall"]) == "hall"
        assert await client.call("level", [7]) == 7
        assert lamp.taken == [
            DataPoint(2, VALUE, 20),
            DataPoint(1, BOOL, True),
            DataPoint(3, ENUM, 0),
            DataPoint(4, RAW, b"\1\2\3"),
            DataPoint(7, STRING, "hall"),
            DataPoint(6, ENUM, 7),
        ]
        await lamp.mcu.report(DataPoint(5, BITMAP, 0))
        while (each := await news.receive()).method != "fault.changed":
            pass
        assert each.params == {"fault": 0}
        assert (await client.call("get"))["fault"] == 0


@pytest.mark.parametrize(
    ("method", "params", "data"),
    [
        (
            "set",
            {"brightness": 9},
            {
                "path": "$.brightness",
                "message": "Expected 10 to 1000",
                "minimum": 10,
                "maximum": 1000,
            },
        ),
        ("brightness", [1001], {"maximum": 1000}),
        ("level", [256], {"minimum": 0, "maximum": 255}),
        ("set", {"switch": 1}, {"path": "$.switch"}),
        ("label", {"label": 7}, {"path": "$.label"}),
        ("set", {"mode": "disco"}, {"path": "$.mode"}),
        ("set", {"dimmer": 1}, {}),
        ("set", {"fault": 0}, {}),
        ("set", {}, {"message": "Expected any of switch, brightness, mode, scene, level, label"}),
        ("fault", [1], {}),
        ("scene", ["A" * 100_000], {"path": "$.scene"}),
    ],
)
async def test_what_a_point_cannot_be_is_refused_and_not_sent(
    method: str, params: Any, data: dict[str, object]
) -> None:
    async with lit() as (lamp, client):
        with pytest.raises(InvalidParams) as refused:
            await client.call(method, params)
        if data:
            assert refused.value.data.items() >= data.items()
        with pytest.raises(MethodNotFound):
            await client.call("dimmer")
        assert await client.call("get") == values()
        assert lamp.taken == []


async def test_it_is_described_with_the_version_of_its_own_program() -> None:
    async with lit() as (_, client):
        about = (await client.call("rpc.discover"))["info"]
        assert about == {"title": "Tuya device", "version": "2.4.1"}


async def test_types_and_ranges_are_described_also_those_that_the_device_tells() -> None:
    async with lit() as (_, client):
        document = await client.call("rpc.discover")
        methods = {each["name"]: each for each in document["methods"]}
        schemas = {
            name: each["params"][0]["schema"] for name, each in methods.items() if each["params"]
        }
        assert schemas["switch"]["type"] == "boolean"
        assert schemas["brightness"] == {"type": "integer", "minimum": 10, "maximum": 1000}
        assert schemas["mode"] == {"enum": ["colour", "white"]}
        assert schemas["label"]["type"] == "string"
        assert "params" not in methods["fault"] or methods["fault"]["params"] == []
        assert [each["name"] for each in methods["set"]["params"]] == [
            "switch",
            "brightness",
            "mode",
            "scene",
            "level",
            "label",
        ]
        events = [each["name"] for each in document["x-notifications"]]
        assert "fault.changed" in events


async def test_a_device_that_reports_nothing_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "_FIRST_REPORTS_SECONDS", 0.05)
    monkeypatch.setattr(device, "_REPORT_SECONDS", 0.05)
    async with lit(DataPoint(99, BOOL, True), mute=True) as (lamp, client):
        assert await client.call("get") == {}
        assert await client.call("switch") is None
        with pytest.raises(DeadlineExceeded, match="not reported switch, label"):
            await client.call("set", {"label": "x", "switch": True})
        await eventually(lambda: len(lamp.taken) == 2)
        assert lamp.taken == [DataPoint(1, BOOL, True), DataPoint(7, STRING, "x")]
        lamp.is_mute = False
        assert await client.call("switch", [True]) is True
        assert await client.call("get") == {"switch": True}
        lamp.is_mute = True  # it is that already
        assert await client.call("switch", [True]) is True


async def test_a_table_that_is_wrong_about_a_type_costs_that_point_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_FIRST_REPORTS_SECONDS", 0.05)
    table: dict[int, str | Point] = {
        1: Point("switch", kind="value"),
        2: "brightness",
        3: Point("mode", values=["one"]),
    }
    with caplog.at_level(logging.WARNING):
        async with lit(*AT_FIRST[:3], table=table) as (lamp, client):
            assert await client.call("get") == {"brightness": 500}
            await lamp.mcu.report(DataPoint(1, BOOL, True), DataPoint(2, VALUE, 2))
            await eventually(lambda: len(caplog.records) >= 2)
    assert [each.message.partition(": ")[2] for each in caplog.records] == [
        "DataPoint 1 is of type BOOL, but 'switch' is value in the table",
        "DataPoint 3: 'mode' has no value 1",
    ]


async def test_it_is_a_dispatcher_that_anything_serves() -> None:
    lamp = Lamp(*AT_FIRST)
    with anyio.fail_after(SECONDS):
        async with lamp.mcu:
            url = lamp.url
            async with (
                TuyaDevice(url, POINTS) as device,
                serve(device, anywhere()) as server,
                connect(server.urls[0]) as client,
            ):
                with pytest.raises(DeviceOffline) as away:  # nothing has been heard yet
                    await client.call("get")
                assert away.value.data["since"] > 0
                async with client.notifications("label.changed") as news:  # the last one
                    await news.receive()
                assert await client.call("get") == values()
                with pytest.raises(UsageError, match="open already"):
                    async with device.open():
                        pass
                with pytest.raises(RuntimeError, match="already been entered"):
                    async with device:
                        pass


async def test_nobody_at_the_other_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_ANSWER_SECONDS", 0.05)
    line, path = open_pty()
    with anyio.fail_after(SECONDS):
        async with line:
            with pytest.raises(ConnectFailed, match="no MCU answers"):
                async with TuyaDevice(f"tuya-dp://{path}", POINTS).open():
                    pass
        with pytest.raises(ConnectFailed):
            async with TuyaDevice("tuya-dp:///dev/nowhere", POINTS).open():
                pass


async def test_a_device_behind_a_gateway_comes_and_goes(tmp_path: Any) -> None:
    link = tmp_path / "line"
    gateway = Gateway()
    gateway.add("lamp", TuyaDevice(f"tuya-dp://{link}", POINTS))
    changes = Changes(gateway)
    async with (
        gateway,
        serve(gateway, anywhere()) as server,
        connect(server.urls[0]) as client,
        client.notifications("lamp.*") as news,
    ):
        with pytest.raises(DeviceOffline):
            await client.call("lamp.get")
        for _ in range(2):
            lamp = Lamp(*AT_FIRST)
            async with lamp.mcu:
                link.symlink_to(lamp.mcu.address.removeprefix("uart://"))
                state = await changes.reach("lamp", online=True)
                assert state.url == f"tuya-dp://{link}"
                assert await client.call("lamp.get") == values()
                assert await client.call("lamp.set", {"switch": True}) == {"switch": True}
                assert (await news.receive()).method == "lamp.switch.changed"
                link.unlink()  # the name of the terminal may soon be another one's
            await changes.reach("lamp", online=False)


async def test_an_mcu_that_falls_silent_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for each in ("_HEARTBEAT_SECONDS", "_OFFLINE_SECONDS"):
        monkeypatch.setattr(module, each, 0.2)
    lost = anyio.Event()
    async with lit() as (lamp, client):
        client.lost.subscribe(lambda why: lost.set())
        monkeypatch.setattr(lamp.mcu._mcu, "take", lambda frame, now: [])
        await lost.wait()


@pytest.mark.parametrize(
    ("points", "complaint"),
    [
        ({}, "needs points"),
        ({0: "x"}, "1 to 255"),
        ({"1": "x"}, "1 to 255"),
        ({1: "x", 2: "x"}, "name of another"),
        ({1: 5}, "neither a name nor a Point"),
        ({1: "get"}, "cannot be the name.*a method of that name"),
        ({1: "in"}, "cannot be the name.*Python has"),
        ({1: "a.b"}, "cannot be the name.*letters, digits and _"),
    ],
)
def test_a_table_that_makes_no_sense(points: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        TuyaDevice("tuya-dp:///dev/ttyS1", points)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"kind": "boolean"}, "kind is one of"),
        ({"kind": "bool", "min": 1}, "min and max are for a value"),
        ({"min": 1, "values": ["a"]}, "are for a value"),
        ({"min": 2, "max": 1}, "nothing from 2 to 1"),
        ({"max": 1 << 31}, "32 bits"),
        ({"values": ["a", "a"]}, "different"),
    ],
)
def test_a_point_that_makes_no_sense(members: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Point("x", **members)


@pytest.mark.parametrize("url", ["tcp://h", "tuya-dp:///dev/ttyS1?gapp=1", "uart+pty://"])
def test_a_url_that_is_no_line(url: str) -> None:
    with pytest.raises(InvalidUrl):
        TuyaDevice(url, {1: "switch"})
