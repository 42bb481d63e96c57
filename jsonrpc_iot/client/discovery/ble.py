"""Devices that advertise the RPC service over BLE; nobody connects to any."""

from functools import partial

from ...transports.gatt import HeardDevice, scan
from .found import MOST, Found, Report


class BleWay:
    """Listens for advertisements.

    Args:
        radio: `gatt://`, or `gatt+bumble://TRANSPORT`.
    """

    def __init__(self, radio: str) -> None:
        self._radio = radio
        self._known: dict[str, str | None] = {}
        self._nameless: set[str] = set()

    async def look(self, report: Report) -> None:
        """Report each device once, and again when it has another name."""
        await scan(self._radio, partial(self._hear, report))

    def _hear(self, report: Report, device: HeardDevice) -> None:
        address, name = device.address, device.name
        if address in self._known and name in (None, self._known[address]):
            return
        if name is None and address not in self._nameless and len(self._nameless) < MOST:
            self._nameless.add(address)  # the name may stand in what follows
            return
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[address] = name
        self._nameless.discard(address)
        info = {"address": address, "rssi": device.rssi}
        report(Found(url=device.url, name=name, via="ble", info=info))
