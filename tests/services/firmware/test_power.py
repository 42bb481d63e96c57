"""The power goes at every step of an update: the old image runs, or the new one, whole."""

import hashlib
from pathlib import Path

import pytest

from jsonrpc_iot.services.firmware import (
    DirectoryTarget,
    FirmwareUpdates,
    Image,
    PowerLoss,
    SimulatedTarget,
)

from ..files.power import CuttingDisk, PowerCut, cuts

pytestmark = pytest.mark.anyio

OLD = bytes(range(100))
NEW = bytes(reversed(range(200)))


def image(data: bytes, version: str) -> Image:
    return Image(version=version, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def install(target: DirectoryTarget | SimulatedTarget, data: bytes, version: str) -> None:
    """Hand an image over, as the service does."""
    target.prepare(image(data, version))
    for offset in range(0, len(data), 64):
        target.write(offset, data[offset : offset + 64])
    target.install()


async def update(root: Path, disk: CuttingDisk) -> None:
    """Have the new image sent, installed, started and confirmed, and started once more."""
    target = DirectoryTarget(root, disk=disk)
    updates = FirmwareUpdates(target, root / "incoming", disk=disk)
    new = image(NEW, "2")
    begun = await updates.begin(new.size, new.sha256, new.version)
    assert begun.transfer is not None
    for offset in range(begun.offset, len(NEW), 100):
        await updates.write(begun.transfer, offset, NEW[offset : offset + 100])
    await updates.install(begun.transfer)
    target.boot()
    await updates.confirm()
    target.boot()


async def test_the_power_goes_at_every_step_of_an_update(tmp_path: Path) -> None:
    def new_root() -> Path:
        root = tmp_path / f"root{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        target = DirectoryTarget(root, disk=CuttingDisk(root))
        install(target, OLD, "1")
        target.boot()
        target.confirm()
        return root

    root = new_root()
    whole = CuttingDisk(root)
    await update(root, whole)
    assert (root / "b.img").read_bytes() == NEW
    seen = set()
    for step, outcome in cuts(whole.steps):
        root, found = new_root(), tmp_path / "found"
        disk = CuttingDisk(root, step)
        with pytest.raises(PowerCut):
            await update(root, disk)
        disk.leave(outcome, found)

        again = CuttingDisk(found)
        target = DirectoryTarget(found, disk=again)
        running = target.boot()
        assert running is not None
        version = target.status().version
        assert running.read_bytes() == {"1": OLD, "2": NEW}[version], (step, outcome)
        seen.add((version, target.status().state))
        if target.status().state == "testing":
            target.confirm()
        if version == "1":
            await update(found, again)
        assert target.boot() == found / "b.img"
        assert (found / "b.img").read_bytes() == NEW
    assert seen == {("1", "confirmed"), ("2", "testing"), ("2", "confirmed")}


def test_the_power_goes_at_every_step_of_a_flash() -> None:
    def device() -> SimulatedTarget:
        return SimulatedTarget("1", image=OLD, space=1000)

    whole = device()
    install(whole, NEW, "2")
    seen = set()
    for step in range(1, whole.steps + 1):
        target = device()
        target.cut_at = step
        with pytest.raises(PowerLoss):
            install(target, NEW, "2")
        with pytest.raises(PowerLoss):
            target.write(0, b"x")
        target.restart()
        assert target.status().version == "1"
        assert target.running == OLD
        install(target, NEW, "2")
        target.cut_at = target.steps + 1
        with pytest.raises(PowerLoss):
            target.restart()
        target.restart()
        assert target.running == NEW
        target.cut_at = target.steps + 1
        with pytest.raises(PowerLoss):
            target.confirm()
        target.restart()
        seen.add(target.running)
    assert seen == {OLD}


def test_a_damaged_image_is_not_started(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path, version="1")
    install(target, NEW, "2")
    (tmp_path / "a.img").write_bytes(NEW[:-1])
    assert target.boot() is None
    status = target.status()
    assert (status.version, status.state) == ("1", "confirmed")
    install(target, NEW, "2")
    (tmp_path / "a.img").unlink()
    assert target.boot() is None


def test_flash_is_written_once() -> None:
    target = SimulatedTarget("1", space=100)
    target.prepare(image(b"\x0f", "2"))
    target.write(0, b"\xf0")
    target.write(0, b"\x0f")
    target.install()
    assert target.restart() == "factory", "0xF0 and 0x0F make 0x00"
