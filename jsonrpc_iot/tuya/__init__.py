"""A Tuya serial line in code: its DataPoints and commands, and RPC beside them.

`TuyaDevice` gives the DataPoints of a device names, as methods and events. `TuyaMcu` is the end
that runs a product, `TuyaModule` the end that leads to the network, `TuyaLink` a line without
either.
Who needs RPC alone gives `uart://` or `tuya-dp://` to `serve` or `connect`.
"""

from ..protocol.tuya.datapoints import DataPoint, DataPointType
from ..protocol.tuya.frame import Command, Frame, FrameDecoder, NetworkStatus
from ..protocol.tuya.role import Product
from .device import TuyaDevice
from .link import TuyaLink
from .mcu import TuyaMcu
from .module import TuyaModule
from .points import Point

__all__ = [
    "Command",
    "DataPoint",
    "DataPointType",
    "Frame",
    "FrameDecoder",
    "NetworkStatus",
    "Point",
    "Product",
    "TuyaDevice",
    "TuyaLink",
    "TuyaMcu",
    "TuyaModule",
]
