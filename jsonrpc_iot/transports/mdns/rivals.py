"""Who else uses a name: servers that asked for it at the same moment, or on a net of their own.

It is imported where zeroconf is known to be installed.
"""

from collections.abc import Sequence

import anyio
from zeroconf import RecordUpdate, RecordUpdateListener, ServiceInfo, Zeroconf


class Rivals(RecordUpdateListener):
    """Hears of those that announce another server under the same names.

    Args:
        infos: what is announced, all with one host.

    Attributes:
        heard: is set when there is one.
        is_lost: whether the name is the other's: the one whose host comes first keeps it.
    """

    def __init__(self, infos: Sequence[ServiceInfo]) -> None:
        self._names = {info.key for info in infos}
        self._host = (infos[0].server or "").lower()
        self.heard = anyio.Event()
        self.is_lost = False

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Look at what has arrived; zeroconf calls it."""
        for record in (each.new for each in records):
            host = getattr(record, "server", "").lower()  # SRV records have one
            if host not in ("", self._host) and record.key in self._names and record.ttl:
                self.is_lost = self.is_lost or host < self._host
                self.heard.set()
