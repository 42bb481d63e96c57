"""The serial adapters of this host; whether a device is at their ends is left open."""

import anyio
import anyio.to_thread

from ...transports.serial.adapters import list_adapters
from .found import Found, Report

_LOOK_SECONDS = 1.0


class SerialWay:
    """Looks at the adapters, once a second for new ones."""

    def __init__(self) -> None:
        self._here: list[Found] = []

    async def look(self, report: Report) -> None:
        """Report each adapter that is plugged in."""
        while True:
            here = await anyio.to_thread.run_sync(_adapters)
            before, self._here = self._here, here
            for adapter in here:
                if adapter not in before:
                    report(adapter)
            await anyio.sleep(_LOOK_SECONDS)


def _adapters() -> list[Found]:
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
        for port in list_adapters()
    ]
