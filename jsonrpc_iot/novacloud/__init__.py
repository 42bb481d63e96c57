"""NovaCloud TCP, both ends: devices that report values and take commands, and their platform.

`NovaDevice` is the device's side, with an `Outbox` for what the platform has not got yet.
`NovaPlatform` is the server for devices, `management` its JSON-RPC interface, `SqliteStore` where
it keeps everything.
"""

from .device.backoff import Schedule
from .device.device import NovaDevice
from .device.outbox import Outbox, OutboxFailed, WhenFull
from .device.remote_log import DeviceLogHandler
from .device.settings import DeviceCounts, DeviceSettings
from .errors import (
    AlreadyExists,
    DeviceDisabled,
    NovaError,
    StoreFailed,
    UnknownDevice,
    UnknownKey,
)
from .platform.management import NovaManagement, management
from .platform.platform import NovaPlatform
from .platform.settings import PlatformSettings
from .store.sqlite.store import SqliteStore
from .store.store import Store

__all__ = [
    "AlreadyExists",
    "DeviceCounts",
    "DeviceDisabled",
    "DeviceLogHandler",
    "DeviceSettings",
    "NovaDevice",
    "NovaError",
    "NovaManagement",
    "NovaPlatform",
    "Outbox",
    "OutboxFailed",
    "PlatformSettings",
    "Schedule",
    "SqliteStore",
    "Store",
    "StoreFailed",
    "UnknownDevice",
    "UnknownKey",
    "WhenFull",
    "management",
]
