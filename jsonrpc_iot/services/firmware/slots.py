"""Two places for images, of which one runs: the rules by which a device chooses.

An image is written into the slot that does not run. `install` makes it pending; the next restart
starts it for a test. Confirmed, it stays; restarted before that, the device takes the one before.
All that is decided stands in one small record, which changes at once or not at all, and names no
slot that is being written.
"""

import abc

from msgspec import UNSET, Struct
from msgspec.structs import replace

from jsonrpc_iot.services.files import InUse, NoRoom, NotAllowed

from .interface import FirmwareStatus, State
from .target import Image, UpdateTarget

FACTORY = "factory"
SLOTS = ("a", "b")


class Record(Struct, frozen=True, kw_only=True):
    """What is decided.

    Args:
        slot: that runs; `factory` where none was ever installed.
        state: of what runs.
        other: the slot that is pending, or to go back to.
        images: what is in the slots that are whole.
    """

    slot: str = FACTORY
    state: State = "confirmed"
    other: str = FACTORY
    images: dict[str, Image] = {}


class SlottedTarget(UpdateTarget):
    """An `UpdateTarget` with two slots. Subclasses have the memory.

    Args:
        version: of what runs where nothing was ever installed.
        space: bytes that an image may have.
    """

    def __init__(self, version: str, space: int) -> None:
        self._version = version
        self._space = space

    def space(self) -> int:
        """See `UpdateTarget.space`."""
        return self._space

    def prepare(self, image: Image) -> None:
        """See `UpdateTarget.prepare`."""
        record = self._load()
        if record.state == "testing":
            raise InUse("The image that runs is not confirmed")
        if image.size > self._space:
            raise NoRoom(data={"free": self._space})
        spare = _spare(record)
        images = {slot: each for slot, each in record.images.items() if slot != spare}
        self._save(Record(slot=record.slot, images=images))  # before anything is overwritten
        self._erase(spare)
        self._incoming = image

    def write(self, offset: int, data: bytes) -> None:
        """See `UpdateTarget.write`."""
        self._keep(_spare(self._load()), offset, data)

    def install(self) -> None:
        """See `UpdateTarget.install`."""
        record = self._load()
        spare = _spare(record)
        self._settle(spare)
        images = record.images | {spare: self._incoming}
        self._save(replace(record, state="pending", other=spare, images=images))

    def restart(self) -> str:
        """Choose what runs now: to be called whenever the device starts, before all else.

        Returns:
            The slot, `a` or `b`; `factory` where nothing was installed.
        """
        record = self._load()
        if record.state == "pending" and self._is_whole(record, record.other):
            record = replace(record, state="testing", slot=record.other, other=record.slot)
        elif record.state == "pending":
            record = replace(record, state="confirmed", other=FACTORY)
        elif record.state == "testing":
            record = replace(record, state="confirmed", slot=record.other, other=FACTORY)
        else:
            return record.slot
        self._save(record)
        return record.slot

    def confirm(self) -> None:
        """See `UpdateTarget.confirm`."""
        record = self._load()
        if record.state == "pending":
            raise NotAllowed("The new image does not run yet")
        if record.state == "testing":
            self._save(replace(record, state="confirmed"))

    def status(self) -> FirmwareStatus:
        """See `UpdateTarget.status`."""
        record = self._load()
        return FirmwareStatus(
            version=self._version_of(record, record.slot),
            slot=record.slot,
            state=record.state,
            previous=UNSET
            if record.state == "pending" or record.other == record.slot
            else self._version_of(record, record.other),
            next=self._version_of(record, record.other) if record.state == "pending" else UNSET,
        )

    def _version_of(self, record: Record, slot: str) -> str:
        return record.images[slot].version if slot in record.images else self._version

    def _is_whole(self, record: Record, slot: str) -> bool:
        image = record.images.get(slot)
        return image is not None and self._hash(slot, image.size) == image.sha256

    @abc.abstractmethod
    def _load(self) -> Record:
        """The record; a fresh one where there is none."""

    @abc.abstractmethod
    def _save(self, record: Record) -> None:
        """Put a record in place of the other, at once and for good."""

    @abc.abstractmethod
    def _erase(self, slot: str) -> None:
        """Make a slot empty."""

    @abc.abstractmethod
    def _keep(self, slot: str, offset: int, data: bytes) -> None:
        """Write into a slot."""

    @abc.abstractmethod
    def _settle(self, slot: str) -> None:
        """Have what was written stay."""

    @abc.abstractmethod
    def _hash(self, slot: str, size: int) -> str:
        """The SHA-256 of the first bytes in a slot, in hex; empty where there are none."""


def _spare(record: Record) -> str:
    """The slot that may be written."""
    return SLOTS[1] if record.slot == SLOTS[0] else SLOTS[0]
