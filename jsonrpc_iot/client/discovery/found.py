"""What is found, and what every way of finding is."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

Via: TypeAlias = Literal["udp", "serial", "ble", "mdns"]

MOST = 10_000
"""Devices that a way remembers, so that each comes once; more are made up, and come again."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A device, or a serial adapter that may have one at its end.

    What it says comes from anybody who is near: it is to be shown escaped, and proves nothing.

    Args:
        url: where it can be called.
        name: what it calls itself; `None` where it does not say.
        via: the way in which it was found: `udp`, `serial`, `ble` or `mdns`.
        info: what else is known, by way: over UDP `address`, `version`, `platform`, `uptime` in
            seconds, `round_trip_ms` and the `error` that it answered with; of a serial adapter
            `serial`, `description`, `vid` and `pid`; over BLE `address` and `rssi` in dBm; by mDNS
            `host`, all `urls`, and `auth`, whether it wants to know who comes.
    """

    url: str
    name: str | None
    via: Via
    info: dict[str, Any]


Report = Callable[[Found], object]
"""Is called with each device that is new, or that has something new to say."""


class Way(Protocol):
    """One way of finding devices."""

    async def look(self, report: Report) -> None:
        """Report devices until cancelled; called again it goes on where it was."""
