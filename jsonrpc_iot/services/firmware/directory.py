"""Images as files in a folder, for devices that have a disk."""

import hashlib
import os
from pathlib import Path

import msgspec

from jsonrpc_iot import UsageError
from jsonrpc_iot.services.files import Disk

from .slots import FACTORY, Record, SlottedTarget

_RECORD = "state.json"
_BLOCK = 1 << 20
_SPACE = 1 << 30


class DirectoryTarget(SlottedTarget):
    """Two images in a folder, `a.img` and `b.img`, and which of them runs, in `state.json`.

    What starts the device calls `boot` first, and runs the image that it names.

    Args:
        folder: is made if it is not there.
        version: of what runs where nothing was ever installed.
        space: bytes that an image may have.
        disk: what the folder is on.

    Raises:
        UsageError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        version: str = "0",
        space: int = _SPACE,
        disk: Disk | None = None,
    ) -> None:
        super().__init__(version, space)
        self._folder = Path(folder)
        self._disk = disk or Disk()
        try:
            self._disk.make_folder(self._folder)
        except OSError as error:
            raise UsageError(f"{self._folder}: {error.strerror}") from None

    def boot(self) -> Path | None:
        """Choose what runs now: to be called whenever the device starts, before all else.

        Returns:
            The image; `None` where none was ever installed, or the first one was not confirmed.
        """
        slot = self.restart()
        return None if slot == FACTORY else self._image(slot)

    def _image(self, slot: str) -> Path:
        return self._folder / f"{slot}.img"

    def _load(self) -> Record:
        try:
            return msgspec.json.decode((self._folder / _RECORD).read_bytes(), type=Record)
        except FileNotFoundError:
            return Record()

    def _save(self, record: Record) -> None:
        self._disk.save(self._folder / _RECORD, msgspec.json.encode(record))

    def _erase(self, slot: str) -> None:
        self._disk.remove(self._image(slot))

    def _keep(self, slot: str, offset: int, data: bytes) -> None:
        self._disk.write(self._image(slot), offset, data)

    def _settle(self, slot: str) -> None:
        self._disk.sync(self._image(slot))
        self._disk.sync_folder(self._folder)

    def _hash(self, slot: str, size: int) -> str:
        hash = hashlib.sha256()
        try:
            with self._image(slot).open("rb") as file:
                while block := file.read(_BLOCK):
                    hash.update(block)
        except FileNotFoundError:
            return ""
        return hash.hexdigest()
