"""Threats that need a device of ours, or management, as well as the platform."""

import logging
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot import InvalidParams
from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, PlatformSettings, Schedule
from tests.waiting import SECONDS, eventually

from .platform.test_threats import beside
from .rig import NO_PAUSES, Rig, running

pytestmark = pytest.mark.anyio

IMPATIENT = DeviceSettings(
    close_seconds=0.1, schedule=Schedule(first=0.01, longest=0.02, refused=0.05)
)


def a_device(rig: Rig, info: dict[str, str]) -> NovaDevice:
    return NovaDevice(
        "127.0.0.1",
        rig.platform.port,
        device_id=info["device_id"],
        device_key=info["device_key"],
        settings=IMPATIENT,
    )


def but(**changes: Any) -> PlatformSettings:
    return msgspec.structs.replace(NO_PAUSES, **changes)


async def test_two_devices_that_fight_for_one_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, but(flaps=3, flap_delay=0.1)) as rig, beside(rig):
        info = await rig.create(t="number")
        async with a_device(rig, info) as one, a_device(rig, info) as other:

            async def flaps() -> bool:
                return bool((await rig.stats())["flapping"] == [info["device_id"]])

            await rig.until(flaps)
            await eventually(
                lambda: one.counts.connections + other.counts.connections >= 6, SECONDS
            )
            begun, before = anyio.current_time(), (await rig.stats())["connections"]
            await rig.until_stat("connections", before + 3)
            assert anyio.current_time() - begun > 0.1
        assert f"{info['device_id']}: replaced 3 times in a minute" in caplog.text


@pytest.mark.parametrize("change", ["disable", "rotate", "delete"])
async def test_a_device_of_ours_that_is_shut_out(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "jsonrpc_iot.novacloud")
    async with running(tmp_path) as rig, beside(rig):
        info = await rig.create(t="number")
        id = info["device_id"]
        async with a_device(rig, info) as device:
            await device.connected()
            open_command = await rig.call(
                "command.send", device_id=id, payload={"light": 1}, wait=False
            )
            match change:
                case "disable":
                    await rig.call("device.update", device_id=id, enabled=False)
                case "rotate":
                    await rig.call("device.rotate_key", device_id=id)
                case _:
                    await rig.call("device.delete", device_id=id)
            await device.report({"t": 1}, timestamp=1)
            await eventually(lambda: device.refusal is not None, SECONDS)
            assert not device.is_connected
            if change == "disable":
                error = await rig.fails("command.send", device_id=id, payload={"light": 1})
                assert error.code == 2004
                await rig.call("device.update", device_id=id, enabled=True)
                with anyio.fail_after(SECONDS):
                    await device.connected()
                    while (await rig.push("telemetry"))["values"] != {"t": 1}:
                        pass
                assert device.refusal is None
            else:
                assert device.outbox.rows == 1
                found = await rig.call("command.get", command_id=open_command["command_id"])
                assert (found is None) == (change == "delete") or found["finished"] is not None
        assert info["device_key"] not in caplog.text


async def test_a_flood_of_pending_answers(tmp_path: Path) -> None:
    settings = but(messages_per_second=500, burst=50)
    async with running(tmp_path, settings) as rig, beside(rig):
        async with rig.device(await rig.create()) as device:
            sent = await rig.call(
                "command.send", device_id=device.id, payload={"light": 1}, wait=False
            )
            command = await device.receive()
            for _ in range(300):
                await device.respond(command["command_id"], "pending", "x" * 1000)
            await device.respond(command["command_id"], "success", 7)
            while (update := await rig.push("command.update"))["status"] != "SUCCESS":
                assert update["command_id"] == sent["command_id"]
            for status in "pending", "error":
                await device.respond(command["command_id"], status)
            await rig.until_stat("dropped_responses", 2)
        found = await rig.call("command.get", command_id=sent["command_id"])
        assert (found["status"], found["payload"]) == ("SUCCESS", 7)


@pytest.mark.parametrize(
    "bad",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": 10**12},
        {"order": "ASC; DROP TABLE telemetry"},
        {"aggregate": "median"},
        {"interval": 0},
        {"interval": -1},
        {"interval": 1e-300},
        {"start": "yesterday"},
        {"start": [0]},
        {"end": True},
    ],
)
async def test_a_query_with_bad_arguments(tmp_path: Path, bad: dict[str, Any]) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        error = await rig.fails(
            "telemetry.query", device_id=info["device_id"], value_key="t", **bad
        )
        assert error.code == -32602


async def test_queries_at_the_edges(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number", s="string")
        query = {"device_id": info["device_id"], "value_key": "t"}
        async with rig.device(info) as device:
            for at, value in (0, 1), (9.999, 2), (10, 1e308), (11, 1e308), (4102444800, 5):
                await device.data(at, t=value)
            await device.data(1, s="text")
            while (await rig.push("telemetry"))["values"] != {"s": "text"}:
                pass

        async def ask(**more: Any) -> list[tuple[float, Any]]:
            points = await rig.call("telemetry.query", **{**query, **more})
            return [(point["timestamp"], point["value"]) for point in points]

        assert [at for at, _ in await ask()] == [0, 9.999, 10, 11, 4102444800]
        assert await ask(start=20, end=10) == []
        assert await ask(start=10, end=10) == []
        assert await ask(start=9.999, end=10) == [(9.999, 2)]
        groups = [(0, 2), (10, 2), (4102444800, 1)]
        assert await ask(interval=10, aggregate="count") == groups
        assert await ask(interval=10, aggregate="count", order="desc", limit=1) == groups[2:]
        assert (await ask(interval=10))[0] == (0, 1.5)
        assert await ask(interval=1e12, aggregate="count") == [(0, 5)]
        assert await ask(interval=0.001, aggregate="count", end=10) == [(0, 1), (9.999, 1)]
        assert (await ask(interval=10, start=10))[0] == (10, None)  # JSON has no infinity
        with pytest.raises(InvalidParams, match="Invalid params"):  # texts have no mean
            await ask(value_key="s", interval=10)
        assert await ask(value_key="s", interval=10, aggregate="last") == [(0, "text")]
        latest = await rig.call("telemetry.latest", device_id=info["device_id"])
        assert latest["t"]["timestamp"] == 11  # the year 2100 is not yet


async def test_large_values_and_odd_texts(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, beside(rig):
        info = await rig.create(t="json", s="string")
        deep: Any = 1
        for _ in range(28):
            deep = [deep]
        values = [{"k" * 60_000: 1}, ["x" * 60_000], [0] * 20_000, deep, {"": {"": []}}]
        async with rig.device(info) as device:
            for at, value in enumerate(values):
                await device.data(at, t=value)
            await device.send_raw(b'{"type":"data","payload":{"s":"\\ud800"}}\n')
            await device.send_raw(b'{"type":"data","payload":{"\\udfff":1,"s":"\\u0000"}}\n')
            await device.data(100, s="end")
            while (await rig.push("telemetry"))["values"] != {"s": "end"}:
                pass
        query = {"device_id": info["device_id"], "value_key": "t"}
        points = await rig.call("telemetry.query", **query)
        assert [point["value"] for point in points] == values
