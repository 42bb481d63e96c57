"""NovaCloud TCP, both ends: devices that report values and take commands, and their platform.

`NovaDevice` is the device's side, with an `Outbox` for what the platform has not got yet.
`NovaPlatform` is the server for devices, `management` its JSON-RPC interface, `SqliteStore` where
it keeps everything.
"""

from ._device_settings import DeviceCounts, DeviceSettings
from ._platform_settings import PlatformSettings
from ._reconnect import Schedule
from .device import NovaDevice
from .errors import AlreadyExists, DeviceDisabled, NovaError, StoreFailed, UnknownDevice, UnknownKey
from .management import management
from .outbox import Outbox, OutboxFailed, WhenFull
from .platform import NovaPlatform
from .sqlite import SqliteStore
from .store import Store

__all__ = [
    "AlreadyExists",
    "DeviceCounts",
    "DeviceDisabled",
    "DeviceSettings",
    "NovaDevice",
    "NovaError",
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
