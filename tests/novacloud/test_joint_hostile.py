"""A device and a platform that means it no good."""

import itertools
import logging
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from jsonrpc_iot.novacloud import DeviceSettings
from tests.waiting import SECONDS, eventually

from .scripted import AT_ONCE, Far, Platform, connected

pytestmark = pytest.mark.anyio


async def still_works(far: Far) -> None:
    with anyio.fail_after(SECONDS):
        for attempt in itertools.count():
            far.command(f"last{attempt}", light=1)
            while (message := await far.response())["command_id"] != f"last{attempt}":
                pass
            if message["status"] == "success":
                return  # it is not busy with what came before any more


async def test_a_command_with_thousands_of_keys_gets_an_answer_that_fits_a_line() -> None:
    async with connected() as (device, far, _):

        @device.command("light")
        def light(value: int) -> int:
            return value

        keys = {f"k{number}": 1 for number in range(1_500)}
        line = msgspec.json.encode({"type": "command", "command_id": "many", "payload": keys})
        assert len(line) < 65536
        far.send({"type": "command", "command_id": "many", "payload": keys})
        answer = await far.response()
        assert (answer["command_id"], answer["status"]) == ("many", "error")
        assert len(msgspec.json.encode(answer)) < 65536
        assert answer["payload"]["error"]["code"] == -32001
        await still_works(far)


@pytest.mark.parametrize("same_id", [True, False])
async def test_a_flood_of_commands_that_nobody_reads_the_answers_of(same_id: bool) -> None:
    settings = msgspec.structs.replace(AT_ONCE, pending_seconds=60, commands=2)
    async with connected(settings=settings) as (device, far, _):
        go_on = anyio.Event()

        @device.command("light")
        async def light(value: int) -> int:
            await go_on.wait()
            return value

        for number in range(2):
            far.command(f"id{number}", light=1)
        most = 0
        for start in range(0, 5_000, 500):
            lines = b"".join(
                msgspec.json.encode(
                    {
                        "type": "command",
                        "command_id": "id0" if same_id else f"{'x' * 90}{number}",
                        "payload": {"light": number},
                    }
                )
                + b"\n"
                for number in range(start, start + 500)
            )
            with anyio.move_on_after(5.0):
                while lines:
                    await anyio.wait_writable(far.socket)
                    lines = lines[far.socket.send(lines) :]
            most = max(most, len(anyio.get_running_tasks()))
        assert most < 100
        go_on.set()
        await still_works(far)


@pytest.mark.parametrize("upto", [-1, 0, 1.5, "1", None, 1 << 64, True, [1]])
async def test_an_acknowledgement_of_no_number_is_counted(upto: Any) -> None:
    async with connected(["ack"]) as (device, far, _):
        await device.report({"t": 1})
        await far.read_type("data")
        far.send({"type": "ack", "payload": {"upto": upto}})
        await eventually(lambda: device.counts.malformed == 1)
        far.socket.sendall(b'{"type":"ack","payload":{"upto":NaN}}\n')
        await eventually(lambda: device.counts.malformed == 2)
        assert device.outbox.rows == 1
        far.ack(1)
        await eventually(lambda: device.outbox.rows == 0)


async def test_what_was_not_sent_is_not_acknowledged() -> None:
    async with connected(["ack"]) as (device, far, _):
        far.ack((1 << 63) - 1)
        far.command("then", nothing=1)
        await far.response()  # the acknowledgement has been read
        await device.report({"t": 1})
        assert (await far.read_type("data"))["seq"] == 1
        assert device.outbox.rows == 1
        far.ack(1)
        await eventually(lambda: device.outbox.rows == 0)


@pytest.mark.parametrize("in_bytes", [True, False])
async def test_an_admission_in_pieces_or_with_all_that_follows(in_bytes: bool) -> None:
    platform = Platform()
    try:
        async with platform.device() as device:

            @device.command("light")
            def light(value: int) -> int:
                return value

            await device.report({"t": 1})
            far = await platform.accept()
            assert (await far.read())["type"] == "auth"
            messages: list[dict[str, Any]] = [
                {"type": "auth_response", "payload": {"status": "success", "ext": ["ack"]}},
                {"type": "command", "command_id": "one", "payload": {"light": 1}},
                {"type": "firmware_notice", "payload": {}},
                {"type": "command", "command_id": "two", "payload": {"light": 2}},
            ]
            data = b"".join(msgspec.json.encode(each) + b"\n" for each in messages)
            size = 1 if in_bytes else len(data)
            for start in range(0, len(data), size):
                far.socket.sendall(data[start : start + size])
                await anyio.lowlevel.checkpoint()
            got = [await far.read() for _ in range(3)]
            answers = [each["command_id"] for each in got if each["type"] == "command_response"]
            assert sorted(answers) == ["one", "two"]
            assert [each["seq"] for each in got if each["type"] == "data"] == [1]
            assert device.counts.unknown_messages == 1
    finally:
        platform.close()


async def test_lines_of_nonsense_do_not_end_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "jsonrpc_iot.novacloud")
    async with connected(settings=DeviceSettings(close_seconds=0.1)) as (device, far, _):

        @device.command("light")
        def light(value: int) -> int:
            return value

        lines = [b"\xff\xfe", b"[" * 1000, b"{}", b"null", b'"\\ud800"', b'{"type":1}', b"\0"]
        lines.append(b'{"type":"command","command_id":"\\ud800","payload":{"light":1}}')
        lines.append(b'{"type":"auth_response","payload":{"status":"error","message":"go"}}')
        far.socket.sendall(b"\n".join(lines) + b"\n")
        await still_works(far)
        assert device.counts.connections == 1
        assert device.refusal is None
