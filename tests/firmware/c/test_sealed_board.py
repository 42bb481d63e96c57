"""A sealed line to a bare Cortex-M3, with messages in segments: the parts, one on the other."""

import base64
from pathlib import Path

import pytest

from jsonrpc_iot import CallTimeout, ConnectFailed, connect
from jsonrpc_iot.testing import LineFaults
from tests.waiting import SECONDS

from .board import COMPILER, CORTEX_M3, build, running
from .compiling import SOURCES, compiled
from .desk import HERE

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.anyio,
    pytest.mark.timeout(240),  # Monocypher may have to come
]

KEYS = (bytes(range(32)), bytes([1, *bytes(31)]))


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory, cryptography: Path) -> Path:
    """The program."""
    return build(
        tmp_path_factory.mktemp("sealed"),
        HERE / "programs" / "sealed.c",
        SOURCES / "adapters" / "monocypher.c",
        objects=[compiled(COMPILER, ("-std=c99", *CORTEX_M3), cryptography / "monocypher.c")],
        flags=["-isystem", str(cryptography)],
    )


@pytest.fixture
def urls(tmp_path: Path) -> list[str]:
    """What to put behind a URL for each key."""
    paths = [tmp_path / f"key{number}" for number in range(len(KEYS))]
    for path, key in zip(paths, KEYS, strict=True):
        path.write_text(base64.b64encode(key).decode())
        path.chmod(0o600)
    return [f"?segment=1&psk=file:{path}" for path in paths]


async def test_short_and_long_messages_both_ways(device: Path, urls: list[str]) -> None:
    async with running(device) as board:
        for number, url in enumerate(urls):
            async with connect(board.url + url, timeout=SECONDS) as client:
                assert await client.call("who") == number
                for size in (0, 900, 1100, 15_000):
                    text = "ü" * (size // 2)
                    assert await client.call("echo", {"value": text}) == text


async def test_on_a_noisy_line_too_and_each_runs_once(device: Path, urls: list[str]) -> None:
    async with (
        running(device, seed=1) as board,
        connect(board.url + urls[0], timeout=50, extensions=True) as client,
    ):
        board.line.set_faults(LineFaults(drop=0.0001, flip=0.0001, insert=0.0001))
        for number in range(1, 7):
            text = f"{number}" * 3000
            assert await client.call("echo", {"value": text}) == text
            assert await client.call("count") == number


async def test_without_the_key_there_is_no_way_in(device: Path, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(base64.b64encode(bytes(32)).decode())
    path.chmod(0o600)
    async with running(device) as board:
        url = f"{board.url}?segment=1"
        with pytest.raises(ConnectFailed, match="key"):
            async with connect(f"{url}&psk=file:{path}", connect_timeout=1.5):
                pass
        async with connect(url, timeout=1) as client:
            with pytest.raises(CallTimeout):
                await client.call("who")
