"""The management methods: shapes and errors. What they do to devices is tested with devices."""

import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import DeadlineExceeded, RpcError, ServerError
from tests.novacloud.rig import Rig, running
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path) as rig:
        yield rig


async def test_creating_a_device(rig: Rig) -> None:
    made = await rig.call("device.create", name="lamp")
    assert made.keys() == {"device_id", "device_key", "name"}
    assert str(uuid.UUID(made["device_id"])) == made["device_id"]
    assert len(bytes.fromhex(made["device_key"])) == 16
    found = await rig.call("device.get", device_id=made["device_id"].upper())
    assert abs(found.pop("created") - time.time()) < SECONDS
    assert found == {
        "device_id": made["device_id"],
        "name": "lamp",
        "enabled": True,
        "online": False,
        "last_seen": None,
    }


async def test_a_device_with_an_id_of_ones_own(rig: Rig) -> None:
    own = str(uuid.uuid4())
    made = await rig.call("device.create", name="lamp", device_id=own)
    assert made["device_id"] == own
    assert (await rig.fails("device.create", name="x", device_id=own)).code == 2003
    assert (await rig.fails("device.create", name="x", device_id="lamp")).code == -32602
    assert (await rig.fails("device.create", name="")).code == -32602


async def test_a_list_streams(rig: Rig) -> None:
    for name in ("b", "a", "c"):
        await rig.call("device.create", name=name)
    names = [each["name"] for each in await rig.call("device.list")]
    assert names == ["a", "b", "c"]
    streamed = rig.client.stream("device.list", item=dict[str, Any])
    assert [each["name"] async for each in streamed] == names


async def test_updating_and_deleting(rig: Rig) -> None:
    info = await rig.create()
    changed = await rig.call("device.update", device_id=info["device_id"], name="new")
    assert (changed["name"], changed["enabled"]) == ("new", True)
    await rig.call("device.delete", device_id=info["device_id"])
    assert (await rig.fails("device.get", device_id=info["device_id"])).code == 2001


async def test_a_new_key_replaces_the_old_one(rig: Rig) -> None:
    info = await rig.create()
    changed = await rig.call("device.rotate_key", device_id=info["device_id"])
    assert changed.keys() == {"device_id", "device_key"}
    async with rig.link(info) as device:
        assert (await device.authenticate())["status"] == "error"
    async with rig.device(changed):
        assert (await rig.call("device.get", device_id=info["device_id"]))["online"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("device.get", {}),
        ("device.update", {"name": "x"}),
        ("device.delete", {}),
        ("device.rotate_key", {}),
        ("device.call", {"method": "light"}),
        ("sensor.define", {"value_key": "t", "type": "number"}),
        ("sensor.list", {}),
        ("sensor.delete", {"value_key": "t"}),
        ("actuator.define", {"command_key": "t"}),
        ("actuator.list", {}),
        ("actuator.delete", {"command_key": "t"}),
        ("telemetry.query", {"value_key": "t"}),
        ("telemetry.latest", {}),
        ("status.latest", {}),
        ("command.send", {"payload": {"light": 1}}),
        ("command.list", {}),
    ],
)
async def test_an_unknown_device(rig: Rig, method: str, params: dict[str, Any]) -> None:
    for device_id in (NOBODY, "nonsense", "'; DROP TABLE devices"):
        assert (await rig.fails(method, device_id=device_id, **params)).code == 2001


async def test_sensors_and_actuators(rig: Rig) -> None:
    info = await rig.create(t="number")
    id = info["device_id"]
    defined = await rig.call("sensor.define", device_id=id, value_key="h", type="number", unit="%")
    assert defined == {"value_key": "h", "type": "number", "unit": "%"}
    assert await rig.call("sensor.list", device_id=id) == [
        {"value_key": "t", "type": "number", "unit": None},
        defined,
    ]
    again = {"device_id": id, "value_key": "t", "type": "string"}
    assert (await rig.fails("sensor.define", **again)).code == 2003
    assert (await rig.fails("sensor.define", **{**again, "type": "color"})).code == -32602
    assert (await rig.fails("actuator.define", device_id=id, command_key="light")).code == 2003
    assert await rig.call("actuator.list", device_id=id) == [{"command_key": "light", "type": None}]
    await rig.call("actuator.delete", device_id=id, command_key="light")
    for method, key in (("actuator.delete", "command_key"), ("sensor.delete", "value_key")):
        assert (await rig.fails(method, device_id=id, **{key: "light"})).code == 2002
    assert (await rig.fails("telemetry.query", device_id=id, value_key="x")).code == 2002


