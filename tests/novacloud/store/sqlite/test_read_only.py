"""A database that may not be written: the platform says so when it begins, and changes nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.store.registry import DeviceRow

from ..rows import row

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")

# Root may write everywhere, so the program becomes nobody once all is imported.
_PROGRAM = """
import os, sys
from pathlib import Path
import anyio
from jsonrpc_iot.novacloud import SqliteStore, StoreFailed

async def main():
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        async with SqliteStore(Path(sys.argv[1])):
            print("opened")
    except StoreFailed as error:
        print(error)

anyio.run(main)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that anybody can get at."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    yield made
    made.chmod(0o777)
    shutil.rmtree(made)


async def create(path: Path) -> None:
    async with SqliteStore(path, durable=False) as store:
        await store.create_device(row())


async def devices(path: Path) -> list[DeviceRow]:
    async with SqliteStore(path, durable=False) as store:
        return await store.devices()


@pytest.mark.parametrize("what", ["file", "folder", "both"])
def test_a_database_that_may_not_be_written(folder: Path, what: str) -> None:
    path = folder / "nova.db"
    anyio.run(create, path)
    path.chmod(0o666 if what == "folder" else 0o444)
    folder.chmod(0o777 if what == "file" else 0o555)
    before = path.read_bytes()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith(f"{path}: "), done
    assert len(done.stdout.splitlines()) == 1
    assert path.read_bytes() == before
    assert [each.name for each in folder.iterdir()] == ["nova.db"]
    path.chmod(0o666)
    folder.chmod(0o777)
    assert anyio.run(devices, path) == [row()]
