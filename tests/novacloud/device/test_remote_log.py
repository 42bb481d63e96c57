"""A program's log, sent to its platform."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from jsonrpc_iot import UsageError
from jsonrpc_iot.novacloud import DeviceLogHandler, DeviceSettings, NovaDevice, Outbox
from tests.novacloud.rig import running
from tests.novacloud.scripted import AT_ONCE, ID, KEY, Far, Platform, connected
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

OFTEN = 0.02


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A program's logger, which forgets its handlers."""
    logger = logging.getLogger("lamp")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()


async def next_log(far: Far) -> Any:
    return (await far.read_type("status"))["payload"]


async def test_records_are_sent_as_a_status(log: logging.Logger) -> None:
    async with connected() as (device, far, _):
        log.addHandler(device.log_handler(seconds=OFTEN))
        log.info("all is well")
        log.warning("the motor is at %d °C", 90)
        try:
            raise OSError("stuck")
        except OSError:
            log.exception("no move")
        first, second = (await next_log(far))["log"]
    assert isinstance(first.pop("at"), float)
    assert first == {"level": "WARNING", "logger": "lamp", "message": "the motor is at 90 °C"}
    assert second["message"].startswith("no move\nTraceback")
    assert second["message"].endswith("OSError: stuck")


async def test_they_may_come_from_any_thread_and_are_bounded(log: logging.Logger) -> None:
    async with connected() as (device, far, _):
        handler = device.log_handler(seconds=OFTEN, records=20, size=3000)
        log.addHandler(handler)

        def storm() -> None:
            for number in range(100):
                log.warning("%d %s", number, 5000 * "x")

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(anyio.to_thread.run_sync, storm)
        statuses = [await next_log(far)]
        while sum(len(each["log"]) for each in statuses) + handler.dropped < 400:
            statuses.append(await next_log(far))
    assert all(len(msgspec.json.encode(each["log"])) < 3300 for each in statuses)
    assert all(len(record["message"]) < 1010 for each in statuses for record in each["log"])
    assert statuses[-1]["log_dropped"] == handler.dropped >= 400 - 20 - 3 * len(statuses)


async def test_their_rate_is_bounded(log: logging.Logger) -> None:
    async with connected() as (device, far, _):
        log.addHandler(device.log_handler(seconds=0.1, size=1))
        began = anyio.current_time()
        for number in range(3):
            log.warning("%d", number)
        for number in range(3):
            (record,) = (await next_log(far))["log"]
            assert record["message"] == str(number)
        assert anyio.current_time() - began > 0.29


async def test_what_the_device_logs_itself_is_not_sent() -> None:
    """Else each status would be the next one's record."""
    root, own = logging.getLogger(), logging.getLogger("jsonrpc_iot.novacloud")
    level, own_level = root.level, own.level
    async with connected(heartbeat=0.05) as (device, far, _):
        handler = device.log_handler(logging.DEBUG, seconds=0.01)
        root.addHandler(handler)
        own.setLevel(logging.DEBUG)
        try:
            own.error("mine")
            own.getChild("part").error("mine too")
            logging.getLogger("jsonrpc_iot.novacloudy").error("somebody else's")
            (record,) = (await next_log(far))["log"]
            assert record["message"] == "somebody else's"
            for _ in range(4):  # time enough for another one
                assert await far.read() == {"type": "heartbeat"}
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            own.setLevel(own_level)


async def test_they_take_no_room_from_reports_in_an_outage(
    log: logging.Logger, tmp_path: Path
) -> None:
    platform = Platform()
    device = platform.device(outbox=tmp_path / "o")
    handler = device.log_handler(seconds=OFTEN, records=2)
    log.addHandler(handler)
    async with device:
        for number in range(5):
            log.warning("%d", number)
        await anyio.sleep(3 * OFTEN)
        assert (device.outbox.rows, handler.dropped) == (0, 3)
        status = await next_log(await platform.admit())
    assert [record["message"] for record in status["log"]] == ["0", "1"]
    assert status["log_dropped"] == 3
    platform.close()


async def test_what_waits_is_sent_when_the_device_stops(
    log: logging.Logger, tmp_path: Path
) -> None:
    device = NovaDevice(
        "127.0.0.1", 1, device_id=ID, device_key=KEY, settings=AT_ONCE, outbox=tmp_path / "o"
    )
    log.addHandler(device.log_handler())
    async with device:
        log.warning("goodbye")
    async with Outbox(tmp_path / "o") as outbox:
        (row,) = await outbox.read(0)
    assert row.kind == "status"
    assert msgspec.json.decode(row.payload)["log"][0]["message"] == "goodbye"


async def test_records_that_are_strange(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    async with connected() as (device, far, _):
        log.addHandler(device.log_handler(seconds=OFTEN))
        log.warning("%d", "no number")
        log.warning("half \ud800 and the key %s", KEY)
        (record,) = (await next_log(far))["log"]
        assert record["message"] == "half ? and the key ***"


async def test_a_record_that_fits_no_line_stops_no_device(log: logging.Logger) -> None:
    settings = msgspec.structs.replace(AT_ONCE, line=1024)
    async with connected(settings=settings) as (device, far, _):
        handler = device.log_handler(seconds=OFTEN)
        log.addHandler(handler)
        log.warning(1000 * "x")
        await eventually(lambda: handler.dropped == 1)
        log.warning("short")
        assert (await next_log(far))["log_dropped"] == 1


async def test_a_handler_that_is_closed_is_forgotten(log: logging.Logger) -> None:
    async with connected() as (device, _, _):
        device.log_handler(seconds=OFTEN).close()
        await eventually(lambda: not device._logs)


async def test_the_platform_keeps_the_log_beside_the_status(
    log: logging.Logger, tmp_path: Path
) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        who: dict[str, Any] = {name: info[name] for name in ("device_id", "device_key")}
        device = NovaDevice("127.0.0.1", rig.platform.port, settings=DeviceSettings(), **who)
        log.addHandler(device.log_handler(seconds=OFTEN))
        async with device:
            await device.connected()
            await device.send_status({"battery": 85})
            log.warning("hot")
            await eventually(lambda: device.counts.sent == 2 and device.outbox.rows == 0)
        latest = await rig.call("status.latest", device_id=info["device_id"])
        assert latest["payload"]["battery"] == 85
        assert latest["payload"]["log"][0]["message"] == "hot"


@pytest.mark.parametrize("bound", ["seconds", "records", "size"])
def test_bounds_that_make_no_sense(bound: str) -> None:
    device = NovaDevice("127.0.0.1", 1, device_id=ID, device_key=KEY)
    with pytest.raises(UsageError):
        device.log_handler(**{bound: 0})
    assert isinstance(device.log_handler(logging.INFO), DeviceLogHandler)