async def test_changes_count_at_once_for_a_device_that_is_connected(rig: Rig) -> None:
    info = await rig.create()
    async with rig.device(info) as device:
        await rig.call("sensor.define", device_id=device.id, value_key="t", type="number")
        await device.data(1, t=1)
        assert (await rig.push("telemetry"))["values"] == {"t": 1}
        await rig.call("sensor.delete", device_id=device.id, value_key="t")
        await device.data(2, t=2)
        await rig.until_stat("unknown_values")
        await rig.call("actuator.delete", device_id=device.id, command_key="light")
        error = await rig.fails("command.send", device_id=device.id, payload={"light": 1})
        assert error.code == 2002


async def test_querying(rig: Rig) -> None:
    info = await rig.create(t="number")
    async with rig.device(info) as device:
        for at in range(20):
            await device.data(float(at), t=at)
        for _ in range(20):
            await rig.push("telemetry")
    query: dict[str, Any] = {"device_id": info["device_id"], "value_key": "t"}
    points = await rig.call("telemetry.query", **query, start=5, end=8)
    assert points == [{"timestamp": float(at), "value": at} for at in (5, 6, 7)]
    points = await rig.call("telemetry.query", **query, interval=10, aggregate="max")
    assert points == [{"timestamp": 0.0, "value": 9}, {"timestamp": 10.0, "value": 19}]
    points = await rig.call("telemetry.query", **query, order="desc", limit=1)
    assert points == [{"timestamp": 19.0, "value": 19}]
    stream = rig.client.stream("telemetry.query", query, item=dict[str, Any])
    assert len([point async for point in stream]) == 20
    for wrong in ({"limit": 0}, {"order": "up"}, {"interval": 0}, {"aggregate": "median"}):
        assert (await rig.fails("telemetry.query", **query, **wrong)).code == -32602


async def test_commands_that_cannot_be_sent(rig: Rig) -> None:
    info = await rig.create()
    id = info["device_id"]
    await rig.call("actuator.define", device_id=id, command_key="level", type="number")

    async def code(payload: object) -> int:
        return (await rig.fails("command.send", device_id=id, payload=payload)).code

    assert await code({"light": 1, "unknown": 2}) == 2002
    assert await code({"level": "high"}) == -32602
    assert await code({}) == -32602
    assert await code({"light": "x" * 70_000}) == -32001
    await rig.call("device.update", device_id=id, enabled=False)
    assert await code({"light": 1}) == 2004
    assert await rig.call("command.list", device_id=id) == []
    assert await rig.call("command.get", command_id="x") is None


@pytest.mark.parametrize(
    ("payload", "result"),
    [
        ({"results": {"light": {"on": True}}}, {"on": True}),
        ({"light": "ON"}, "ON"),
        ({"current_state": "ON"}, {"current_state": "ON"}),
        (None, None),
    ],
)
async def test_calling_a_device(rig: Rig, payload: object, result: object) -> None:
    info = await rig.create()
    async with rig.device(info) as device, anyio.create_task_group() as tasks:
        tasks.start_soon(device.answer, "success", payload)
        called = await rig.call("device.call", device_id=device.id, method="light", params=[1])
        assert called == result


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {"results": {}, "errors": {"light": {"code": 7, "message": "hot", "data": [1]}}},
            RpcError(7, "hot", [1]),
        ),
        ({"errors": {"light": "hot"}}, ServerError("hot")),
        ({"error": "hot"}, ServerError("hot")),
        ({"odd": 1}, ServerError("the device failed", {"odd": 1})),
    ],
)
async def test_a_device_that_answers_with_an_error(
    rig: Rig, payload: object, expected: RpcError
) -> None:
    info = await rig.create()
    async with rig.device(info) as device, anyio.create_task_group() as tasks:
        tasks.start_soon(device.answer, "error", payload)
        error = await rig.fails("device.call", device_id=device.id, method="light")
        assert (error.code, error.message, error.data) == (
            expected.code,
            expected.message,
            expected.data,
        )


async def test_a_device_that_is_not_there_is_not_called_later(rig: Rig) -> None:
    info = await rig.create()
    with pytest.raises(DeadlineExceeded):
        await rig.call("device.call", device_id=info["device_id"], method="light", timeout=0.02)
    async with rig.device(info) as device:
        sent = await rig.call("command.send", device_id=device.id, payload={"light": 2}, wait=False)
        assert (await device.receive())["command_id"] == sent["command_id"]


async def test_deleting_a_device_ends_its_commands(rig: Rig) -> None:
    info = await rig.create()
    async with anyio.create_task_group() as tasks:

        async def send() -> None:
            outcome = await rig.call(
                "command.send", device_id=info["device_id"], payload={"light": 1}
            )
            assert outcome["status"] == "EXPIRED"

        tasks.start_soon(send)
        await rig.push("command.update")
        await rig.call("device.delete", device_id=info["device_id"])
