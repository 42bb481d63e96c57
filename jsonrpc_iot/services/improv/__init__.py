"""Provisioning by the open standard Improv Wi-Fi: how a new device gets onto a network.

A device has an `Improv` over its `Wifi`, and `serve_line` or `serve_port` for each serial line and
`serve_bluetooth` for each Bluetooth adapter, so that any Improv app sets it up. `ImprovClient` is
the other end, for any Improv device, and `set_up` does all of it, with pairing where the device is
ours.
"""

from jsonrpc_iot.protocol.improv.messages import DeviceInfo, ErrorState, State

from .bluetooth import serve_bluetooth
from .client import ImprovClient, SeenNetwork, open_client
from .device import Improv
from .errors import ImprovError
from .line import serve_line
from .names import Names
from .port import serve_port, share_port
from .setup import set_up

__all__ = [
    "DeviceInfo",
    "ErrorState",
    "Improv",
    "ImprovClient",
    "ImprovError",
    "Names",
    "SeenNetwork",
    "State",
    "open_client",
    "serve_bluetooth",
    "serve_line",
    "serve_port",
    "set_up",
    "share_port",
]
