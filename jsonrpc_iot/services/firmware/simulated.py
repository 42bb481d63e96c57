"""A device's flash in memory, whose power may go at any step."""

import hashlib

from jsonrpc_iot.services.files import NoRoom

from .slots import FACTORY, SLOTS, Record, SlottedTarget

_ERASED = 0xFF
_PAGE = 256


class PowerLoss(Exception):
    """The simulated device has no power; `restart` gives it back."""


class SimulatedTarget(SlottedTarget):
    """Two slots of simulated flash: a byte is written once after it was erased.

    Args:
        version: of the image that runs at first.
        image: that image.
        space: bytes of a slot.

    Attributes:
        steps: how many steps were done to the flash: pages written, slots erased, records changed.
        cut_at: the step at which the power goes, `None` for never. A page is written by half then.
    """

    def __init__(self, version: str = "1.0.0", *, image: bytes = b"", space: int = 1 << 20) -> None:
        super().__init__(version, space)
        self.steps = 0
        self.cut_at: int | None = None
        self._flash = {FACTORY: bytearray(image)}
        self._flash |= {slot: bytearray([_ERASED]) * space for slot in SLOTS}
        self._record = Record()
        self._is_off = False

    @property
    def running(self) -> bytes:
        """The image that runs."""
        slot = self._record.slot
        image = self._record.images.get(slot)
        return bytes(self._flash[slot][: None if image is None else image.size])

    def restart(self) -> str:
        """Start anew, with power; see `SlottedTarget.restart`."""
        self._is_off = False
        return super().restart()

    def _load(self) -> Record:
        return self._record

    def _save(self, record: Record) -> None:
        self._die_if(self._step())
        self._record = record

    def _erase(self, slot: str) -> None:
        flash = self._flash[slot]
        half = len(flash) // 2
        for part in (slice(0, half), slice(half, None)):
            self._die_if(self._step())
            flash[part] = bytes([_ERASED]) * len(flash[part])

    def _keep(self, slot: str, offset: int, data: bytes) -> None:
        flash = self._flash[slot]
        if offset + len(data) > len(flash):
            raise NoRoom(data={"free": len(flash)})
        for start in range(0, len(data), _PAGE):
            page = data[start : start + _PAGE]
            is_last = self._step()
            for place, byte in enumerate(page[: len(page) // 2] if is_last else page):
                flash[offset + start + place] &= byte  # what is no 1 any more stays so
            self._die_if(is_last)

    def _settle(self, slot: str) -> None:
        self._die_if(self._step())

    def _hash(self, slot: str, size: int) -> str:
        return hashlib.sha256(self._flash[slot][:size]).hexdigest()

    def _step(self) -> bool:
        """Count a step; gives whether the power goes in it."""
        self._die_if(self._is_off)
        self.steps += 1
        self._is_off = self.steps == self.cut_at
        return self._is_off

    def _die_if(self, is_off: bool) -> None:
        if is_off:
            raise PowerLoss
