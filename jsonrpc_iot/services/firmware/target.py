"""Where an image goes: what a device gives to be updated."""

import abc

from msgspec import Struct

from .interface import FirmwareStatus


class Image(Struct, frozen=True, kw_only=True):
    """What is known of an image.

    Args:
        version: as its sender says.
        target: the kind of device that it is for, empty for any.
        size: bytes.
        sha256: of the bytes, in hex.
    """

    version: str
    target: str = ""
    size: int
    sha256: str


class UpdateTarget(abc.ABC):
    """A device's memory for images, and its choice between them.

    Its functions are called one after the other in worker threads, and may block. An image is
    handed over when it is here whole, and its hash and signature are right: `prepare`, then `write`
    from its first byte to its last, then `install`. The power may go before, between and in all of
    these: what runs afterwards has to be the old image, or after `install` the new one.
    """

    @abc.abstractmethod
    def space(self) -> int:
        """Bytes that an image may have."""

    def prepare(self, image: Image) -> None:  # noqa: B027  # not all have to know
        """Hear of the image that comes next. Whatever was written before is void.

        Raises:
            InUse: there is no place for it, as the image that runs is not confirmed.
        """

    @abc.abstractmethod
    def write(self, offset: int, data: bytes) -> None:
        """Keep some bytes of the image.

        Raises:
            NoRoom: there is no room for them.
        """

    @abc.abstractmethod
    def install(self) -> None:
        """Have the image run after the next restart, once."""

    @abc.abstractmethod
    def confirm(self) -> None:
        """Have the image that runs stay.

        Raises:
            NotAllowed: the one that is to run has not been started yet.
        """

    @abc.abstractmethod
    def status(self) -> FirmwareStatus:
        """What runs, and whether it stays."""
