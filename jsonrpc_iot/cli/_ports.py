"""Which serial adapters this host has; whether a device is at their ends is left open."""

from msgspec import Struct


class SerialPort(Struct, frozen=True, kw_only=True):
    """A serial adapter.

    Args:
        url: where a device at its end can be called.
        serial: its device.
        description: what it says of itself.
        vid: USB vendor.
        pid: USB product.
    """

    url: str
    serial: str
    description: str
    vid: int | None = None
    pid: int | None = None

    def __str__(self) -> str:
        ids = "" if self.vid is None else f"  {self.vid:04x}:{self.pid or 0:04x}"
        return f"{self.serial}  {self.description}{ids}"


def serial_ports() -> list[SerialPort]:
    """The adapters with known hardware, by name; none where the extra `uart` is not installed."""
    try:
        from serial.tools.list_ports import comports
    except ImportError:
        return []
    return [
        SerialPort(
            url=f"uart://{port.device}",
            serial=port.device,
            description=port.description,
            vid=port.vid,
            pid=port.pid,
        )
        for port in sorted(comports(), key=lambda port: port.device)
        if port.hwid != "n/a"  # sockets on the board that may not exist
    ]
