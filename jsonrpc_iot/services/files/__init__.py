"""The `files` service: files that a device has, takes and gives, over links of any kind.

`Files` is the interface, `FolderFiles` the service over a folder; `put` and `get` are the caller's
end. `names` says which names there may be, `transfers` keeps what has not come whole, `disk` has
the steps between which the power may go. `sending` sends a file for as long as it takes, firmware
too; `room` says how much fits a message.
"""

from .disk import Disk
from .folder import FolderFiles
from .get import get
from .interface import (
    Begun,
    Committed,
    FileExists,
    FileInfo,
    Files,
    FilesError,
    InUse,
    NoRoom,
    NoSuchFile,
    NotAllowed,
    Piece,
    Written,
    WrongHash,
)
from .put import put
from .sending import Progress

__all__ = [
    "Begun",
    "Committed",
    "Disk",
    "FileExists",
    "FileInfo",
    "Files",
    "FilesError",
    "FolderFiles",
    "InUse",
    "NoRoom",
    "NoSuchFile",
    "NotAllowed",
    "Piece",
    "Progress",
    "Written",
    "WrongHash",
    "get",
    "put",
]
