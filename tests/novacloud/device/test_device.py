"""What a device says, and what it does with what it is told."""

import math
import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot import (
    Dispatcher,
    InternalError,
    MessageTooLarge,
    RpcError,
    Unencodable,
    UsageError,
    connect,
    serve,
)
from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Outbox, OutboxFailed
from tests.novacloud.scripted import AT_ONCE, ID, KEY, Platform, connected
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio


async def test_authentication_comes_first() -> None:
    platform = Platform()
    async with platform.device() as device:
        far = await platform.accept()
        assert not device.is_connected
        said = await far.admit()
        assert {name: said[name] for name in ("device_id", "device_key", "ext")} == {
            "device_id": ID,
            "device_key": KEY,
            "ext": ["ack"],
        }
        assert said["outbox_id"] == device.outbox.id
        await device.connected()
        assert device.is_connected
    platform.close()


async def test_reports() -> None:
    async with connected() as (device, far, _):
        before = time.time()
        await device.report({"temperature": 25.5, "状态": "正常", "history": [1, 2.5, True]})
        after = time.time()
        await device.report({"location": {"lat": 39.9}}, timestamp=1678886400)
        first, second = await far.read(), await far.read()
    assert before - 0.001 <= first.pop("timestamp") <= after + 0.001
    values = {"temperature": 25.5, "状态": "正常", "history": [1, 2.5, True]}
    assert first == {"type": "data", "payload": values}
    assert second == {
        "type": "data",
        "timestamp": 1678886400,
        "payload": {"location": {"lat": 39.9}},
    }


async def test_a_status_has_no_time_where_the_platform_knows_none() -> None:
    async with connected() as (device, far, _):
        await device.send_status({"battery": 85})
        assert await far.read() == {"type": "status", "payload": {"battery": 85}}


async def test_with_acknowledgements_rows_are_numbered() -> None:
    async with connected(["ack"]) as (device, far, _):
        await device.report({"a": 1}, timestamp=5)
        await device.send_status({"b": 2}, timestamp=6)
        assert await far.read() == {"type": "data", "payload": {"a": 1}, "timestamp": 5, "seq": 1}
        assert await far.read() == {"type": "status", "payload": {"b": 2}, "timestamp": 6, "seq": 2}
        assert device.outbox.rows == 2
        far.ack(1)
        await eventually(lambda: device.outbox.rows == 1)
        far.ack(99)  # no more than was sent
        await eventually(lambda: device.outbox.rows == 0)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, UsageError),
        ({"a": None}, UsageError),
        ({"a": math.nan}, Unencodable),
        ({"a": [1, {"b": math.inf}]}, Unencodable),
        ({"a": object()}, Unencodable),
        ({"a": "\ud800"}, Unencodable),
        ({"a": "x" * 70_000}, MessageTooLarge),
    ],
)
async def test_what_cannot_be_reported(values: dict[str, Any], error: type[Exception]) -> None:
    device = NovaDevice("127.0.0.1", 1, device_id=ID, device_key=KEY)
    async with device.outbox:
        with pytest.raises(error):
            await device.report(values)
        assert device.outbox.rows == 0
        with pytest.raises(UsageError):
            await device.report({"a": 1}, timestamp=math.nan)
    with pytest.raises(OutboxFailed, match="closed"):
        await device.report({"a": 1})


async def test_heartbeats_are_steady() -> None:
    seconds, held_up = 0.05, 0.0

    async def watch() -> None:
        nonlocal held_up
        while True:
            before = anyio.current_time()
            await anyio.sleep(0.005)
            pause = anyio.current_time() - before
            if pause > 0.02:  # the machine had something else to do
                held_up += pause

    async with connected(heartbeat=seconds) as (_, far, _), anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await far.read()
        began = anyio.current_time()
        for _ in range(20):
            assert await far.read() == {"type": "heartbeat"}
        took = anyio.current_time() - began
        tasks.cancel_scope.cancel()
    assert 17 * seconds <= took <= 22 * seconds + held_up


