"""The `wifi` service: scan for networks, join one, leave it, and follow the state of the link.

`Wifi` is the interface, the same for every backend; `SimulatedWifi` is the one without hardware.
"""

from .interface import (
    AccessPoint,
    NetworkNotFound,
    NoWifiHardware,
    Wifi,
    WifiBusy,
    WifiError,
    WifiState,
    WifiStatus,
    WrongKey,
    decode_ssid,
)
from .simulated import DEFAULT_NETWORKS, SimulatedNetwork, SimulatedWifi

__all__ = [
    "DEFAULT_NETWORKS",
    "AccessPoint",
    "NetworkNotFound",
    "NoWifiHardware",
    "SimulatedNetwork",
    "SimulatedWifi",
    "Wifi",
    "WifiBusy",
    "WifiError",
    "WifiState",
    "WifiStatus",
    "WrongKey",
    "decode_ssid",
]
