"""The `firmware` service: a device is given another image, over links of any kind.

`Firmware` is the interface, `FirmwareUpdates` the service on an `UpdateTarget`, which has the
device's memory: `DirectoryTarget` on a disk, `SimulatedTarget` in memory, both by the rules of
`slots`. `update` is the caller's end; `signing` says what is signed.
"""

from .directory import DirectoryTarget
from .interface import (
    Firmware,
    FirmwareError,
    FirmwareProgress,
    FirmwareStatus,
    Installed,
    NotForThisDevice,
    WrongSignature,
)
from .signing import sign, signed_text
from .simulated import PowerLoss, SimulatedTarget
from .slots import SlottedTarget
from .target import Image, UpdateTarget
from .update import NotRunning, update
from .updates import FirmwareUpdates

__all__ = [
    "DirectoryTarget",
    "Firmware",
    "FirmwareError",
    "FirmwareProgress",
    "FirmwareStatus",
    "FirmwareUpdates",
    "Image",
    "Installed",
    "NotForThisDevice",
    "NotRunning",
    "PowerLoss",
    "SimulatedTarget",
    "SlottedTarget",
    "UpdateTarget",
    "WrongSignature",
    "sign",
    "signed_text",
    "update",
]
