"""`put`, `get` and `update` over real links, small and sealed ones too."""

import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jsonrpc_iot import Client, Dispatcher, Keyring, Principal, connect, serve
from jsonrpc_iot.channel.url import with_option
from jsonrpc_iot.services.files import FolderFiles, get, put
from jsonrpc_iot.services.firmware import FirmwareUpdates, SimulatedTarget, update
from jsonrpc_iot.testing import virtual_radio

pytestmark = pytest.mark.anyio

needs_ptys = pytest.mark.skipif(sys.platform != "linux", reason="no pseudo terminals")


@asynccontextmanager
async def client_at(dispatcher: Dispatcher, url: str, folder: Path | None) -> AsyncIterator[Client]:
    """A client of a device that is served at a URL, with a key in a folder where it is sealed."""
    options: dict[str, Any] = {}
    if folder is not None:
        (folder / "keys.toml").touch(mode=0o600)
        keyring = Keyring(folder / "keys.toml")
        key = keyring.add("app", permissions=["files", "firmware"])
        (folder / "key").write_text(b64encode(key).decode())
        options["keyring"] = keyring
    async with serve(dispatcher, url, **options) as server:
        where = server.urls[0]
        if folder is not None:
            where = with_option(where, f"psk=file:{folder / 'key'}")
        async with connect([where]) as client:
            yield client


async def there_and_back(client: Client, root: Path, here: Path, size: int) -> None:
    data = os.urandom(size)
    (here / "file").write_bytes(data)
    await put(client, here / "file")
    assert (root / "file").read_bytes() == data
    await get(client, "file", here / "copy")
    assert (here / "copy").read_bytes() == data
    status = await update(client, here / "file", "2", target="lamp")
    assert status.next == "2"


def device(root: Path) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.include(FolderFiles(root))
    dispatcher.include(FirmwareUpdates(SimulatedTarget("1", space=1 << 16), root / ".incoming"))
    dispatcher.everybody = Principal("everybody", {"files", "firmware"})
    return dispatcher


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("root", "here"):
        (tmp_path / name).mkdir()
    return tmp_path / "root", tmp_path / "here"


@pytest.mark.parametrize("is_sealed", [False, True], ids=["plain", "sealed"])
@pytest.mark.parametrize(
    ("url", "size"),
    [
        ("udp://127.0.0.1:0", 20_000),
        ("udp://127.0.0.1:0?segment=1&codec=msgpack", 50_000),
        pytest.param("uart+pty://?buffer=256", 2000, marks=needs_ptys),
        pytest.param("tuya-dp+pty://?role=mcu&gap=0", 500, marks=needs_ptys),
    ],
)
async def test_real_links(folders: tuple[Path, Path], url: str, size: int, is_sealed: bool) -> None:
    root, here = folders
    async with client_at(device(root), url, here if is_sealed else None) as client:
        assert client.info.is_sealed is is_sealed
        await there_and_back(client, root, here, size)


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"])
async def test_on_trio(folders: tuple[Path, Path], url: str) -> None:
    root, here = folders
    async with client_at(device(root), url, None) as client:
        await there_and_back(client, root, here, 50_000)


async def test_over_http(folders: tuple[Path, Path]) -> None:
    root, here = folders
    async with client_at(device(root), "http://127.0.0.1:0/rpc", None) as client:
        await there_and_back(client, root, here, 50_000)


async def test_over_bluetooth(folders: tuple[Path, Path]) -> None:
    root, here = folders
    async with (
        virtual_radio() as radio,
        client_at(device(root), radio.url("lamp"), None) as client,
    ):
        await there_and_back(client, root, here, 2000)
