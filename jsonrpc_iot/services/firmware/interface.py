"""What the `firmware` service promises: its methods, what they give, and its errors.

The page "Files and firmware over RPC" has them. An image travels as a file does; see `files`.

FirmwareError          an error of this service
├── WrongSignature     3102
└── NotForThisDevice   3103
"""

import abc
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from jsonrpc_iot import Context, Event, Example, RpcError, method, service
from jsonrpc_iot.services.files import Begun, InUse, NoRoom, NotAllowed, Written, WrongHash
from jsonrpc_iot.services.files.interface import Sha256, Size, TransferId

PERMISSION = "firmware"
"""What a caller needs."""


class FirmwareError(RpcError):
    """An error of the firmware service."""

    message = "Firmware error"


class WrongSignature(FirmwareError):
    """The device demands a signature, and this is none, or not of this image."""

    code = 3102
    message = "Signature is wrong"


class NotForThisDevice(FirmwareError):
    """The image is for another kind of device; `data` is `{"target": its own}`."""

    code = 3103
    message = "Not for this device"


State: TypeAlias = Literal["confirmed", "testing", "pending"]
"""The image stays; it runs for the first time and goes away unless confirmed; another one waits for
the next restart."""

ImageSize = Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]

Word = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)",  # as `$` takes a line feed at the end
        description="1 to 64 characters without control characters",
    ),
]


class FirmwareStatus(Struct, frozen=True, kw_only=True):
    """What runs, and what becomes of it.

    Args:
        version: of the image that runs.
        slot: where that is.
        state: see `State`.
        previous: the version that returns where this one is not confirmed; or that was before.
        next: the version that runs after the next restart.
    """

    version: str
    slot: str | UnsetType = UNSET
    state: State
    previous: str | UnsetType = UNSET
    next: str | UnsetType = UNSET


class Installed(Struct, frozen=True):
    """What has become of an image.

    Args:
        state: `pending`: it runs after the restart.
    """

    state: State


class FirmwareProgress(Struct, frozen=True):
    """How far an image has come.

    Args:
        offset: bytes that are there.
        size: bytes that it has.
    """

    offset: int
    size: int


_STATUS = Example("it stays", result=FirmwareStatus(version="1.4.0", state="confirmed"))


@service("firmware")
class Firmware(abc.ABC):
    """The `firmware` service. `FirmwareUpdates` is the one on an `UpdateTarget`."""

    progress = Event[FirmwareProgress](requires=PERMISSION)
    state_changed = Event[FirmwareStatus]("state", requires=PERMISSION)

    @method(effect="read", requires=PERMISSION, tags=("firmware",), examples=(_STATUS,))
    @abc.abstractmethod
    async def status(self) -> FirmwareStatus:
        """Says which image runs, and whether it stays."""

    @method(
        idempotent=True,
        effect="change",
        requires=PERMISSION,
        errors=(NoRoom, InUse, WrongSignature, NotForThisDevice),
        tags=("firmware",),
    )
    @abc.abstractmethod
    async def begin(
        self,
        size: ImageSize,
        sha256: Sha256,
        version: Word,
        target: Word | None = None,
        signature: bytes | None = None,
        *,
        context: Context | None = None,
    ) -> Begun:
        """Begins the transfer of an image, or goes on with it.

        Args:
            size: bytes.
            sha256: of the bytes, in hex.
            version: of the image.
            target: the kind of device that it is for.
            signature: Ed25519, 64 bytes. Where messages have no room for it, below 1,024 bytes, it
                may come with `install` instead.
            context: of the call.

        Raises:
            NoRoom: the device has no room for so large an image.
            InUse: another image is being written, or the one that runs is not confirmed.
            WrongSignature: the signature is not right.
            NotForThisDevice: it is for another kind of device.
        """

    @method(
        idempotent=True,
        effect="change",
        requires=PERMISSION,
        errors=(NoRoom,),
        tags=("firmware",),
    )
    @abc.abstractmethod
    async def write(self, transfer: TransferId, offset: Size, data: bytes) -> Written:
        """Takes the next bytes; see `files.write`."""

    @method(idempotent=True, effect="change", requires=PERMISSION, tags=("firmware",))
    @abc.abstractmethod
    async def abort(self, transfer: TransferId) -> None:
        """Forgets a transfer and what has come of it; one that is not there as well."""

    @method(
        effect="danger",
        serial=True,
        requires=PERMISSION,
        errors=(WrongHash, WrongSignature, NotForThisDevice, InUse, NoRoom),
        tags=("firmware",),
    )
    @abc.abstractmethod
    async def install(self, transfer: TransferId, signature: bytes | None = None) -> Installed:
        """Has the image run after the restart, if it is whole, right and for this device.

        Args:
            transfer: as `begin` named it.
            signature: of the image, where `begin` did not bring it.

        Raises:
            InvalidParams: there is no such transfer, or bytes are missing.
            WrongHash: it is not what was announced.
            WrongSignature: the device demands one, and it is missing or wrong.
            NotForThisDevice: it is for another kind of device.
            InUse: the image that runs is not confirmed.
            NoRoom: the device has no room for it.
        """

    @method(
        idempotent=True,
        effect="danger",
        requires=PERMISSION,
        errors=(NotAllowed,),
        tags=("firmware",),
    )
    @abc.abstractmethod
    async def confirm(self) -> None:
        """Has the image that runs stay.

        Raises:
            NotAllowed: the one that is to run has not been started yet.
        """