async def test_a_command() -> None:
    async with connected() as (device, far, _):
        state = []

        @device.command("light_switch")
        def switch(value: str) -> dict[str, str]:
            state.append(value)
            return {"now": value}

        far.command("c1", light_switch="ON")
        response = await far.response()
    assert state == ["ON"]
    results = {"light_switch": {"now": "ON"}}
    assert response == {"command_id": "c1", "status": "success", "payload": {"results": results}}


async def test_how_values_become_parameters() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def whole(value: dict[str, int]) -> dict[str, int]:
        return value

    @dispatcher.method
    async def several(red: int, green: int = 2) -> list[int]:
        return [red, green]

    @dispatcher.method
    async def by_name(*, level: int) -> int:
        return level

    @dispatcher.method
    def trigger() -> str:
        return "done"

    async with connected(dispatcher=dispatcher) as (_, far, _):
        far.command("c1", whole={"red": 1}, several={"red": 1, "green": 5}, by_name=3, trigger=True)
        assert (await far.response())["payload"]["results"] == {
            "whole": {"red": 1},
            "several": [1, 5],
            "by_name": 3,
            "trigger": "done",
        }
        far.command("c2", several=7)
        assert (await far.response())["payload"]["results"] == {"several": [7, 2]}


async def test_some_keys_fail() -> None:
    async with connected() as (device, far, _):

        @device.command("good")
        def good(value: int) -> int:
            return value

        @device.command("bad")
        def bad(value: int) -> int:
            raise RpcError(42, "jammed", {"at": value})

        far.command("c1", good=1, bad=2, unknown=3, **{"rpc.ping": 1})
        response = await far.response()
        far.command("c2", good="many")
        wrong_type = await far.response()
    assert response["status"] == "error"
    assert response["payload"]["results"] == {"good": 1}
    errors = response["payload"]["errors"]
    assert errors["bad"] == {"code": 42, "message": "jammed", "data": {"at": 2}}
    assert errors["unknown"]["code"] == errors["rpc.ping"]["code"] == -32601
    assert wrong_type["payload"]["errors"]["good"]["code"] == -32602


async def test_a_command_without_keys() -> None:
    async with connected() as (_, far, _):
        far.command("c1")
        assert await far.response() == {
            "command_id": "c1",
            "status": "success",
            "payload": {"results": {}},
        }


async def test_a_slow_command_is_pending_first() -> None:
    async with connected() as (device, far, _):
        go = anyio.Event()

        @device.command("move")
        async def move(value: int) -> int:
            await go.wait()
            return value

        far.command("c1", move=1)
        assert await far.response() == {"command_id": "c1", "status": "pending"}
        far.command("c1", move=1)  # again, while it runs
        assert (await far.response())["status"] == "pending"
        go.set()
        assert (await far.response())["status"] == "success"
    assert device.counts.commands == 1


async def test_a_command_that_comes_again_runs_once() -> None:
    runs = []
    async with connected() as (device, first, platform):

        @device.command("step")
        def step(value: int) -> int:
            runs.append(value)
            return len(runs)

        first.command("c1", step=1)
        answer = await first.response()
        first.command("c1", step=1)
        assert await first.response() == answer
        first.reset()
        far = await platform.admit()
        far.command("c1", step=1)
        assert await far.response() == answer
    assert (runs, device.counts.repeated_commands) == ([1], 2)


async def test_the_memory_of_commands_is_bounded() -> None:
    settings = DeviceSettings(answers=2)
    async with connected(settings=settings) as (device, far, _):
        runs = []

        @device.command("step")
        def step(value: int) -> None:
            runs.append(value)

        for number in (1, 2, 3, 3, 1):
            far.command(f"c{number}", step=number)
            await far.response()
    assert runs == [1, 2, 3, 1]


async def test_a_long_command_stays_pending() -> None:
    settings = msgspec.structs.replace(AT_ONCE, pending_seconds=0.01, still_pending_seconds=0.01)
    async with connected(settings=settings) as (device, far, _):
        go = anyio.Event()
        device.command("move")(go.wait)
        far.command("c1", move=1)
        for _ in range(3):
            assert (await far.response())["status"] == "pending"
        go.set()
        while (await far.response())["status"] == "pending":
            pass


