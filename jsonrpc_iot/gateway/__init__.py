"""Many devices behind one address: calls, notifications and streams are handed on to them."""

from .gateway import Gateway
from .state import DeviceChange, DeviceState
from .ways import Openable

__all__ = ["DeviceChange", "DeviceState", "Gateway", "Openable"]
