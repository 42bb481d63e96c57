"""Which reports leave together, and which of them as one message.

A message has one time, and each key one value. So reports without a time of their own get that at
which their batch began, and one that brings a key again, or another time, begins the next batch. A
row of the outbox is a whole batch: it never changes once it may have been sent, so its number means
the same values whenever it is sent again.
"""

import time
from collections.abc import Set
from typing import NamedTuple

import anyio
import msgspec
from msgspec import Raw, Struct

from .outbox import Outbox

_TOGETHER = 64  # reports that wait for each other at most

_keys = msgspec.json.Decoder(dict[str, Raw])


class Place(NamedTuple):
    """Where a report goes: the time that it is given, and the number of its batch, 0 for none."""

    timestamp: float
    batch: int


class _Batch(Struct):
    timestamp: float
    is_stamped: bool  # its time is ours, not the caller's
    keys: set[str]
    size: int


class Batches:
    """Gathers the reports of one device.

    Args:
        outbox: where they wait.
        seconds: how long the first one waits for others; 0 for not at all.
        longest: bytes of the longest payload of a message.
    """

    def __init__(self, outbox: Outbox, seconds: float, longest: int) -> None:
        self._outbox = outbox
        self._seconds = seconds
        self._longest = longest
        self._until = 0.0
        self._reports = 0
        self._number = 0
        self._batch: _Batch | None = None

    def place(self, payload: bytes, timestamp: float | None) -> Place:
        """Say where a report goes.

        Args:
            payload: its values, in JSON.
            timestamp: as its caller gave it, in Unix seconds.
        """
        now = round(time.time(), 3) if timestamp is None else timestamp
        if not self._seconds:
            return Place(now, 0)
        if self._batch is None or anyio.current_time() >= self._until:
            self._reports = 0
            self._until = anyio.current_time() + self._seconds
            self._outbox.hold(self._until)
            self._batch = None
        keys = _keys.decode(payload).keys()
        batch = self._batch
        if batch is None or not self._fits(batch, keys, len(payload), timestamp):
            self._number += 1
            batch = self._batch = _Batch(now, timestamp is None, set(), 0)
        batch.keys |= keys
        batch.size += len(payload)
        self._reports += 1
        if self._reports >= _TOGETHER:
            self.end()
        return Place(batch.timestamp, self._number)

    def end(self) -> None:
        """Wait for no more: what is there may leave."""
        self._batch = None
        if self._seconds:
            self._outbox.release()

    def _fits(self, batch: _Batch, keys: Set[str], size: int, timestamp: float | None) -> bool:
        has_its_time = batch.is_stamped if timestamp is None else timestamp == batch.timestamp
        return has_its_time and batch.keys.isdisjoint(keys) and batch.size + size <= self._longest
