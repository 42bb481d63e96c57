"""NovaCloud TCP: devices that report to a platform and take its commands, a line of JSON each.

Here is the platform: `NovaPlatform` is the server for devices, `management` its JSON-RPC interface,
`SqliteStore` where it keeps everything.
"""

from .errors import AlreadyExists, DeviceDisabled, NovaError, StoreFailed, UnknownDevice, UnknownKey
from .management import management
from .platform import NovaPlatform
from .settings import Settings
from .sqlite import SqliteStore
from .store import Store

__all__ = [
    "AlreadyExists",
    "DeviceDisabled",
    "NovaError",
    "NovaPlatform",
    "Settings",
    "SqliteStore",
    "Store",
    "StoreFailed",
    "UnknownDevice",
    "UnknownKey",
    "management",
]
