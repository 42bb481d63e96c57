"""Devices that advertise the RPC service over BLE; nobody connects to any."""

from functools import partial

from ..transports.gatt import HeardDevice, scan
from .found import Found, Report


class BleWay:
    """Listens for advertisements.

    Args:
        radio: `gatt://`, or `gatt+bumble://TRANSPORT`.
    """

    def __init__(self, radio: str) -> None:
        self._radio = radio
        self._known: dict[str, str | None] = {}

    async def look(self, report: Report) -> None:
        """Report each device once, and again when it has another name."""
        await scan(self._radio, partial(self._hear, report))

    def _hear(self, report: Report, device: HeardDevice) -> None:
        # The name may come later than the first advertisement, and is not in all of them.
        if device.address in self._known and device.name in (None, self._known[device.address]):
            return
        self._known[device.address] = device.name
        info = {"address": device.address, "rssi": device.rssi}
        report(Found(url=device.url, name=device.name, via="ble", info=info))
