"""A Tuya serial line in code: its DataPoints and commands, and RPC beside them.

`TuyaMcu` is the end that runs a product, `TuyaModule` the end that leads to the network, `TuyaLink`
a line without either. Who needs RPC alone gives `uart://` or `tuya-dp://` to `serve` or `connect`.
"""

from ..protocol.tuya.datapoints import DataPoint, DataPointType
from ..protocol.tuya.frame import Command, Frame, FrameDecoder, NetworkStatus
from ..protocol.tuya.role import Product
from .link import TuyaLink
from .mcu import TuyaMcu
from .module import TuyaModule

__all__ = [
    "Command",
    "DataPoint",
    "DataPointType",
    "Frame",
    "FrameDecoder",
    "NetworkStatus",
    "Product",
    "TuyaLink",
    "TuyaMcu",
    "TuyaModule",
]
