"""Which BLE devices advertise the RPC service; what they are is left open: nobody connects."""

from ..transports.gatt import HeardDevice, scan
from ._search import Report, Search, Where


class BleSearch:
    """Collects what is heard.

    Args:
        transport: a bumble transport to listen on; the system's Bluetooth without.

    Attributes:
        heard: the devices by address, each as it was heard last.
    """

    def __init__(self, transport: str | None) -> None:
        self.heard: dict[str, HeardDevice] = {}
        self._where = "gatt://" if transport is None else f"gatt+bumble://{transport}"

    @property
    def search(self) -> Search:
        """Listens until it is cancelled."""

        async def search(where: Where, report: Report) -> None:
            await scan(self._where, self._take)

        return search

    @property
    def devices(self) -> list[HeardDevice]:
        """Those that were heard, the nearest first."""
        return sorted(self.heard.values(), key=lambda device: -device.rssi)

    def _take(self, device: HeardDevice) -> None:
        self.heard[device.address] = device
