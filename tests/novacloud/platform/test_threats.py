"""What hostile or broken devices do, and that the other devices do not notice."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import msgspec
import pytest

from jsonrpc_iot.novacloud import PlatformSettings, SqliteStore
from tests.novacloud.rig import GONE, NO_PAUSES, Device, Rig, running

pytestmark = pytest.mark.anyio


def but(**changes: object) -> PlatformSettings:
    return msgspec.structs.replace(NO_PAUSES, **changes)


@asynccontextmanager
async def beside(rig: Rig) -> AsyncIterator[Device]:
    """A good device, connected while the block runs, that is served before, during and after."""
    info = await rig.create("good", good="number")
    async with rig.device(info) as good:

        async def works(value: int) -> None:
            await good.data(float(value), good=value)
            while (await rig.push("telemetry"))["values"] != {"good": value}:
                pass

        await works(1)
        yield good
        await works(2)
        assert (await rig.call("device.get", device_id=good.id))["online"]


async def test_who_does_not_authenticate_is_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, beside(rig):
        rig.platform.renew(settings=but(auth_seconds=0.05))  # the good device is in already
        async with rig.link(await rig.create()) as silent:
            await silent.wait_closed()
        async with rig.link(await rig.create()) as slow:
            await slow.send_raw(b'{"type"')
            await slow.wait_closed()


async def test_bytes_one_by_one_are_a_message(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as rig,
        beside(rig),
        rig.device(await rig.create(t="number")) as device,
    ):
        for byte in b'{"type": "data", "payload": {"t": 1}}\r\n':
            await device.send_raw(bytes([byte]))
        assert (await rig.push("telemetry"))["values"] == {"t": 1}


async def test_a_long_line_before_authentication_ends_the_connection(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, beside(rig):
        for line in b" " * 4097, b"[" * 5000 + b"\n":
            async with rig.link(await rig.create()) as device:
                await device.send_raw(line)
                answer = await device.receive()
                assert answer["payload"]["status"] == "error"
                assert "4096" in answer["payload"]["message"]
                await device.wait_closed()


async def test_a_long_line_costs_an_error_and_the_next_one_counts(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as rig,
        beside(rig),
        rig.device(await rig.create(t="number")) as device,
    ):
        await device.send_raw(b'{"type":"heartbeat","x":"' + b"x" * 1_000_000 + b'"}\n')
        assert "65536" in (await device.receive())["payload"]["message"]
        await device.data(1, t=1)
        assert (await rig.push("telemetry"))["values"] == {"t": 1}


MALFORMED = {
    "no JSON": b"hello",
    "half": b'{"type":"data"',
    "an array": b"[]",
    "a number": b"1",
    "nothing in it": b"{}",
    "no type": b'{"payload":{}}',
    "an unknown type": b'{"type":"reboot"}',
    "a type that is no text": b'{"type":1}',
    "one for devices": b'{"type":"command","command_id":"a","payload":{}}',
    "authenticated twice": b'{"type":"auth","payload":{"device_id":"a","device_key":"b"}}',
    "no payload": b'{"type":"data"}',
    "payload null": b'{"type":"data","payload":null}',
    "payload an array": b'{"type":"status","payload":[]}',
    "payload a text": b'{"type":"data","payload":"t=1"}',
    "NaN": b'{"type":"data","payload":{"t":NaN}}',
    "infinity": b'{"type":"data","payload":{"t":-Infinity}}',
    "a number that no float holds": b'{"type":"data","payload":{"t":1e999}}',
    "wrong UTF-8": b'{"type":"data","payload":{"t":"\xff"}}',
    "wrong UTF-8 in a key that nobody reads": b'{"type":"heartbeat","x\xff":1}',
    "half of a surrogate pair": b'{"type":"data","payload":{"t":"\\ud800"}}',
    "deep": b'{"type":"data","payload":{"t":' + b"[" * 40 + b"]" * 40 + b"}}",
    "very deep": b'{"type":"data","payload":{"t":' + b"[" * 30000 + b"]" * 30000 + b"}}",
    "a timestamp in words": b'{"type":"data","timestamp":"now","payload":{}}',
    "a timestamp before all": b'{"type":"data","timestamp":-1,"payload":{}}',
    "a timestamp that is true": b'{"type":"data","timestamp":true,"payload":{}}',
    "a seq of 0": b'{"type":"data","seq":0,"payload":{}}',
    "a status that is none": b'{"type":"command_response","command_id":"a","status":"great"}',
    "no command id": b'{"type":"command_response","status":"success"}',
}


async def test_malformed_lines_are_answered_and_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, beside(rig):
        async with rig.device(await rig.create(t="json")) as device:
            for name, line in MALFORMED.items():
                await device.send_raw(line + b'\n{"type":"heartbeat","unknown":{}}\n')
                answer = await device.receive()
                assert answer["type"] == "error", name
                assert answer["payload"]["message"], name
            await device.data(1, t=[1])
            assert (await rig.push("telemetry"))["values"] == {"t": [1]}
        assert (await rig.stats())["malformed"] == len(MALFORMED)


async def test_ten_malformed_lines_in_a_row_close_the_connection(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, beside(rig), rig.device(await rig.create()) as device:
        await device.send_raw(b"x\n" * 9)
        await device.send({"type": "heartbeat"})
        await device.send_raw(b"x\n" * 10)
        for _ in range(19):
            assert (await device.receive())["type"] == "error"
        await device.wait_closed()


@pytest.mark.parametrize("line", [b'{"type":"heartbeat"}', *list(MALFORMED.values())[:3]])
async def test_something_else_first(tmp_path: Path, line: bytes) -> None:
    async with running(tmp_path) as rig, beside(rig), rig.link(await rig.create()) as device:
        await device.send_raw(10 * (line + b"\n"))
        while (answer := await device.receive())["type"] == "error":
            pass
        assert answer["payload"]["status"] == "error"
        await device.wait_closed()


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"device_id": 1, "device_key": 2},
        {"device_id": "x' OR '1'='1", "device_key": "' OR ''='"},
        {"device_id": "00000000-0000-0000-0000-000000000000", "device_key": "k" * 1024},
        {"device_id": "\x1b[2J", "device_key": "\u0000"},
    ],
)
async def test_nobody_gets_in_without_a_key(tmp_path: Path, payload: object) -> None:
    async with running(tmp_path) as rig, beside(rig), rig.link(await rig.create()) as device:
        await device.send({"type": "auth", "payload": payload})
        answer = await device.receive()
        if answer["type"] == "auth_response":
            assert answer["payload"]["status"] == "error"
            await device.wait_closed()
        else:
            assert answer["type"] == "error"


async def test_guessing_keys_gets_slow_and_a_right_key_does_not_wait(tmp_path: Path) -> None:
    settings = but(failed_auth_delay=3600, auth_seconds=3600)
    async with running(tmp_path, settings) as rig, beside(rig):
        info = await rig.create()
        guess = {**info, "device_key": "0" * 32}
        started = time.monotonic()
        async with rig.link(guess) as device:
            assert (await device.authenticate())["status"] == "error"
        assert time.monotonic() - started >= 0.25
        answered = 0

        async def fail() -> None:
            nonlocal answered
            async with rig.link(guess) as device:
                payload = {"device_id": device.id, "device_key": device.key}
                await device.send({"type": "auth", "payload": payload})
                await device.stream.receive()
                answered += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(19):
                tasks.start_soon(fail)
            await rig.until_stat("failed_auths", 20)
            async with rig.device(info):  # while guesses wait, from the tenth on for minutes
                assert answered < 10
            tasks.cancel_scope.cancel()
        assert (await rig.stats())["failed_auths"] == 20


async def test_too_many_strangers_wait(tmp_path: Path) -> None:
    async with running(tmp_path, but(unauthenticated=2, auth_seconds=0.2)) as rig, beside(rig):
        info = await rig.create()
        started = time.monotonic()
        async with rig.link(info), rig.link(info), rig.device(info):
            assert time.monotonic() - started >= 0.1


async def test_a_million_keys_fill_no_memory(tmp_path: Path) -> None:
    settings = but(messages_per_second=1e9, bytes_per_second=1e9, line=1 << 20)
    async with running(tmp_path, settings) as rig, beside(rig):
        async with rig.device(await rig.create(t="number")) as device:
            for start in range(0, 1_000_000, 50_000):
                payload = ",".join(f'"k{n}":1' for n in range(start, start + 50_000))
                await device.send_raw(f'{{"type":"data","payload":{{{payload}}}}}\n'.encode())
                await rig.until_stat("unknown_values", start + 50_000)
            await device.data(1, t=1)
            while (await rig.push("telemetry"))["values"] != {"t": 1}:
                pass
            stats = await rig.stats()
        assert stats["unknown_values"] == 1_000_000
        assert len(stats["ignored"][device.id]["keys"]) == 8
        assert len(await rig.call("sensor.list", device_id=device.id)) == 1


async def test_forged_responses_are_dropped(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as rig,
        beside(rig) as good,
        rig.device(await rig.create()) as forger,
    ):
        sent = await rig.call("command.send", device_id=good.id, payload={"light": 1}, wait=False)
        await forger.respond(sent["command_id"], "success", "forged")
        await forger.respond("no-such-command", "success")
        await rig.until_stat("dropped_responses", 2)
        await good.answer("error", "real")
        while (update := await rig.push("command.update"))["status"] != "ERROR":
            assert update["status"] in {"QUEUED", "SENT"}
        assert update["payload"] == "real"


async def test_a_device_that_never_reads_is_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path, but(unsent=1 << 16)) as rig, beside(rig):
        async with rig.device(await rig.create()) as device:
            params = {"device_id": device.id, "payload": {"light": "x" * 60_000}, "wait": False}
            sent = await rig.call("command.send", **params)
            # Were it not cut off, its queue would fill up, and `command.send` would fail.
            while (await rig.call("device.get", device_id=device.id))["online"]:
                sent = await rig.call("command.send", **params)
        assert (await rig.push("device.offline"))["reason"] == "does not read"
        found = await rig.call("command.get", command_id=sent["command_id"])
        assert found["status"] == "QUEUED"


async def test_a_flood_of_messages_is_slowed_down_and_nothing_is_lost(tmp_path: Path) -> None:
    async with (
        running(tmp_path, but(messages_per_second=200, burst=10)) as rig,
        beside(rig),
        rig.device(await rig.create(t="number")) as device,
    ):
        started = time.monotonic()
        for number in range(60):
            await device.data(float(number), t=number)
        for number in range(60):
            assert (await rig.push("telemetry"))["values"] == {"t": number}
        assert time.monotonic() - started >= 0.2


async def test_at_most_so_many_commands_wait_for_a_device(tmp_path: Path) -> None:
    async with running(tmp_path, but(queued_commands=3)) as rig:
        info = await rig.create()
        params = {"device_id": info["device_id"], "payload": {"light": 1}, "wait": False}
        for _ in range(3):
            await rig.call("command.send", **params)
        assert (await rig.fails("command.send", **params)).code == -32004
        async with rig.device(info) as device:
            for _ in range(3):
                await device.answer()


NASTY = "'; DROP TABLE devices; -- \x1b[2J\x1b]0;owned\x07 \u202e %s {} \U0001f600"


async def test_names_and_values_are_only_text(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, beside(rig):
        info = await rig.create(NASTY, **{NASTY: "string"})
        await rig.call("actuator.define", device_id=info["device_id"], command_key=NASTY)
        async with rig.device(info) as device:
            await device.data(5, **{NASTY: NASTY})
            assert (await rig.push("telemetry"))["values"] == {NASTY: NASTY}
            latest = await rig.call("telemetry.latest", device_id=device.id)
            assert latest == {NASTY: {"value": NASTY, "timestamp": 5.0}}
            sent = await rig.call(
                "command.send", device_id=device.id, payload={NASTY: NASTY}, wait=False
            )
            command = await device.receive()
            assert command == {**command, "command_id": sent["command_id"]}
            assert command["payload"] == {NASTY: NASTY}
        assert (await rig.call("device.get", device_id=device.id))["name"] == NASTY


async def test_a_full_disk_loses_no_acknowledged_row_and_breaks_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "small.db", durable=False, max_pages=60)
    async with running(tmp_path, store=store) as rig:
        info = await rig.create(t="string")
        acknowledged = 0
        async with rig.link(info) as device:
            await device.authenticate(ext=["ack"], outbox_id="box")
            with suppress(*GONE):
                for seq in range(1, 100):
                    message = {"type": "data", "seq": seq, "payload": {"t": "x" * 20_000}}
                    await device.send(message)
                    acknowledged = (await device.receive())["payload"]["upto"]
        assert 0 < acknowledged < 99
    async with running(tmp_path, store=SqliteStore(tmp_path / "small.db")) as rig:
        points = await rig.call("telemetry.query", device_id=info["device_id"], value_key="t")
        assert len(points) == acknowledged
