"""The least that a device in C needs, as docs/serial.md shows it, against our client.

The rest of `firmware/c` is tested by `make test-firmware`.
"""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import InvalidParams, MethodNotFound, connect
from jsonrpc_iot.testing import virtual_serial_pair
from tests.firmware.c.compiling import SOURCES, STRICT
from tests.firmware.c.desk import HERE
from tests.waiting import SECONDS

from .._system import require_command

CORE = ("jrpc", "answer", "check", "json", "methods", "params", "write")
PARTS = (*CORE, "values", "digest", "lossy", "tuya")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),  # as serial ports do
    pytest.mark.skipif(sys.platform != "linux", reason="its UART is a terminal of Linux"),
]


def build(program: Path) -> None:
    names = [part if part == "jrpc" else f"jrpc_{part}" for part in PARTS]
    sources = [SOURCES / f"{name}.c" for name in names]
    sources += [SOURCES / "examples" / "uart.c", HERE / "programs" / "uart.c"]
    command = [require_command("cc"), *STRICT, f"-I{SOURCES}", "-o", str(program)]
    subprocess.run([*command, *map(str, sources)], check=True, timeout=SECONDS)


async def test_the_least_device_on_a_uart(anyio_backend: str, tmp_path: Path) -> None:
    build(tmp_path / "device")
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(paths=True) as line:
            environment = {**os.environ, "LINE": line.second}
            async with await anyio.open_process(
                [tmp_path / "device"], env=environment, stderr=None
            ) as device:
                assert device.stdout is not None
                assert await device.stdout.receive() == b"ready\n"
                async with connect(f"uart://{line.first}?buffer=256", timeout=SECONDS) as client:
                    assert await client.call("lamp.set", {"level": 40}) == 0
                    assert await client.call("lamp.set", [60.0]) == 40
                    assert await client.call("lamp.get") == 60
                    with pytest.raises(InvalidParams):
                        await client.call("lamp.set", {"level": 101})
                    with pytest.raises(MethodNotFound):
                        await client.call("lamp.dance")
                device.kill()
