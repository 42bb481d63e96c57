"""What operators of many devices ask of the management."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot import Client, RpcError, TooLarge, connect, serve
from jsonrpc_iot.novacloud import NovaManagement, UnknownDevice, management
from jsonrpc_iot.novacloud.platform.counts import Refused
from tests.novacloud.rig import NO_PAUSES, Rig, running
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path) as rig:
        yield rig


@pytest.fixture
async def narrow(rig: Rig, tmp_path: Path) -> AsyncIterator[Client]:
    """A client over a channel that carries 4 KiB at once."""
    url = f"unix://{tmp_path}/narrow.sock?max=4096"
    async with serve(management(rig.platform), url) as server, connect(server.urls[0]) as client:
        yield client


async def pages(client: Client, method: str, rows: str, **params: Any) -> list[list[Any]]:
    """All pages of a list."""
    found = []
    cursor = None
    while True:
        page = await client.call(method, {**params, "cursor": cursor})
        found.append(page[rows])
        cursor = page["next"]
        if cursor is None:
            return found


async def test_devices_in_pages(rig: Rig, narrow: Client) -> None:
    names = [f"lamp {number % 7}" for number in range(60)]
    infos = [await rig.call("device.create", name=name, tags=["a" * 60]) for name in names]
    found = await pages(narrow, "device.page", "devices", limit=1000)
    assert len(found) > 2, "they fit no single page"
    assert [each["name"] for page in found for each in page] == sorted(names)
    ids = [each["device_id"] for page in found for each in page]
    assert sorted(ids) == sorted(info["device_id"] for info in infos)
    assert [len(page) for page in await pages(rig.client, "device.page", "devices", limit=20)] == [
        20,
        20,
        20,
    ]
    with pytest.raises(TooLarge) as error:
        await narrow.call("device.list")
    assert error.value.data["use"] == "device.page"
    assert error.value.data["limit"] == 4096 < error.value.data["size"]
    streamed = narrow.stream("device.list", item=dict[str, Any])
    assert len([each async for each in streamed]) == 60


async def test_devices_of_a_kind(rig: Rig) -> None:
    for name, tags in ("Lamp 1", ["home"]), ("lamp 2", ["home", "red"]), ("pump", []):
        await rig.call("device.create", name=name, tags=tags)

    async def names(**params: Any) -> list[str]:
        page = await rig.call("device.page", **params)
        assert page["next"] is None
        return [each["name"] for each in page["devices"]]

    assert await names(tag="home") == ["Lamp 1", "lamp 2"]
    assert await names(tag="red", name="LAMP") == ["lamp 2"]
    assert await names(tag="hom") == []
    assert await names(online=False) == ["Lamp 1", "lamp 2", "pump"]
    pump = (await rig.call("device.page", name="pump"))["devices"][0]
    assert await rig.call("device.update", device_id=pump["device_id"], tags=["b", "b", "a"])
    assert await names(tag="a") == ["pump"]
    info = await rig.create("there")
    async with rig.device(info):
        assert await names(online=True) == ["there"]
    assert (await rig.fails("device.page", cursor="nonsense")).code == -32602


async def test_values_in_pages_come_once_each(rig: Rig, narrow: Client) -> None:
    info = await rig.create(a="number", b="json")
    async with rig.device(info) as device:
        for number in range(200):
            await device.data(float(number // 10), a=number, b=[number])
        for _ in range(200):
            await rig.push("telemetry")
    params = {"device_id": info["device_id"], "value_keys": ["a", "b"]}
    for order in ("asc", "desc"):
        for limit in (7, 10_000):
            found = await pages(
                narrow, "telemetry.page", "points", **params, order=order, limit=limit
            )
            points = [point for page in found for point in page]
            assert len(points) == 400
            times = [point["timestamp"] for point in points]
            assert times == sorted(times, reverse=order == "desc")
            values = [point["value"] for point in points if point["value_key"] == "a"]
            assert sorted(values) == list(range(200))
            assert values == sorted(values, reverse=order == "desc")
    found = await pages(narrow, "telemetry.page", "points", **params, start=3, end=5)
    assert {point["timestamp"] for page in found for point in page} == {3.0, 4.0}
    query = {"device_id": info["device_id"], "value_key": "a"}
    with pytest.raises(TooLarge) as error:
        await narrow.call("telemetry.query", query)
    assert error.value.data["use"] == "telemetry.page"
    unknown = await rig.fails("telemetry.page", device_id=info["device_id"], value_keys=["x"])
    assert unknown.code == 2002


async def test_several_sensors_in_one_query(rig: Rig) -> None:
    info = await rig.create(a="number", b="number", c="string")
    async with rig.device(info) as device:
        for at in range(30):
            await device.data(float(at), a=at, **({"b": -at} if at % 3 else {}))
        for _ in range(30):
            await rig.push("telemetry")
    query = {"device_id": info["device_id"], "value_key": ["b", "a", "a"]}
    points = await rig.call("telemetry.query", **query)
    expected = [{"value_key": "a", "timestamp": float(at), "value": at} for at in range(30)]
    assert [each for each in points if each["value_key"] == "a"] == expected
    assert len(points) == 50
    assert [each["timestamp"] for each in points] == sorted(each["timestamp"] for each in points)
    latest = await rig.call("telemetry.query", **query, order="desc", limit=3)
    assert [(each["value_key"], each["value"]) for each in latest] == [
        ("a", 29),
        ("b", -29),
        ("a", 28),
    ]
    sums = await rig.call("telemetry.query", **query, interval=15, aggregate="sum")
    assert [(each["value_key"], each["timestamp"], each["value"]) for each in sums] == [
        ("a", 0.0, 105),
        ("b", 0.0, -75),
        ("a", 15.0, 330),
        ("b", 15.0, -225),
    ]
    for how in {"interval": 10}, {"aggregate": "max"}, {"interval": 5, "aggregate": "sum"}:
        refused = await rig.fails("telemetry.query", **{**query, "value_key": "c"}, **how)
        assert (refused.code, refused.data["path"]) == (-32602, "$.aggregate")
    counted = await rig.call(
        "telemetry.query", **{**query, "value_key": ["a", "c"]}, aggregate="count"
    )
    assert [(each["value_key"], each["value"]) for each in counted] == [("a", 30)]
    one = await rig.call("telemetry.query", **{**query, "value_key": ["b"]}, limit=1)
    assert one == [{"value_key": "b", "timestamp": 1.0, "value": -1}]
    for keys, code in ((["a", "x"], 2002), ([], -32602), (5, -32602), (["a"] * 257, -32602)):
        assert (await rig.fails("telemetry.query", **{**query, "value_key": keys})).code == code
    stream = rig.client.stream("telemetry.query", query, item=dict[str, Any])
    assert [each async for each in stream] == points


async def test_the_latest_values_of_all_devices(rig: Rig, narrow: Client) -> None:
    infos = [await rig.create(f"lamp {number}", a="number", b="string") for number in range(30)]
    await rig.call("device.update", device_id=infos[3]["device_id"], tags=["red"])
    ahead = time.time() + 86_400
    async with AsyncExitStack() as connected:
        for number, info in enumerate(infos):
            device = await connected.enter_async_context(rig.device(info))
            await device.data(10.0, a=number, b="x" * 100)
            await device.data(5.0, a=-1)
            await device.data(ahead, a=-2)
        for _ in range(3 * len(infos)):
            await rig.push("telemetry")
    expected = [
        {"device_id": id, "value_key": key, "timestamp": 10.0, "value": value}
        for id, number in sorted((info["device_id"], at) for at, info in enumerate(infos))
        for key, value in (("a", number), ("b", "x" * 100))
    ]
    found = await pages(narrow, "telemetry.latest_all", "points", limit=1000)
    assert len(found) > 2, "they fit no single page"
    assert [point for page in found for point in page] == expected
    found = await pages(rig.client, "telemetry.latest_all", "points", limit=20)
    assert [len(page) for page in found] == [20, 20, 20]
    assert [point for page in found for point in page] == expected
    (some,) = await pages(rig.client, "telemetry.latest_all", "points", value_keys=["a", "x"])
    assert some == expected[::2]
    (some,) = await pages(rig.client, "telemetry.latest_all", "points", tag="red")
    assert {point["device_id"] for point in some} == {infos[3]["device_id"]}
    assert [point["value"] for point in some] == [3, "x" * 100]
    await rig.call("telemetry.delete", device_id=infos[3]["device_id"], end=ahead)
    (some,) = await pages(rig.client, "telemetry.latest_all", "points", tag="red")
    assert [(point["value"], point["flagged"]) for point in some] == [(-2, True)]


async def test_a_value_that_fits_no_page_can_be_passed_over(rig: Rig, narrow: Client) -> None:
    info = await rig.create(t="json")
    async with rig.device(info) as device:
        for at, value in (1, "small"), (2, "x" * 5000), (3, "last"):
            await device.data(at, t=value)
            await rig.push("telemetry")
    params = {"device_id": info["device_id"], "value_keys": ["t"]}
    first = await narrow.call("telemetry.page", params)
    assert [point["value"] for point in first["points"]] == ["small"]
    with pytest.raises(TooLarge) as error:
        await narrow.call("telemetry.page", {**params, "cursor": first["next"]})
    last = await narrow.call("telemetry.page", {**params, "cursor": error.value.data["next"]})
    assert [point["value"] for point in last["points"]] == ["last"]
    assert last["next"] is None


async def test_a_key_that_was_made_elsewhere(rig: Rig) -> None:
    key = "abcdef1234567890" * 4
    info = await rig.call("device.create", name="lamp", device_key=key)
    assert info["device_key"] == key
    async with rig.device(info):
        pass
    for wrong in ("short", "x" * 129, "a" * 20 + "\n", "a" * 20 + "\x00"):
        assert (await rig.fails("device.create", name="x", device_key=wrong)).code == -32602


async def test_the_old_key_holds_for_a_while(rig: Rig) -> None:
    info = await rig.create()
    async with rig.device(info) as device:
        chosen = {"device_id": device.id, "device_key": "n" * 32}
        new = await rig.call("device.rotate_key", **chosen, grace=60)
        assert new["device_key"] == "n" * 32
        await device.send({"type": "heartbeat"})
        assert (await rig.call("device.get", device_id=device.id))["online"]
    async with rig.device(info), rig.device(new):
        pass
    newest = await rig.call("device.rotate_key", device_id=info["device_id"], grace=0.05)
    await anyio.sleep(0.06)
    for gone in (info, new):
        async with rig.link(gone) as link:
            assert (await link.authenticate())["status"] == "error"
    async with rig.device(newest) as device:
        last = await rig.call("device.rotate_key", device_id=device.id)
        await device.wait_closed()
    async with rig.link(newest) as link:
        assert (await link.authenticate())["status"] == "error"
    async with rig.device(last):
        pass


async def test_why_a_device_is_not_there(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    info = await rig.create(t="number")
    id = info["device_id"]
    for _ in range(2):
        async with rig.link({**info, "device_key": "wrong"}, host="127.0.0.2") as link:
            assert (await link.authenticate())["status"] == "error"
    found = await rig.call("device.get", device_id=id)
    assert "address" not in found
    assert abs(found["refused"].pop("at") - time.time()) < SECONDS
    assert found["refused"] == {"address": "127.0.0.2", "reason": "unknown device or wrong key"}
    assert found["counts"]["failed_auths"] == 2
    assert [each.message for each in caplog.records if id in each.message] == [
        f"{id} is refused from 127.0.0.2: unknown device or wrong key"
    ], "once is enough"
    async with rig.device(info) as device:
        status = {"firmware_version": "1.2", "outbox_pending": 7}
        await device.send({"type": "status", "payload": status})
        await device.send_raw(b'{"type":"data","payload":{"t":NaN,"u":-Infinity}}\n')
        await device.send_raw(b"nonsense\n")
        for _ in range(3):
            await device.send({"type": "heartbeat"})
        await device.data(t=1)
        await rig.push("telemetry")
        found = await rig.call("device.get", device_id=id)
        assert found["address"] == "127.0.0.1"
        assert abs(found["connected_since"] - time.time()) < SECONDS
        assert (found["firmware_version"], found["outbox_pending"]) == ("1.2", 7)
        counts = found["counts"]
        assert counts["last_error"]["message"] == "not valid JSON"
        assert (counts["malformed"], counts["not_finite"], counts["quick_heartbeats"]) == (2, 1, 2)
        assert (counts["messages"], counts["wrong_values"], counts["unknown_values"]) == (6, 1, 1)
        assert counts["bytes"] > 100
        assert (await rig.stats())["quick_heartbeats"] == 2


async def test_good_values_beside_nan_are_taken(rig: Rig) -> None:
    info = await rig.create(t="number", u="number", j="json")
    async with rig.device(info) as device:
        for number in range(20):
            line = f'{{"type":"data","payload":{{"t":NaN,"u":{number},"j":[Infinity,1]}}}}\n'
            await device.send_raw(line.encode())
            assert (await rig.push("telemetry"))["values"] == {"u": number, "j": [None, 1]}
            assert "NaN" in (await device.receive())["payload"]["message"]
    async with rig.device(info) as device:
        await device.send_raw(b'{"type":"data","payload":{"t":NaN1}}\n')
        assert (await device.receive())["payload"]["message"] == "not valid JSON"


@pytest.mark.parametrize(
    "line",
    [
        rb'{"type":"data","payload":{"t":NaN,"s":"\ud800"}}',
        rb'{"type":"data","payload":{"t":NaN,"j":{"\udfff":1}}}',
        rb'{"type":"status","payload":{"a":NaN,"b":"\ud800"}}',
        rb'{"type":"data","payload":{"t":NaN,"s":"x"},"seq":1,"\ud800":1}',
    ],
)
async def test_half_a_surrogate_pair_beside_nan_stops_nobody(rig: Rig, line: bytes) -> None:
    hostile = await rig.create(t="number", s="string", j="json")
    info = await rig.create(t="number")
    async with rig.device(hostile) as device, rig.device(info) as other:
        await device.send_raw(line + b"\n")
        assert (await device.receive())["type"] == "error"
        await other.data(t=1)
        assert (await rig.push("telemetry"))["values"] == {"t": 1}


async def test_who_says_nothing_is_told_why_it_has_to_go(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, auth_seconds=0.05)
    async with running(tmp_path, settings) as rig, rig.link(await rig.create()) as link:
        told = await link.receive()
        assert told["type"] == "auth_response"
        assert told["payload"] == {
            "status": "error",
            "message": "no authentication within 0.05 s",
        }
        await link.wait_closed()
        assert (await rig.stats())["failed_auths"] == 1


async def test_changing_a_sensor_keeps_its_values(rig: Rig) -> None:
    info = await rig.create(t="number")
    async with rig.device(info) as device:
        await device.data(1, t=1)
        await rig.push("telemetry")
        changed = await rig.call("sensor.update", device_id=device.id, value_key="t", unit="C")
        assert changed == {"value_key": "t", "type": "number", "unit": "C"}
        await rig.call("sensor.update", device_id=device.id, value_key="t", type="string")
        await device.data(2, t="warm")
        await rig.push("telemetry")
        points = await rig.call("telemetry.query", device_id=device.id, value_key="t")
        assert [point["value"] for point in points] == [1, "warm"]
        unknown = await rig.fails("sensor.update", device_id=device.id, value_key="x", unit="C")
        assert unknown.code == 2002


async def test_statuses_over_time(rig: Rig) -> None:
    info = await rig.create()
    async with rig.device(info) as device:
        for level in (90, 80, 70):
            await device.send({"type": "status", "payload": {"battery": level}, "timestamp": level})

        async def statuses(**params: Any) -> list[Any]:
            found = await rig.call("status.history", device_id=device.id, **params)
            return [(each["timestamp"], each["payload"]["battery"]) for each in found]

        async def are_there() -> bool:
            return len(await statuses()) == 3

        await rig.until(are_there)
        assert await statuses() == [(90.0, 90), (80.0, 80), (70.0, 70)]
        assert await statuses(start=75, end=90) == [(80.0, 80)]
        assert await statuses(limit=1) == [(90.0, 90)]


async def test_a_command_for_many(rig: Rig) -> None:
    infos = [await rig.create(f"lamp {number}") for number in range(4)]
    bare = await rig.call("device.create", name="bare", tags=["home"])
    for info in infos[:3]:
        await rig.call("device.update", device_id=info["device_id"], tags=["home"])
    await rig.call("device.update", device_id=infos[2]["device_id"], enabled=False)
    async with rig.device(infos[0]) as device:
        job = await rig.call("command.broadcast", payload={"light": 1}, tag="home")
        await device.answer()

        async def counts() -> bool:
            found = await rig.call("job.get", job_id=job["job_id"])
            return bool(found == {"SUCCESS": 1, "QUEUED": 1, "ERROR": 2})

        await rig.until(counts)
    found = await pages(rig.client, "job.page", "commands", job_id=job["job_id"], limit=1)
    assert len(found) == 4
    rows = {row["device_id"]: row for page in found for row in page}
    assert rows[infos[0]["device_id"]]["status"] == "SUCCESS"
    assert rows[infos[2]["device_id"]]["payload"]["error"]["code"] == 2004
    assert rows[bare["device_id"]]["payload"]["error"]["code"] == 2002
    ids = [infos[3]["device_id"]]
    job = await rig.call("command.broadcast", payload={"light": 1}, device_ids=ids)
    assert await rig.call("job.get", job_id=job["job_id"]) == {"QUEUED": 1}
    assert await rig.call("job.get", job_id="unknown") == {}


async def test_a_message_waits_like_a_command(rig: Rig) -> None:
    info = await rig.create()
    params = {"device_id": info["device_id"], "type": "config_update", "payload": {"every": 5}}
    sent = await rig.call("platform.message", **params)
    assert sent["status"] == "QUEUED"
    async with rig.device(info) as device:
        assert await device.receive() == {"type": "config_update", "payload": {"every": 5}}
        while (await rig.push("command.update"))["status"] != "SUCCESS":
            pass
    for type in ("command", "ack", "auth_response", "error"):
        assert (await rig.fails("platform.message", **{**params, "type": type})).code == -32602


async def test_each_hears_what_it_asked_for(rig: Rig, tmp_path: Path) -> None:
    lamp, pump = await rig.create("lamp", t="number"), await rig.create("pump", t="number")
    await rig.call("device.update", device_id=pump["device_id"], tags=["wet"])
    url = f"memory://{uuid.uuid4()}"
    async with (
        serve(management(rig.platform), url, grace=0.1),
        connect(url) as client,
        client.notifications() as news,
    ):

        async def heard() -> list[tuple[str, str]]:
            for info in (lamp, pump):
                async with rig.device(info) as device:
                    await rig.push("device.online")
                    await device.data(t=1)
                    await rig.push("telemetry")
                await rig.push("device.offline")
            await client.call("events.subscribe", {"kinds": ["device.*"]})
            async with rig.device(lamp):
                await rig.push("device.online")
            await rig.push("device.offline")
            found: list[tuple[str, str]] = []
            async for each in news:
                if each.method == "device.offline":
                    break
                found.append((each.method, each.params["device_id"]))
            return found[:-1]

        await client.call("events.subscribe", {"kinds": ["telemetry"]})
        assert await heard() == [(("telemetry"), info["device_id"]) for info in (lamp, pump)]
        params = {"kinds": ["telemetry"], "device_ids": [pump["device_id"]]}
        await client.call("events.subscribe", params)
        assert await heard() == [("telemetry", pump["device_id"])]
        await client.call("events.subscribe", {"kinds": ["device.online"], "tags": ["wet"]})
        assert await heard() == [("device.online", pump["device_id"])]
        await client.call("events.subscribe", {"kinds": ["device.online"], "tags": ["dry"]})
        await rig.call("device.update", device_id=pump["device_id"], tags=["dry"])
        assert await heard() == [("device.online", pump["device_id"])]
        await client.call("events.unsubscribe")
        with pytest.raises(RpcError, match="Invalid params"):
            await client.call("events.subscribe", {"kinds": ["nonsense"]})


async def test_stats_stay_short_whatever_devices_do(rig: Rig) -> None:
    counts = rig.platform.counts
    for number in range(3000):
        counts.device(f"device {number}")
        ignored = counts.ignored_of(f"{number:05}")
        for key in range(20):
            ignored.is_new("\U0001f600" * 60 + str(key))
    stats = await rig.stats()
    assert len(json.dumps(stats, ensure_ascii=False).encode()) < 1 << 16
    assert stats["ignored_devices"] == 3000
    found = await pages(rig.client, "platform.ignored_page", "ignored", limit=1000)
    assert [each["device_id"] for page in found for each in page] == [
        f"{number:05}" for number in range(3000)
    ]


async def test_who_was_not_let_in(rig: Rig) -> None:
    counts = rig.platform.counts
    counts.device("let in")
    for number in range(30):
        record = counts.device(f"{number:02}")
        record.failed_auths = number
        record.refused = Refused(1000.0 + number // 3, "192.0.2.7", "wrong key")
    found = await pages(rig.client, "platform.refused_page", "refused", limit=7)
    assert [len(page) for page in found] == [7, 7, 7, 7, 2]
    rows = [each for page in found for each in page]
    assert [each["device_id"] for each in rows] == [f"{number:02}" for number in range(29, -1, -1)]
    assert rows[0] == {
        "device_id": "29",
        "at": 1009.0,
        "address": "192.0.2.7",
        "reason": "wrong key",
        "times": 29,
    }


async def test_health(rig: Rig) -> None:
    health = await rig.call("platform.health")
    assert (health["ok"], health["store"], health["writable"]) == (True, "ok", True)
    assert health["lag_seconds"] < SECONDS
    assert health["disk_free"] > 0


async def test_who_changed_what(rig: Rig) -> None:
    info = await rig.create()
    await rig.call("device.rotate_key", device_id=info["device_id"], device_key="k" * 32)
    assert (await rig.fails("device.delete", device_id=str(uuid.uuid4()))).code == 2001
    await rig.call("device.list")
    found = await pages(rig.client, "audit.page", "entries", limit=1)
    entries = [each for page in found for each in page]
    assert [each["method"] for each in entries] == [
        "device.rotate_key",
        "actuator.define",
        "device.create",
    ]
    newest = entries[0]
    assert newest["who"] == "anybody"
    assert newest["address"]
    assert newest["params"]["device_id"] == info["device_id"]
    assert "k" * 32 not in json.dumps(entries)
    assert abs(newest["at"] - time.time()) < SECONDS


async def test_a_proxy_has_every_type(rig: Rig) -> None:
    nova = rig.client.proxy(NovaManagement)
    made = await nova.device_create(name="lamp", tags=["home"])
    page = await nova.device_page(tag="home")
    assert page.devices[0].device_id == made.device_id
    with pytest.raises(UnknownDevice):
        await nova.device_get(device_id="nonsense")
    described = {each["name"] for each in (await rig.call("rpc.discover"))["methods"]}
    attributes = {name.replace(".", "_", 1) for name in described if not name.startswith("rpc.")}
    assert attributes <= set(dir(NovaManagement))
    info = {"device_id": made.device_id, "device_key": made.device_key}
    async with nova.device_online.values() as online, rig.device(info):
        assert (await online.receive()).device_id == made.device_id
