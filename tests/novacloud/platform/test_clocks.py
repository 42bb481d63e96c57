"""What a platform decides by time, while its clock is set, is wrong, or its machine sleeps."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jsonrpc_iot.novacloud.clock import elapsed
from jsonrpc_iot.novacloud.platform import commands
from tests.novacloud.rig import NO_PAUSES, Rig, running

pytestmark = pytest.mark.anyio

_HOUR = 3600.0


class Clocks:
    """By how many seconds the clocks are off; they go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.day = 0.0
        self.asleep = 0.0
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + self.day + self.asleep)
        monkeypatch.setattr(commands, "elapsed", lambda: elapsed() + self.asleep)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


async def ask(rig: Rig, info: dict[str, str], value: int, expires: float = 300) -> str:
    """Send a command to a device that is not there."""
    outcome = await rig.call(
        "command.send",
        device_id=info["device_id"],
        payload={"light": value},
        wait=False,
        expires=expires,
    )
    id: str = outcome["command_id"]
    return id


async def got(rig: Rig, info: dict[str, str]) -> list[Any]:
    """What a device is told that comes now, up to a command that is asked for then."""
    values = []
    async with rig.device(info) as device:
        await device.send({"type": "heartbeat"})
        await ask(rig, info, 99)
        while (value := (await device.answer())["payload"]["light"]) != 99:
            values.append(value)
    await rig.push("device.offline")
    return values


async def status(rig: Rig, id: str) -> str:
    row = await rig.call("command.get", command_id=id)
    found: str = row["status"]
    return found


async def test_a_platform_that_starts_with_an_early_clock_sends_nothing_of_old(
    tmp_path: Path, clocks: Clocks
) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        id = await ask(rig, info, 1)
    clocks.day = -_HOUR  # a machine without a battery
    async with running(tmp_path) as rig:
        assert await got(rig, info) == []
        assert await status(rig, id) == "EXPIRED"


async def test_a_command_has_expired_once_the_clock_is_set_right(
    tmp_path: Path, clocks: Clocks
) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        id = await ask(rig, info, 1)
    clocks.day = 10  # the machine goes on with the time at which it stopped
    async with running(tmp_path) as rig:
        assert await status(rig, id) == "QUEUED"
        clocks.day = _HOUR
        assert await got(rig, info) == []
        assert await status(rig, id) == "EXPIRED"


@pytest.mark.parametrize(("later", "is_sent"), [(10, True), (301, False)])
async def test_a_command_that_was_asked_for_by_a_fast_clock(
    tmp_path: Path, clocks: Clocks, later: float, is_sent: bool
) -> None:
    clocks.day = 2 * _HOUR
    async with running(tmp_path) as rig:
        info = await rig.create()
        id = await ask(rig, info, 1)
        clocks.day = 0
        await ask(rig, info, 2, expires=0.001)
        while (await rig.push("command.update"))["status"] != "EXPIRED":
            pass
    clocks.day = later
    async with running(tmp_path) as rig:
        assert await got(rig, info) == ([1] if is_sent else [])
        assert await status(rig, id) == ("SUCCESS" if is_sent else "EXPIRED")


@pytest.mark.parametrize("day", [-_HOUR, 24 * _HOUR])
async def test_a_clock_that_is_set_ends_no_command(
    tmp_path: Path, clocks: Clocks, day: float
) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        id = await ask(rig, info, 1)
        clocks.day = day
        assert await got(rig, info) == [1]
        assert await status(rig, id) == "SUCCESS"


async def test_the_time_that_a_machine_sleeps_counts(tmp_path: Path, clocks: Clocks) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        id = await ask(rig, info, 1)
        clocks.asleep = 301
        assert await got(rig, info) == []
        assert await status(rig, id) == "EXPIRED"


async def test_sleep_is_noticed_without_a_device(
    tmp_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_LOOK_SECONDS", 0.01)
    async with running(tmp_path) as rig:
        info = await rig.create()
        await ask(rig, info, 1)
        clocks.asleep = 301
        while (await rig.push("command.update"))["status"] != "EXPIRED":
            pass


async def test_a_command_that_a_slow_device_has_not_read_in_time_is_not_sent_later(
    tmp_path: Path, clocks: Clocks
) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, unsent=1 << 26)
    async with running(tmp_path, settings) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            for _ in range(250):
                await rig.call(
                    "command.send",
                    device_id=info["device_id"],
                    payload={"light": "x" * 60_000},
                    wait=False,
                )
            rows = await rig.call("command.list", device_id=info["device_id"], limit=1000)
            waiting = {row["command_id"] for row in rows if row["status"] == "QUEUED"}
            assert len(waiting) > 1, "the system has taken all of it"
            clocks.asleep = 301
            last = await ask(rig, info, 1)
            seen = set()
            while (id := (await device.receive())["command_id"]) != last:
                seen.add(id)
            assert len(seen & waiting) <= 1  # of one a part had gone
            assert seen | waiting == {row["command_id"] for row in rows}


async def test_a_response_is_waited_for_no_longer_than_usual_after_the_clock_was_set_back(
    tmp_path: Path, clocks: Clocks
) -> None:
    settings = msgspec.structs.replace(NO_PAUSES, response_seconds=0.1)
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.device(info) as device:
            id = await ask(rig, info, 1)
            await device.receive()
    clocks.day = -_HOUR
    async with running(tmp_path, settings) as rig:  # its push may come before anybody listens

        async def has_timed_out() -> bool:
            command = await rig.call("command.get", command_id=id)
            return bool(command["status"] == "TIMEOUT")

        await rig.until(has_timed_out)


async def test_a_device_that_counts_milliseconds_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create(t="number")
        async with rig.device(info) as device:
            await device.data(time.time() * 1000, t=1)
            answer = await device.receive()
            assert answer["type"] == "error"
            assert "$.timestamp" in answer["payload"]["message"]
            await device.data(t=2)
            await rig.push("telemetry")
        latest = await rig.call("telemetry.latest", device_id=info["device_id"])
        assert latest["t"]["value"] == 2