async def test_answers_outlive_the_program(tmp_path: Path) -> None:
    runs: list[int] = []
    answers = []
    for _ in range(2):
        async with connected(outbox=tmp_path / "lamp.outbox") as (device, far, _):
            device.command("step")(runs.append)
            for id in ("c1", 7):
                far.send({"type": "command", "command_id": id, "payload": {"step": 1}})
                answers.append(await far.response())
    assert runs == [1, 1]
    assert answers[:2] == answers[2:]
    assert [each["command_id"] for each in answers[:2]] == ["c1", 7]


async def test_the_memory_of_commands_is_bounded_on_disk_as_well(tmp_path: Path) -> None:
    runs: list[int] = []
    settings = msgspec.structs.replace(AT_ONCE, answers=2)
    for numbers in ((1, 2, 3), (3, 2, 1)):
        outbox = tmp_path / "lamp.outbox"
        async with connected(settings=settings, outbox=outbox) as (device, far, _):
            device.command("step")(runs.append)
            for number in numbers:
                far.command(f"c{number}", step=number)
                await far.response()
    assert runs == [1, 2, 3, 1]


async def test_a_damaged_memory_of_commands_stops_no_device(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lamp.outbox.answers").write_bytes(b"no database" * 1000)
    async with connected(outbox=tmp_path / "lamp.outbox") as (device, far, _):
        device.command("step")(lambda value: value)
        far.command("c1", step=1)
        assert (await far.response())["status"] == "success"
    assert "damaged" in caplog.text


async def test_a_memory_of_commands_that_cannot_be_had_stops_no_device(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lamp.outbox.answers").mkdir()
    async with connected(outbox=tmp_path / "lamp.outbox") as (device, far, _):
        device.command("step")(lambda value: value)
        far.command("c1", step=1)
        assert (await far.response())["status"] == "success"
        far.command("c1", step=1)
        assert (await far.response())["status"] == "success"
        assert device.counts.commands == 1
    assert "do not outlive the program" in caplog.text


async def test_the_platform_is_told_the_reason_and_nobody_else() -> None:
    async with connected() as (device, far, _):

        @device.command("move")
        def move(value: int) -> None:
            raise OSError(f"the motor is stuck at {value}")

        @device.command("stop")
        def stop() -> None:
            raise KeyError

        far.command("c1", move=3, stop=1)
        errors = (await far.response())["payload"]["errors"]
        assert errors["move"] == {"code": -32603, "message": "the motor is stuck at 3"}
        assert errors["stop"] == {"code": -32603, "message": "KeyError"}
        async with serve(device.dispatcher, "memory://lamp"), connect("memory://lamp") as client:
            with pytest.raises(InternalError, match="Internal error"):
                await client.call("move", {"value": 3})


@pytest.mark.parametrize("id", ["c1", 7])
@pytest.mark.parametrize("members", [{}, {"payload": None}, {"payload": [1]}])
async def test_a_command_that_makes_no_sense_is_answered(
    id: str | int, members: dict[str, Any]
) -> None:
    async with connected() as (device, far, _):
        far.send({"type": "command", "command_id": id, **members})
        answer = await far.response()
        assert (answer["command_id"], answer["status"]) == (id, "error")
        assert "payload" in answer["payload"]["error"]["data"]["message"]
        assert device.counts.malformed == 1


async def test_too_many_commands_at_once() -> None:
    settings = DeviceSettings(commands=1, close_seconds=0)
    async with connected(settings=settings) as (device, far, _):

        @device.command("wait")
        async def wait(value: int) -> None:
            await anyio.sleep_forever()

        far.command("c1", wait=1)
        far.command("c2", wait=1)
        response = await far.response()
        assert (response["command_id"], response["status"]) == ("c2", "error")
        assert response["payload"]["errors"]["wait"]["code"] == -32004


async def test_a_result_that_fits_no_line() -> None:
    async with connected() as (device, far, _):

        @device.command("dump")
        def dump(value: int) -> str:
            return "x" * value

        far.command("c1", dump=70_000)
        response = await far.response()
    assert (response["status"], response["payload"]["errors"]["dump"]["code"]) == ("error", -32001)


async def test_a_command_outlives_its_connection() -> None:
    async with connected() as (device, first, platform):
        go, begun = anyio.Event(), anyio.Event()

        @device.command("move")
        async def move(value: int) -> int:
            begun.set()
            await go.wait()
            return value

        first.command("c1", move=1)
        with anyio.fail_after(SECONDS):
            await begun.wait()
        first.reset()
        await eventually(lambda: not device.is_connected)
        go.set()
        await eventually(lambda: device.counts.commands == 1)
        far = await platform.admit()
        response = await far.response()
    assert (response["command_id"], response["status"]) == ("c1", "success")


async def test_a_device_that_stops_answers_what_still_runs() -> None:
    platform = Platform()
    device = platform.device(settings=DeviceSettings(close_seconds=0.05))
    begun = anyio.Event()

    @device.command("move")
    async def move(value: int) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with device:
        far = await platform.admit()
        far.command("c1", move=1)
        with anyio.fail_after(SECONDS):
            await begun.wait()
    messages = await far.end()
    assert [message["status"] for message in messages] == ["error"]
    platform.close()


async def test_other_messages() -> None:
    async with connected() as (device, far, _):
        seen = []

        @device.on_message("config_update")
        async def update(message: dict[str, Any]) -> None:
            seen.append(message)

        @device.on_message("broken")
        def broken(message: dict[str, Any]) -> None:
            raise ValueError

        message = {"type": "config_update", "payload": {"interval": 5}}
        far.socket.sendall(b'\n{"type":1}\nnonsense\n')
        far.send({"type": "broken"})
        far.send({"type": "firmware"})
        far.send({"type": "error", "payload": {"message": "what?"}})
        far.send(message)
        await eventually(lambda: seen)
        assert seen == [message]
        assert (device.counts.unknown_messages, device.counts.malformed) == (1, 2)
        assert device.counts.complaints == 1
        assert device.is_connected
        with pytest.raises(UsageError):
            device.on_message("command")


async def test_the_same_dispatcher_serves_other_links() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def light_switch(value: str) -> str:
        return f"now {value}"

    async with (
        connected(dispatcher=dispatcher) as (_, far, _),
        serve(dispatcher, "udp://127.0.0.1:0") as server,
        connect(server.urls[0]) as client,
    ):
        far.command("c1", light_switch="ON")
        assert (await far.response())["payload"]["results"] == {"light_switch": "now ON"}
        assert await client.call("light_switch", {"value": "OFF"}) == "now OFF"


async def test_permissions_of_the_platform() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(requires="door")
    def unlock(seconds: int) -> int:
        return seconds

    for permissions, status in ((None, "error"), ({"door"}, "success")):
        async with connected(dispatcher=dispatcher, permissions=permissions) as (_, far, _):
            far.command("c1", unlock=5)
            assert (await far.response())["status"] == status


async def test_what_was_reported_last_is_sent_before_it_closes() -> None:
    platform = Platform()
    messages = []

    async def listen() -> None:
        far = await platform.admit()
        messages.extend(await far.end())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        async with platform.device(settings=DeviceSettings(drain_burst=200)) as device:
            await device.connected()
            for number in range(200):
                await device.report({"n": number})
    assert [message["payload"]["n"] for message in messages] == [*range(200)]
    platform.close()


async def test_draining_is_rate_limited() -> None:
    settings = DeviceSettings(drain_rate=50, drain_burst=10)
    async with connected(settings=settings) as (device, far, _):
        began = anyio.current_time()
        for number in range(30):
            await device.report({"n": number})
        got = [(await far.read())["payload"]["n"] for _ in range(30)]
        assert got == [*range(30)]
        assert 0.35 < anyio.current_time() - began < 2


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with connected():
            raise KeyError("mine")
    with anyio.move_on_after(0.1) as scope:
        async with connected():
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_nobody_is_there() -> None:
    async with Outbox() as probe:
        assert probe.rows == 0
    device = NovaDevice("127.0.0.1", 1, device_id=ID, device_key=KEY, settings=AT_ONCE)
    async with device:
        await device.report({"a": 1})
        await eventually(lambda: device.counts.failed_connections > 2)
        assert device.outbox.rows == 1
