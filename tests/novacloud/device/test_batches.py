"""Reports that leave together: as one message where one time and the keys allow it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import UsageError
from jsonrpc_iot.novacloud import NovaDevice, Outbox
from tests.novacloud.rig import running
from tests.novacloud.scripted import AT_ONCE, ID, KEY, Far, Platform, connected
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

LONG = 3600.0


@asynccontextmanager
async def batching(**options: Any) -> AsyncIterator[tuple[NovaDevice, Far]]:
    """A device whose batches end when they are told to, and its platform that acknowledges."""
    async with connected(["ack"], batch_seconds=LONG, **options) as (device, far, _):
        yield device, far


async def sent(device: NovaDevice, far: Far) -> list[dict[str, Any]]:
    """The messages that leave when the device is flushed; a command marks their end."""
    device.flush()
    await eventually(lambda: device.counts.sent == device.outbox.last_seq)
    far.command("mark")
    messages = []
    while (message := await far.read())["type"] != "command_response":
        messages.append(message)
    return messages


@pytest.mark.parametrize("outbox", [None, "o"])
async def test_reports_leave_as_one_message(tmp_path: Path, outbox: str | None) -> None:
    place = None if outbox is None else tmp_path / outbox
    async with batching(outbox=place) as (device, far):
        before = time.time()
        await device.report({"a": 1})
        after = time.time()
        await device.report({"b": {"c": [2]}})
        await device.report({"状态": "好", "d": False})
        assert device.outbox.rows == 1
        (message,) = await sent(device, far)
        assert before - 0.001 <= message.pop("timestamp") <= after + 0.001
        values = {"a": 1, "b": {"c": [2]}, "状态": "好", "d": False}
        assert message == {"type": "data", "seq": 1, "payload": values}
        far.ack(1)
        await eventually(lambda: device.outbox.rows == 0)


async def test_a_key_that_comes_again_or_another_time_is_another_message() -> None:
    async with batching() as (device, far):
        await device.report({"a": 1}, timestamp=5)
        await device.report({"b": 2}, timestamp=5)
        await device.report({"c": 3}, timestamp=6)
        await device.report({"d": 4})  # now, which is not 6
        await device.report({"d": 5})
        await device.report({"e": 6})
        messages = await sent(device, far)
    assert [message["payload"] for message in messages] == [
        {"a": 1, "b": 2},
        {"c": 3},
        {"d": 4},
        {"d": 5, "e": 6},
    ]
    assert [message["seq"] for message in messages] == [1, 2, 3, 4]
    times = [message["timestamp"] for message in messages]
    assert times[:2] == [5, 6]
    assert times[2] <= times[3]


async def test_keys_are_the_same_when_json_has_one_form_for_them() -> None:
    async with batching() as (device, far):
        await device.report({"1": 1})
        await device.report({1: 2})  # type: ignore[dict-item]
        assert [each["payload"] for each in await sent(device, far)] == [{"1": 1}, {"1": 2}]


async def test_a_message_stays_a_line() -> None:
    async with batching() as (device, far):
        for key in "abc":
            await device.report({key: 30_000 * "x"})
        assert [[*each["payload"]] for each in await sent(device, far)] == [["a", "b"], ["c"]]


async def test_a_batch_ends_with_its_time() -> None:
    async with connected(batch_seconds=0.2) as (device, far, _):
        began = anyio.current_time()
        await device.report({"a": 1})
        await device.report({"b": 2})
        assert (await far.read())["payload"] == {"a": 1, "b": 2}
        assert anyio.current_time() - began > 0.19
        await device.report({"c": 3})
        assert (await far.read())["payload"] == {"c": 3}


async def test_a_batch_that_is_large_ends() -> None:
    async with batching() as (device, far):
        for number in range(70):
            await device.report({"a": number})
        got = [(await far.read())["payload"]["a"] for _ in range(64)]
        assert got == [*range(64)]
        assert len(await sent(device, far)) == 6


async def test_a_status_waits_for_nothing_and_keeps_its_place() -> None:
    async with batching() as (device, far):
        await device.report({"a": 1})
        await device.send_status({"battery": 85})
        assert (await far.read())["payload"] == {"a": 1}
        assert (await far.read())["payload"] == {"battery": 85}
        await device.report({"b": 1})  # its batch is another one
        assert [each["payload"] for each in await sent(device, far)] == [{"b": 1}]


async def test_a_status_leaves_while_others_report() -> None:
    """A batch that begins before the status is stored does not hold it back."""
    async with batching() as (device, far):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(device.send_status, {"battery": 85})
            tasks.start_soon(device.report, {"a": 1})
        message = await far.read_type("status")
        assert message["payload"] == {"battery": 85}


async def test_a_batch_that_has_left_never_changes(tmp_path: Path) -> None:
    """Else its number would mean other values when it is sent again: some lost, others double."""
    async with Outbox(tmp_path / "o") as outbox:
        assert await outbox.put("data", 1, b'{"a":1}', 7) == 1
        assert await outbox.put("data", 1, b'{"b":1}', 7) == 1
        assert [row.payload for row in await outbox.read(0)] == [b'{"a":1,"b":1}']
        assert await outbox.put("data", 1, b'{"c":1}', 7) == 2  # too late to join
        await outbox.put("status", 1, b'{"s":1}')
        assert await outbox.put("data", 1, b'{"d":1}', 7) == 4
        assert await outbox.put("data", 1, b'{"e":1}', 8) == 5


@pytest.mark.parametrize("in_memory", [True, False])
async def test_batches_keep_to_the_bounds(tmp_path: Path, in_memory: bool) -> None:
    async with Outbox(None if in_memory else tmp_path / "o", max_bytes=300) as outbox:
        outbox.hold(anyio.current_time() + LONG)
        for number in range(30):
            await outbox.put("data", 1, b'{"key%d":"%s"}' % (number, 40 * b"x"), 1)
            assert outbox.size <= 300
        outbox.release()
        rows = await outbox.read(0)
        assert outbox.size == sum(len(row.payload) + 48 for row in rows)
        assert b'"key29"' in rows[-1].payload


async def test_rows_are_held_back(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "o") as outbox:
        await outbox.put("data", 1, b"{}")
        outbox.hold(anyio.current_time() + LONG)
        await outbox.put("data", 2, b"{}")
        await outbox.put("data", 3, b"{}")
        assert [row.seq for row in await outbox.read(0)] == [1]
        with anyio.move_on_after(0.02) as scope:
            await outbox.changed(1)
        assert scope.cancelled_caught
        outbox.release(2)
        assert [row.seq for row in await outbox.read(0)] == [1, 2]
        outbox.release()
        assert [row.seq for row in await outbox.read(0)] == [1, 2, 3]


async def test_what_waits_leaves_when_the_device_stops() -> None:
    platform = Platform()
    messages = []

    async def listen() -> None:
        far = await platform.admit()
        messages.extend(await far.end())

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            async with platform.device(batch_seconds=LONG) as device:
                await device.connected()
                await device.report({"a": 1})
                await device.report({"b": 2})
    assert [message["payload"] for message in messages] == [{"a": 1, "b": 2}]
    platform.close()


async def test_what_waits_is_on_the_disk(tmp_path: Path) -> None:
    """Without a platform, and also where the program is killed: the file has all of it at once."""
    options = {"device_id": ID, "device_key": KEY, "settings": AT_ONCE, "batch_seconds": LONG}
    device = NovaDevice("127.0.0.1", 1, outbox=tmp_path / "o", **options)  # type: ignore[arg-type]
    async with device:
        await device.report({"a": 1}, timestamp=5)
        await device.report({"b": 2}, timestamp=5)
        for ending in ("", "-wal"):
            (tmp_path / f"copy{ending}").write_bytes((tmp_path / f"o{ending}").read_bytes())
    async with Outbox(tmp_path / "copy") as outbox:
        assert await outbox.read(0) == [(1, "data", 5, b'{"a":1,"b":2}')]


async def test_a_connection_that_ends_sends_the_same_batches_again() -> None:
    async with connected(["ack"], batch_seconds=0.01) as (device, first, platform):
        await device.report({"a": 1}, timestamp=5)
        one = await first.read()
        await device.report({"b": 2}, timestamp=5)
        two = await first.read()
        first.reset()
        far = await platform.admit(["ack"])
        again = [await far.read(), await far.read()]
    assert again == [one, two]
    assert [message["payload"] for message in again] == [{"a": 1}, {"b": 2}]


async def test_a_platform_stores_every_value_of_a_batch_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(a="number", b="number")
        device = NovaDevice(
            "127.0.0.1", rig.platform.port, batch_seconds=0.05, settings=AT_ONCE, **info_of(info)
        )
        async with device:
            await device.connected()
            for number in range(10):
                await device.report({"a": number}, timestamp=1000 + number)
                await device.report({"b": number}, timestamp=1000 + number)
            await eventually(lambda: device.outbox.rows == 0)
        assert device.counts.sent == 10
        for key in ("a", "b"):
            values = await rig.call("telemetry.query", device_id=info["device_id"], value_key=key)
            assert [each["value"] for each in values] == [*range(10)]


def info_of(info: dict[str, str]) -> dict[str, Any]:
    return {"device_id": info["device_id"], "device_key": info["device_key"]}


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_times_that_make_no_sense(seconds: float) -> None:
    with pytest.raises(UsageError, match="batch_seconds"):
        NovaDevice("127.0.0.1", 1, device_id=ID, device_key=KEY, batch_seconds=seconds)
