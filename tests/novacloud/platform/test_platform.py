"""The platform with real sockets: reporting, presence, commands, acknowledgements, restarts."""

import socket
import time
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import msgspec
import pytest

from jsonrpc_iot import BindFailed
from jsonrpc_iot.novacloud import NovaPlatform, PlatformSettings, SqliteStore
from jsonrpc_iot.novacloud.store.registry import Known
from tests.novacloud.rig import NO_PAUSES, Rig, running
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

VALUES = {
    "number": 25.5,
    "string": "\u6b63\u5e38",
    "boolean": False,
    "json": {"lat": 39.9, "history": [1, 2.5, None]},
}


async def test_values_of_every_type_are_stored_and_found(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(**{f"a_{kind}": kind for kind in VALUES})
        async with rig.device(info) as device:
            await device.data(1678886400, **{f"a_{kind}": value for kind, value in VALUES.items()})
            await rig.push("telemetry")
            found = await rig.call("telemetry.latest", device_id=device.id)
        assert found == {
            f"a_{kind}": {"value": value, "timestamp": 1678886400.0}
            for kind, value in VALUES.items()
        }


async def test_a_value_is_found_within_half_a_second(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:

            async def found(value: int) -> bool:
                latest = await rig.call("telemetry.latest", device_id=device.id)
                return bool(latest and latest["t"]["value"] == value)

            seconds = []
            for value in range(5):
                started = time.monotonic()
                await device.data(float(value), t=value)
                await rig.until(partial(found, value))
                seconds.append(time.monotonic() - started)
            assert sorted(seconds)[2] < 0.5  # the machine may have something else to do for once


async def test_a_push_tells_what_was_stored(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            online = await rig.push("device.online")
            assert online["device_id"] == device.id
            assert abs(online["at"] - time.time()) < SECONDS
            await device.data(5.0, t=1, unknown=2)
            pushed = await rig.push("telemetry")
            assert pushed == {"device_id": device.id, "timestamp": 5.0, "values": {"t": 1}}
        offline = await rig.push("device.offline")
        assert (offline["device_id"], offline["reason"]) == (device.id, "closed")


async def test_without_a_timestamp_the_time_of_arrival_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            await device.data(t=1)
            assert abs((await rig.push("telemetry"))["timestamp"] - time.time()) < SECONDS


async def test_late_values_are_stored_but_are_not_the_latest(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            for timestamp, value in (200, 2), (100, 1), (0, 0):
                await device.data(timestamp, t=value)
                await rig.push("telemetry")
            latest = await rig.call("telemetry.latest", device_id=device.id)
            assert latest == {"t": {"value": 2, "timestamp": 200.0}}
            points = await rig.call("telemetry.query", device_id=device.id, value_key="t")
            assert [point["value"] for point in points] == [0, 1, 2]


async def test_a_value_from_the_future_is_flagged_and_not_the_latest(tmp_path: Path) -> None:
    year_2100 = 4102444800.0
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            await device.data(year_2100, t=1)
            await rig.push("telemetry")
            future = {"value": 1, "timestamp": year_2100, "flagged": True}
            points = await rig.call("telemetry.query", device_id=device.id, value_key="t")
            assert points == [future]
            assert await rig.call("telemetry.latest", device_id=device.id) == {"t": future}
            await device.data(100, t=2)
            await rig.push("telemetry")
            latest = await rig.call("telemetry.latest", device_id=device.id)
            assert latest == {"t": {"value": 2, "timestamp": 100.0}}


async def test_unknown_keys_and_wrong_types_are_counted_and_the_rest_is_stored(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(n="number", s="string", b="boolean", j="json")
        misfits: dict[str, list[Any]] = {
            "n": ["1", True, None, [1], {}],
            "s": [1, False, None, ["a"]],
            "b": [1, "true", None],
            "j": [None],
        }
        wrong = [{key: value} for key, values in misfits.items() for value in values]
        async with rig.device(info) as device:
            for payload in wrong:
                await device.data(**payload)
            await device.data(n=7, other=1)
            assert (await rig.push("telemetry"))["values"] == {"n": 7}
            stats = await rig.stats()
        assert stats["wrong_values"] == len(wrong)
        assert stats["unknown_values"] == 1
        ignored = stats["ignored"][device.id]
        assert (ignored["unknown"], ignored["wrong"]) == (1, len(wrong))
        assert ignored["keys"] == ["n", "s", "b", "j", "other"]


async def test_auto_define_makes_sensors_up_to_the_limit(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, auto_define=True, sensors=3)
    async with running(tmp_path, settings) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            await device.data(t=1, a="text", b=True, c=[1])
            assert (await rig.push("telemetry"))["values"] == {"t": 1, "a": "text", "b": True}
        defined = await rig.call("sensor.list", device_id=device.id)
        assert {each["value_key"]: each["type"] for each in defined} == {
            "t": "number",
            "a": "string",
            "b": "boolean",
        }


async def test_the_newest_status_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        assert await rig.call("status.latest", device_id=info["device_id"]) is None
        async with rig.device(info) as device:
            await device.send({"type": "status", "payload": {"battery": 85}})
            await device.send({"type": "status", "timestamp": 5, "payload": {"battery": 99}})
            await device.data(t=1)
            await rig.push("telemetry")  # what came before it is stored too
            found = await rig.call("status.latest", device_id=device.id)
            assert found["payload"] == {"battery": 85}
            assert abs(found["timestamp"] - time.time()) < SECONDS


async def test_a_silent_device_goes_offline_and_comes_back_on_the_same_connection(
    tmp_path: Path,
) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, online_seconds=0.05)
    async with running(tmp_path, settings) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            assert (await rig.push("device.offline"))["reason"] == "silent"
            sent = await rig.call(
                "command.send", device_id=device.id, payload={"light": 1}, wait=False
            )
            assert sent["status"] == "QUEUED"
            await device.send({"type": "heartbeat"})
            assert (await rig.push("device.online"))["device_id"] == device.id
            assert (await device.receive())["command_id"] == sent["command_id"]


async def test_the_end_of_a_replaced_connection_means_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as old:
            await rig.push("device.online")
            async with rig.device(info) as new:
                await old.wait_closed()
                await new.data(t=1)
                await rig.push("telemetry")
                assert (await rig.call("device.get", device_id=new.id))["online"]
                assert [name for name, _ in rig.pushes if name.startswith("device.")] == []


async def test_two_devices_with_one_id_are_slowed_down_and_reported(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, flaps=2, flap_delay=0.2)
    async with running(tmp_path, settings) as rig:
        info = await rig.create()
        async with rig.device(info), rig.device(info), rig.device(info) as last:
            started = time.monotonic()
            async with rig.device(info):
                assert time.monotonic() - started >= 0.2
                await last.wait_closed()
                assert (await rig.stats())["flapping"] == [last.id]


class Hesitating(SqliteStore):
    """A store that keeps what it has read of a device to itself until it may go on."""

    go_on: anyio.Event | None = None

    async def device(self, device_id: str) -> Known:
        known = await super().device(device_id)
        if self.go_on is not None:
            self.has_read.set()
            await self.go_on.wait()
        return known

    async def __aenter__(self) -> Self:
        self.has_read = anyio.Event()
        return await super().__aenter__()


async def test_a_key_that_is_changed_while_its_device_waits_lets_nobody_in(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, flaps=1, flap_delay=0.05)
    store = Hesitating(tmp_path / "nova.db", durable=False)
    async with running(tmp_path, settings, store) as rig:
        info = await rig.create()
        async with rig.device(info), rig.device(info) as second, rig.link(info) as third:
            async with anyio.create_task_group() as tasks:

                async def come() -> None:
                    assert (await third.authenticate())["status"] == "error"

                store.go_on = anyio.Event()
                tasks.start_soon(come)
                with anyio.fail_after(SECONDS):
                    await store.has_read.wait()
                await rig.call("device.rotate_key", device_id=second.id)
                store.go_on.set()
            await second.wait_closed()


async def test_a_command_passes_its_states(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as device, anyio.create_task_group() as tasks:

            async def work() -> None:
                command = await device.answer("pending", {"progress": 1})
                assert command["payload"] == {"light": "ON"}
                await device.respond(command["command_id"], "success", {"light": "is on"})
                await device.respond(command["command_id"], "error", "too late")

            tasks.start_soon(work)
            outcome = await rig.call("command.send", device_id=device.id, payload={"light": "ON"})
            assert outcome["status"] == "SUCCESS"
            assert outcome["payload"] == {"light": "is on"}
            await rig.until_stat("dropped_responses")
        updates = [(await rig.push("command.update"))["status"] for _ in range(4)]
        assert updates == ["QUEUED", "SENT", "PENDING", "SUCCESS"]
        found = await rig.call("command.get", command_id=outcome["command_id"])
        assert (found["status"], found["payload"]) == ("SUCCESS", {"light": "is on"})
        assert found["created"] <= found["sent"] <= found["finished"]


async def test_a_command_without_an_answer_times_out(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, response_seconds=0.05)
    async with running(tmp_path, settings) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            outcome = await rig.call("command.send", device_id=device.id, payload={"light": 1})
            assert outcome["status"] == "TIMEOUT"
            await device.answer()
            await rig.until_stat("dropped_responses")
        (row,) = await rig.call("command.list", device_id=device.id)
        assert row["status"] == "TIMEOUT"


async def test_a_command_for_nobody_expires(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        outcome = await rig.call(
            "command.send", device_id=info["device_id"], payload={"light": 1}, expires=0.05
        )
        assert outcome["status"] == "EXPIRED"
        async with rig.device(info) as device:
            fresh = await rig.call(
                "command.send", device_id=device.id, payload={"light": 2}, wait=False
            )
            assert (await device.receive())["command_id"] == fresh["command_id"]


async def test_waiting_for_a_command_has_an_end(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            outcome = await rig.call(
                "command.send", device_id=device.id, payload={"light": 1}, timeout=0.01
            )
            assert outcome["status"] == "SENT"


async def test_queued_commands_follow_the_answer_after_a_pause_or_the_next_message(
    tmp_path: Path,
) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, settle_seconds=0.2)
    async with running(tmp_path, settings) as rig:
        info = await rig.create()
        params = {"device_id": info["device_id"], "payload": {"light": 1}, "wait": False}
        await rig.call("command.send", **params)
        started = time.monotonic()
        async with rig.device(info) as device:
            await device.receive()
            assert time.monotonic() - started >= 0.2
        await rig.push("device.offline")
        await rig.call("command.send", **params)
        async with rig.device(info) as device:
            await device.send({"type": "heartbeat"})
            await device.receive()
        await rig.push("device.offline")
        async with rig.device(info) as device:
            await rig.call("command.send", **params)
            await device.receive()


async def test_what_is_sent_is_ascii(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            text = "gr\u00fc\u00df \u6b63 \U0001f600"
            await rig.call("command.send", device_id=device.id, payload={"light": text}, wait=False)
            assert (await device.receive())["payload"] == {"light": text}


async def test_commands_and_values_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            await device.data(7, t=1)
            await rig.push("telemetry")
            under_way = await rig.call(
                "command.send", device_id=device.id, payload={"light": 1}, wait=False
            )
            await device.receive()
        await rig.push("device.offline")
        queued = await rig.call(
            "command.send", device_id=device.id, payload={"light": 2}, wait=False
        )
        assert queued["status"] == "QUEUED"
    async with running(tmp_path) as rig:
        found = await rig.call("device.get", device_id=info["device_id"])
        assert abs(found["last_seen"] - time.time()) < SECONDS
        latest = await rig.call("telemetry.latest", device_id=info["device_id"])
        assert latest == {"t": {"value": 1, "timestamp": 7.0}}
        async with rig.device(info) as device:
            await device.respond(under_way["command_id"], "success")
            command = await device.answer()
            assert command["command_id"] == queued["command_id"]
            for sent in under_way, queued:
                while (await rig.push("command.update"))["status"] != "SUCCESS":
                    pass
                found = await rig.call("command.get", command_id=sent["command_id"])
                assert found["status"] == "SUCCESS"


async def outbox(rig: Rig, info: dict[str, str], *seqs: int) -> int:
    """Send rows of an outbox on a new connection; returns up to where they were acknowledged."""
    async with rig.link(info) as device:
        answer = await device.authenticate(ext=["ack", "other"], outbox_id="box")
        assert answer["ext"] == ["ack"]
        for seq in seqs:
            message = {"type": "data", "seq": seq, "timestamp": seq, "payload": {"t": seq}}
            await device.send(message)
        upto = 0
        while upto < max(seqs):
            ack = await device.receive()
            assert ack["type"] == "ack"
            assert ack["payload"]["upto"] > upto
            upto = ack["payload"]["upto"]
        return upto


async def test_acknowledged_data_is_stored_exactly_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        assert await outbox(rig, info, 1, 2, 3) == 3
        assert await outbox(rig, info, 2, 3, 5) == 5
        query = {"device_id": info["device_id"], "value_key": "t"}
        points = await rig.call("telemetry.query", **query)
        assert [point["value"] for point in points] == [1, 2, 3, 5]
        assert (await rig.stats())["duplicates"] == 2


async def test_the_extension_is_not_used_unless_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.link(info) as device:
            assert "ext" not in await device.authenticate()


@pytest.mark.parametrize("change", ["disable", "rotate", "delete"])
async def test_a_device_that_may_no_longer_connect_is_cut_off(tmp_path: Path, change: str) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            if change == "disable":
                await rig.call("device.update", device_id=device.id, enabled=False)
            elif change == "rotate":
                await rig.call("device.rotate_key", device_id=device.id)
            else:
                await rig.call("device.delete", device_id=device.id)
            await device.wait_closed()
        async with rig.link(info) as device:
            assert (await device.authenticate())["status"] == "error"
            await device.wait_closed()


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindFailed, match=str(port)):
            async with NovaPlatform(SqliteStore(tmp_path / "a.db"), port=port):
                pass


async def test_settings_are_checked() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"burst": 0}, PlatformSettings)
