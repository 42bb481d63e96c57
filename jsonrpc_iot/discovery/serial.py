"""Which serial adapters this host has; whether a device is at their ends is left open."""

import anyio
import anyio.to_thread

from ..errors import MissingExtra
from .found import Found, Report

_LOOK_SECONDS = 1.0


class SerialWay:
    """Looks at the adapters, once a second for new ones."""

    def __init__(self) -> None:
        self._here: list[Found] = []

    async def look(self, report: Report) -> None:
        """Report each adapter that is plugged in."""
        while True:
            here = await anyio.to_thread.run_sync(serial_adapters)
            before, self._here = self._here, here
            for adapter in here:
                if adapter not in before:
                    report(adapter)
            await anyio.sleep(_LOOK_SECONDS)


def serial_adapters() -> list[Found]:
    """The adapters with known hardware, by name.

    Raises:
        MissingExtra: the extra `uart` is not installed.
    """
    try:
        from serial.tools.list_ports import comports
    except ImportError as error:
        problem = "serial adapters need: pip install 'jsonrpc-iot[uart]'"
        raise MissingExtra(f"discover: {problem}") from error
    return [
        Found(
            url=f"uart://{port.device}",
            name=None,
            via="serial",
            info={
                "serial": port.device,
                "description": port.description,
                "vid": port.vid,
                "pid": port.pid,
            },
        )
        for port in sorted(comports(), key=lambda port: port.device)
        if port.hwid != "n/a"  # sockets on the board that may not exist
    ]


def has_serial() -> bool:
    """Whether the extra `uart` is installed."""
    try:
        import serial.tools.list_ports  # noqa: F401
    except ImportError:
        return False
    return True
