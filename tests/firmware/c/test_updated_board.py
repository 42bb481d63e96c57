"""Files and updates over the serial line of a bare Cortex-M3, as `put` and `update` do them."""

import random
from pathlib import Path

import pytest

from jsonrpc_iot import connect
from jsonrpc_iot.services.files import Files, NoRoom, get, put
from jsonrpc_iot.services.firmware import NotForThisDevice, update
from jsonrpc_iot.testing import LineFaults
from tests.waiting import SECONDS

from .board import BOARD, build, running

pytestmark = [pytest.mark.firmware, pytest.mark.anyio]

NOISE = LineFaults(drop=0.0001, flip=0.0001, insert=0.0001)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example."""
    return build(tmp_path_factory.mktemp("updates"), BOARD / "updates.c")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "lamp.img"
    path.write_bytes(random.Random(1).randbytes(10_001))
    return path


async def test_files(device: Path, tmp_path: Path) -> None:
    path = tmp_path / "note.bin"
    path.write_bytes(random.Random(2).randbytes(7_777))
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(8193))
    async with running(device) as board, connect(board.url, timeout=SECONDS) as client:
        board.line.set_faults(NOISE)
        await put(client, path, "notes/one.bin")
        await get(client, "notes/one.bin", tmp_path / "copy.bin")
        assert (tmp_path / "copy.bin").read_bytes() == path.read_bytes()
        listed = [each async for each in client.proxy(Files).entries()]
        assert [(each.name, each.size) for each in listed] == [("notes/one.bin", 7_777)]
        with pytest.raises(NoRoom):
            await put(client, big, "big.bin")


async def test_an_update(device: Path, image: Path) -> None:
    async with (
        running(device) as board,
        connect(board.url, timeout=SECONDS, reconnect=True) as client,
    ):
        with pytest.raises(NotForThisDevice):
            await update(client, image, "2.0.0", target="fridge")
        board.line.set_faults(NOISE)
        status = await update(client, image, "2.0.0", target="mps2", confirm=True)
        assert (status.version, status.slot, status.state) == ("2.0.0", "b", "confirmed")
        status = await update(client, image, "2.0.1", confirm=True)
        assert (status.version, status.slot, status.previous) == ("2.0.1", "a", "2.0.0")
