"""The power goes at every step: a file is the old one or the new one, never half of one."""

import hashlib
from pathlib import Path

import pytest

from jsonrpc_iot.services.files import Disk, FolderFiles, WrongHash

from .power import CuttingDisk, PowerCut, cuts

pytestmark = pytest.mark.anyio

OLD = b"old " * 10
NEW = bytes(range(200))
CHUNK = 100


async def put(root: Path, disk: Disk, name: str) -> list[int]:
    """Write the new file as a caller does; returns where each write began."""
    files = FolderFiles(root, disk=disk, sync_seconds=0)
    hash = hashlib.sha256(NEW).hexdigest()
    begun = await files.begin(name, len(NEW), hash, replace=True)
    offsets = []
    if begun.transfer is not None:
        offset = begun.offset
        while offset < len(NEW):
            offsets.append(offset)
            data = NEW[offset : offset + CHUNK]
            offset = (await files.write(begun.transfer, offset, data)).offset
        await files.commit(begun.transfer)
    return offsets


@pytest.mark.parametrize("name", ["file", "folder/file"])
async def test_the_power_goes_at_every_step(tmp_path: Path, name: str) -> None:
    def new_root() -> Path:
        root = tmp_path / f"root{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        if name == "file":
            (root / name).write_bytes(OLD)
        return root

    root = new_root()
    whole = CuttingDisk(root)
    assert await put(root, whole, name) == [0, 100]
    assert whole.steps > 20
    went_on = False
    for step, outcome in cuts(whole.steps):
        root, found = new_root(), tmp_path / "found"
        disk = CuttingDisk(root, step)
        with pytest.raises(PowerCut):
            await put(root, disk, name)
        disk.leave(outcome, found)

        there = (found / name).read_bytes() if (found / name).exists() else None
        assert there in (OLD if name == "file" else None, NEW), (step, outcome)
        offsets = await put(found, CuttingDisk(found), name)
        assert (found / name).read_bytes() == NEW, (step, outcome)
        assert list(found.glob(".jsonrpc-iot/*")) == [], (step, outcome)
        went_on |= bool(offsets) and offsets[0] > 0
    assert went_on


async def test_what_a_disk_has_damaged_is_not_taken(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path, sync_seconds=0)
    hash = hashlib.sha256(NEW).hexdigest()
    begun = await files.begin("file", len(NEW), hash)
    assert begun.transfer is not None
    await files.write(begun.transfer, 0, NEW[:CHUNK])
    (part,) = (tmp_path / ".jsonrpc-iot").glob("*.part")
    part.write_bytes(bytes(CHUNK))

    files = FolderFiles(tmp_path)  # after a restart
    again = await files.begin("file", len(NEW), hash)
    assert again.offset == CHUNK
    assert again.transfer == begun.transfer
    for offset in range(CHUNK, len(NEW), CHUNK):
        await files.write(begun.transfer, offset, NEW[offset : offset + CHUNK])
    with pytest.raises(WrongHash):
        await files.commit(begun.transfer)
    assert await put(tmp_path, Disk(), "file") == [0, 100]
