"""What a device said last of each thing: its statuses, laid one on the other."""

from typing import Any

import msgspec
from msgspec import Struct

_LARGEST = 48 << 10
"""Bytes of the members that are remembered beside those of the last status."""


class LatestStatus(Struct):
    """The latest of each member of a device's statuses.

    `ranks` has the rank of each member; `rank` is that of members without, as in files of an older
    version. A rank beyond the arrival is from before the clock was set back.
    """

    payload: dict[str, Any]
    ranks: dict[str, float]
    rank: float
    timestamp: float
    upto: int

    def take(self, status: dict[str, Any], timestamp: float, received: float) -> None:
        """Let each member replace its older one."""
        rank = min(timestamp, received)
        if _replaces(rank, self.rank, received):
            self.rank, self.timestamp = rank, timestamp
        for name, value in status.items():
            if _replaces(rank, self.ranks.get(name, -1.0), received):
                self.payload[name], self.ranks[name] = value, rank
        self._bound(status)

    def _bound(self, status: dict[str, Any]) -> None:
        """Forget the oldest members of too many; those of the last status stay."""
        size = len(msgspec.json.encode(self.payload))
        if size <= _LARGEST:
            return
        for name in sorted(self.ranks.keys() - status.keys(), key=lambda name: self.ranks[name]):
            size -= len(msgspec.json.encode({name: self.payload.pop(name)}))
            del self.ranks[name]
            if size <= _LARGEST:
                return


def _replaces(rank: float, old: float, received: float) -> bool:
    return rank >= old or old > received
