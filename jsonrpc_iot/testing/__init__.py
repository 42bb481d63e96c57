"""Links for tests: in memory, and bad on purpose; what a channel must do; recorded devices.

    link = LossyLink(Faults(drop=0.2, duplicate=0.2, reorder=0.2), seed=7)
    async with served(dispatcher, link.client, link.server) as ends:
        await ends.client.call("lamp.set", {"on": True})

All chance comes from the seed. Time is the event loop's, so a test clock works too.
"""

from .contract import check_channel_contract
from .ends import Ends, served
from .links import Faults, LinkCounts, LossyLink, OneWay, memory_pair
from .radio import VirtualRadio, virtual_radio
from .replay import replay
from .serial import LineCounts, LineFaults, LineWay, VirtualSerial, virtual_serial_pair

__all__ = [
    "Ends",
    "Faults",
    "LineCounts",
    "LineFaults",
    "LineWay",
    "LinkCounts",
    "LossyLink",
    "OneWay",
    "VirtualRadio",
    "VirtualSerial",
    "check_channel_contract",
    "memory_pair",
    "replay",
    "served",
    "virtual_radio",
    "virtual_serial_pair",
]
