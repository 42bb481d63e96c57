"""A disk whose power goes: what was not synced may be there afterwards, or not, or in part."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from jsonrpc_iot.services.files import Disk

Outcome = Literal["all stays", "names stay", "only what was synced stays"]
OUTCOMES: tuple[Outcome, ...] = ("all stays", "names stay", "only what was synced stays")


class PowerCut(BaseException):
    """Nothing runs any more."""


class CuttingDisk(Disk):
    """A disk that does its steps, but for one, and then no more.

    Args:
        root: the folder that is looked at.
        cut_at: the number of the step at which the power goes, from 1; a write is done by half.
    """

    def __init__(self, root: Path, cut_at: int | None = None) -> None:
        self.steps = 0
        self._root = root
        self._cut_at = cut_at
        there = [path for path in root.rglob("*") if path.is_file()]
        self._names = {path: number for number, path in enumerate(there)}
        self._kept_names = dict(self._names)
        self._kept = {number: path.read_bytes() for path, number in self._names.items()}
        self._next = len(there)

    def write(self, path: Path, offset: int, data: bytes) -> None:
        is_last = self._step()
        super().write(path, offset, data[: len(data) // 2] if is_last else data)
        if path not in self._names:
            self._names[path] = self._next
            self._kept[self._next] = b""
            self._next += 1
        self._die_if(is_last)

    def cut(self, path: Path, size: int) -> None:
        self._die_if(self._step())
        super().cut(path, size)

    def sync(self, path: Path) -> None:
        self._die_if(self._step())
        self._kept[self._names[path]] = path.read_bytes()

    def replace(self, path: Path, target: Path) -> None:
        self._die_if(self._step())
        super().replace(path, target)
        self._names[target] = self._names.pop(path)

    def remove(self, path: Path) -> None:
        self._die_if(self._step())
        super().remove(path)
        self._names.pop(path, None)

    def make_folder(self, path: Path) -> None:
        self._die_if(self._step())
        super().make_folder(path)

    def sync_folder(self, path: Path) -> None:
        self._die_if(self._step())
        self._kept_names = {
            **{name: number for name, number in self._kept_names.items() if name.parent != path},
            **{name: number for name, number in self._names.items() if name.parent == path},
        }

    def leave(self, outcome: Outcome, folder: Path) -> None:
        """Make a folder as the disk is found afterwards.

        Args:
            outcome: what has become of what was not synced.
            folder: that is made.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        names = self._kept_names if outcome == "only what was synced stays" else self._names
        for name, number in names.items():
            place = folder / name.relative_to(self._root)
            place.parent.mkdir(parents=True, exist_ok=True)
            stays = outcome == "all stays"
            place.write_bytes(name.read_bytes() if stays else self._kept[number])

    def _step(self) -> bool:
        """Count a step; gives whether it is the last one."""
        if self._cut_at is not None and self.steps >= self._cut_at:
            raise PowerCut
        self.steps += 1
        return self.steps == self._cut_at

    def _die_if(self, is_last: bool) -> None:
        if is_last:
            raise PowerCut


def cuts(steps: int) -> Iterator[tuple[int, Outcome]]:
    """Each step at which the power may go, and what may be found afterwards."""
    return ((step, outcome) for step in range(1, steps + 1) for outcome in OUTCOMES)
