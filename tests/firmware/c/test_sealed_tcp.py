"""A device in C on TCP whose lines are sealed: who has not the key is cut off."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import ChannelClosed, ConnectFailed, connect
from tests.waiting import SECONDS

from .compiling import SOURCES, compiled
from .desk import HERE, build_here

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.anyio,
    pytest.mark.timeout(240),  # Monocypher may have to come
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, cryptography: Path) -> Iterator[str]:
    """The URL of the device, without a key."""
    library = compiled("cc", ("-O2",), cryptography / "monocypher.c")
    sources = (HERE / "programs" / "sealed_tcp.c", SOURCES / "adapters" / "monocypher.c", library)
    program = tmp_path_factory.mktemp("sealed") / "device"
    build_here(program, *sources, flags=["-isystem", str(cryptography)])
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"tcp://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def url(address: str, folder: Path, key: bytes) -> str:
    path = folder / "key"
    path.write_text(base64.b64encode(key).decode())
    path.chmod(0o600)
    return f"{address}?psk=file:{path}"


async def test_who_has_the_key_is_served(address: str, tmp_path: Path) -> None:
    for _ in range(3):
        async with connect(url(address, tmp_path, bytes(range(32))), timeout=SECONDS) as client:
            for size in (0, 1, 100, 7000):
                text = "ü" * (size // 2)
                assert await client.call("echo", {"value": text}) == text


async def test_nobody_else_is(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectFailed):
        async with connect(url(address, tmp_path, bytes(32)), connect_timeout=SECONDS):
            pass
    with anyio.fail_after(SECONDS):
        async with connect(address) as client:
            with pytest.raises(ChannelClosed):
                await client.call("echo", {"value": 1})
