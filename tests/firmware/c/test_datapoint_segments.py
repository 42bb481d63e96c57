"""A device in C behind a Tuya module: long messages in DataPoint 232, sealed and not."""

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jsonrpc_iot import connect
from jsonrpc_iot.testing import virtual_serial_pair
from tests.waiting import SECONDS

from .compiling import SOURCES, compiled
from .desk import HERE, build_here

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.anyio,
    pytest.mark.timeout(240),  # Monocypher may have to come
]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory, cryptography: Path) -> Path:
    """The program."""
    library = compiled("cc", ("-O2",), cryptography / "monocypher.c")
    sources = (HERE / "programs" / "datapoint.c", SOURCES / "adapters" / "monocypher.c", library)
    program = tmp_path_factory.mktemp("datapoint") / "device"
    return build_here(program, *sources, flags=["-isystem", str(cryptography)])


@contextmanager
def started(*command: str) -> Iterator[None]:
    """Run a device while the block runs, from when it is ready."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("seal", [False, True], ids=["plain", "sealed"])
async def test_long_messages_in_datapoints(device: Path, tmp_path: Path, seal: bool) -> None:
    path = tmp_path / "key"
    path.write_text(base64.b64encode(bytes(range(32))).decode())
    path.chmod(0o600)
    async with virtual_serial_pair(paths=True) as line:
        url = f"tuya-dp://{line.first}?role=module&gap=0&segment=1"
        url += f"&psk=file:{path}" if seal else ""
        with started(str(device), line.second, *(["sealed"] if seal else [])):
            async with connect(url, timeout=SECONDS) as client:
                for size in (0, 1, 200, 400, 3000):
                    text = "üx" * (size // 3)
                    for _ in range(2):
                        assert await client.call("echo", {"value": text}) == text
