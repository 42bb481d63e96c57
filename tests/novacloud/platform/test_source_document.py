"""The guide that NovaCloud comes from: its programs run against the platform as they stand.

Only the address is another one. The class of section 8 has one mistake, which is mended here: it
refuses to send before it is connected, and so never authenticates.
"""

import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot.novacloud.platform.admission import hash_key
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from tests import places
from tests.novacloud.rig import Rig, running
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

GUIDE = (places.DATA / "novacloud_guide.txt").read_text(encoding="utf-8")
ADDRESS = "('nova-cloud-server.example.com', 8100)"
DEVICE_ID = "550e8400-e29b-41d4-a716-446655440000"
DEVICE_KEY = "abcdef1234567890" * 4
MISTAKE = "self.send_message(auth_message)"
MENDED = "self.client.send((json.dumps(auth_message) + '\\n').encode('utf-8'))"

CODE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
AUTH, DATA, HEARTBEAT, STATUS, COMMANDS, SAMPLE, _ = CODE
WAIT = "import sys; sys.stdin.read()"
SENSORS = {
    "temperature": "number",
    "humidity": "number",
    "is_window_open": "boolean",
    "status_message": "string",
    "location": "json",
    "history": "json",
}


@asynccontextmanager
async def with_the_device_of_the_guide(folder: Path) -> AsyncIterator[Rig]:
    async with running(folder) as rig:
        row = DeviceRow(device_id=DEVICE_ID, name="guide", key_hash=hash_key(DEVICE_KEY))
        await rig.platform.store.create_device(row)
        for key, kind in SENSORS.items():
            await rig.call("sensor.define", device_id=DEVICE_ID, value_key=key, type=kind)
        for key in ("light_switch", "fan_speed"):
            await rig.call("actuator.define", device_id=DEVICE_ID, command_key=key)
        yield rig


