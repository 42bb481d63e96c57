"""More devices than files that may be open: the database and the management have theirs."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import connect
from tests.novacloud.rig import Device
from tests.waiting import SECONDS

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no such limit there"),
]

FILES = 256
PROGRAM = (
    "import resource, sys; "
    f"resource.setrlimit(resource.RLIMIT_NOFILE, (64, {FILES})); "
    "from jsonrpc_iot.__main__ import main; main()"
)


async def test_a_platform_out_of_descriptors_can_be_managed_and_stores(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/manage.sock"
    arguments = ["nova", "platform", "--db", str(tmp_path / "nova.db"), "--port", "0"]
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", PROGRAM, *arguments, "--manage", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as platform:
        try:
            assert platform.stdout is not None
            assert platform.stderr is not None
            where = platform.stdout.readline().strip()
            assert platform.stdout.readline() == f"listening {url}\n"
            assert "room for 128 devices" in platform.stderr.readline()
            await crowd(int(where.rpartition(":")[2]), url, platform.stderr)
        finally:
            platform.terminate()
        assert platform.stderr.read() == ""


async def crowd(port: int, url: str, log: IO[str]) -> None:
    async with connect(url) as client:
        info = await client.call("device.create", {"name": "lamp"})
        id = {"device_id": info["device_id"]}
        await client.call("sensor.define", {**id, "value_key": "t", "type": "number"})
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            device = Device(stream, info)
            assert (await device.authenticate())["status"] == "success"
            streams = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(FILES)]
            try:
                with anyio.fail_after(SECONDS):
                    warning = await anyio.to_thread.run_sync(log.readline, abandon_on_cancel=True)
                assert "no more than 128 devices" in warning
                await device.data(t=7)
                async with connect(url) as other:
                    while "t" not in await other.call("telemetry.latest", id):  # noqa: ASYNC110
                        await anyio.sleep(0.01)
            finally:
                for each in streams:
                    await each.aclose()
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            assert (await Device(stream, info).authenticate())["status"] == "success"


def test_the_soft_limit_is_raised() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200)); "
        "from jsonrpc_iot.novacloud.platform.descriptors import raise_limit, room_for_devices; "
        "raise_limit(); print(resource.getrlimit(resource.RLIMIT_NOFILE), room_for_devices())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(200, 200) 100\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 200
