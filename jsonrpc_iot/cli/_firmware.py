"""A simulated device that takes images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from jsonrpc_iot import Dispatcher, UsageError

from ._files import include_open
from .command.declare import Option

if TYPE_CHECKING:
    from jsonrpc_iot.services.firmware import FirmwareUpdates

FirmwareOption: TypeAlias = Annotated[
    Path | None,
    Option(
        "--firmware",
        metavar="DIR",
        help="Take images by update, keep them in this folder, and restart as a device does; with "
        "--keys from who has the permission firmware.",
    ),
]
FirmwareKeyOption: TypeAlias = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Take no image that is not signed with the key whose public half this is: Ed25519, in "
        "PEM, or its 32 bytes in Base64.",
    ),
]


def include_firmware(
    dispatcher: Dispatcher, folder: Path | None, key: Path | None
) -> "FirmwareUpdates | None":
    """Have a simulated device take images; gives what restarts it, to be entered while it serves.

    Args:
        dispatcher: of the device.
        folder: of the images, `None` for no such service.
        key: the file of the public key that images are signed with.

    Raises:
        UsageError: the folder cannot be made, or there is no such key.
        MissingExtra: the library for signatures is not installed.
    """
    if folder is None:
        if key is not None:
            raise UsageError("--firmware-key is of use with --firmware DIR alone")
        return None
    from jsonrpc_iot.services.firmware import DirectoryTarget, FirmwareUpdates

    target = DirectoryTarget(folder, version="1.0.0")
    target.boot()
    updates = FirmwareUpdates(target, folder / "incoming", key=key, restart=target.boot)
    include_open(dispatcher, "--firmware", updates, "firmware")
    return updates