@asynccontextmanager
async def program(source: str) -> AsyncIterator["subprocess.Popen[str]"]:
    """Run a program until the block ends, and then let it end by itself."""
    process = subprocess.Popen(  # noqa: ASYNC220  # takes no time
        [sys.executable, "-X", "utf8", "-u", "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            yield process
            assert process.stdin is not None
            process.stdin.close()
            await anyio.to_thread.run_sync(partial(process.wait, SECONDS))
        finally:
            process.kill()


async def next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    with anyio.fail_after(SECONDS):
        return (await anyio.to_thread.run_sync(process.stdout.readline)).rstrip("\n")


async def latest(rig: Rig) -> Any:
    return await rig.call("telemetry.latest", device_id=DEVICE_ID)


async def status(rig: Rig) -> Any:
    return await rig.call("status.latest", device_id=DEVICE_ID)


async def test_the_snippets_of_sections_3_to_7(tmp_path: Path) -> None:
    async with with_the_device_of_the_guide(tmp_path) as rig:
        source = "\n".join([AUTH, DATA, HEARTBEAT, STATUS, COMMANDS, WAIT])
        assert source.count(ADDRESS) == 1
        source = source.replace(ADDRESS, f"('127.0.0.1', {rig.platform.port})")
        async with program(source) as process:
            assert await next_line(process) == "认证成功\uff0c可以开始通信"
            await rig.push("telemetry")
            values = await latest(rig)
            assert {key: point["value"] for key, point in values.items()} == {
                "temperature": 25.5,
                "humidity": 65,
                "is_window_open": False,
                "status_message": "正常运行",
                "location": {"lat": 39.9042, "lng": 116.4074},
                "history": [24.5, 25.0, 25.5],
            }
            assert abs(values["temperature"]["timestamp"] - time.time()) < SECONDS
            reported = (await rig.until(partial(status, rig)))["payload"]
            assert reported["errors"] == {"connection_failures": 2, "sensor_errors": 0}

            command = {"light_switch": "ON", "fan_speed": 3}
            outcome = await rig.call("command.send", device_id=DEVICE_ID, payload=command)
            assert outcome["status"] == "SUCCESS"
            assert outcome["payload"] == {"current_state": command, "execution_time": 0.5}
            assert await next_line(process) == "执行命令: light_switch = ON"
        assert (await rig.stats())["malformed"] == 0


async def test_a_wrong_key_as_the_snippet_sees_it(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        source = AUTH.replace(ADDRESS, f"('127.0.0.1', {rig.platform.port})")
        async with program(source) as process:
            assert await next_line(process) == "认证失败: unknown device or wrong key"


async def test_the_sample_class_with_its_mistake_mended(tmp_path: Path) -> None:
    async with with_the_device_of_the_guide(tmp_path) as rig:
        assert SAMPLE.count(MISTAKE) == 1
        drive = f"""
client = NovaCloudTcpClient("127.0.0.1", {rig.platform.port}, "{DEVICE_ID}", "{DEVICE_KEY}")
assert client.connect()
assert client.send_sensor_data({{"temperature": 21.5, "humidity": 60}}, 1000)
assert client.send_device_status({{"battery": 99}})
import sys; sys.stdin.read()
client.disconnect()
"""
        sample = SAMPLE.replace(MISTAKE, MENDED).replace('"__main__"', '"nobody"')
        async with program(sample + drive) as process:
            assert await next_line(process) == "认证成功"
            assert (await rig.push("device.online"))["device_id"] == DEVICE_ID
            await rig.push("telemetry")
            values = await latest(rig)
            assert values["temperature"] == {"value": 21.5, "timestamp": 1000.0}
            assert (await rig.until(partial(status, rig)))["payload"] == {"battery": 99}
            outcome = await rig.call(
                "command.send", device_id=DEVICE_ID, payload={"light_switch": "ON"}
            )
            assert outcome["payload"]["current_state"] == {"light_switch": "ON"}
        assert (await rig.push("device.offline"))["reason"] == "closed"


async def test_what_the_sample_class_swallows_ends_in_a_timeout(tmp_path: Path) -> None:
    """Its `disconnect` closes a socket that another thread reads: Linux then keeps it open."""
    async with with_the_device_of_the_guide(tmp_path) as rig:
        drive = f"""
import sys
for line in sys.stdin:
    if line == "disconnect\\n":
        client.disconnect()
    else:
        account = "{DEVICE_ID}", "{DEVICE_KEY}"
        client = NovaCloudTcpClient("127.0.0.1", {rig.platform.port}, *account)
        assert client.connect()
"""
        sample = SAMPLE.replace(MISTAKE, MENDED).replace('"__main__"', '"nobody"')
        light = {"device_id": DEVICE_ID, "payload": {"light_switch": "ON"}}
        async with program(sample + drive) as process:
            outcome = "QUEUED"
            while outcome == "QUEUED":  # its thread was not reading yet, and so it was closed
                await say(process, "", "认证成功")
                await say(process, "disconnect", "已断开连接")
                sent = await rig.call("command.send", response_timeout=0.2, wait=False, **light)
                outcome = await rig.until(partial(end_of, rig, sent["command_id"]))
                if outcome == "QUEUED":
                    await rig.call("command.cancel", command_id=sent["command_id"])
            assert outcome == "TIMEOUT"
            await say(process, "", "认证成功")
            assert (await rig.call("command.send", **light))["status"] == "SUCCESS"


async def say(process: "subprocess.Popen[str]", word: str, answer: str) -> None:
    """Tell a program something, and wait for a line that it prints."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    while answer not in await next_line(process):  # which another thread may have printed into
        assert process.poll() is None


async def end_of(rig: Rig, command_id: str) -> str:
    """What became of a command, `QUEUED` where its device is gone; empty before that is known."""
    status = (await rig.call("command.get", command_id=command_id))["status"]
    if status == "QUEUED":
        return "" if (await rig.call("device.get", device_id=DEVICE_ID))["online"] else "QUEUED"
    return "" if status == "SENT" else str(status)
