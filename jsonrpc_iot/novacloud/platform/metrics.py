"""What a platform counts, as Prometheus reads it: text in the exposition format 0.0.4.

No label has a value that devices choose, so the text stays as short whatever they do.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import anyio
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from ...protocol.exposition import Metric, Sample, histogram
from ..errors import StoreFailed
from ..store.command_log import CommandStatus
from .counts import BOUNDS
from .descriptors import limit_of_files
from .health import Health, health_of
from .open_command import CommandUpdate
from .platform import NovaPlatform

_FRESH_SECONDS = 1.0
"""How old the answer may be that who asks again gets: asking costs the database a commit."""

_TOTALS = {
    "connections": "Connections of devices that were accepted.",
    "failed_auths": "Attempts to authenticate that were refused.",
    "messages": "Messages of authenticated devices.",
    "malformed": "Lines that made no sense.",
    "values": "Values that were stored.",
    "unknown_values": "Values that were not stored: there is no sensor.",
    "wrong_values": "Values that were not stored: of another type than their sensor.",
    "duplicates": "Messages that were stored already.",
    "lost": "Messages that the database refused.",
    "responses": "Responses to commands.",
    "dropped_responses": "Responses that fit no open command.",
    "quick_heartbeats": "Heartbeats less than 30 s after the last one.",
}
_OPEN = [status for status in CommandStatus if not status.is_final]
_FINAL = [status for status in CommandStatus if status.is_final]

Block: TypeAlias = tuple[str, str]
"""The lines of one metric: what it is, and its samples."""


class Beside(Protocol):
    """Other platforms, which are shown in the same place."""

    async def blocks(self) -> Sequence[Block]:
        """Their metrics."""

    async def health(self) -> Mapping[str, str]:
        """By their names, `ok` or what is wrong with them."""


class Readiness(Health, frozen=True, kw_only=True):
    """The health of a platform; `ok` means that of all workers where it is one of several.

    Args:
        workers: by their names, `ok` or what is wrong with them.
    """

    workers: Mapping[str, str] | UnsetType = UNSET


class Metrics:
    """The metrics of a platform, from now on.

    Args:
        platform: whose.
        node: is in a label of each sample, where several nodes are shown in one place.
        beside: asks those that are shown beside it.
    """

    def __init__(
        self,
        platform: NovaPlatform,
        node: str = "",
        beside: Beside | None = None,
    ) -> None:
        self._platform = platform
        self._node = node
        self._beside = beside
        self._finished: Counter[CommandStatus] = Counter()
        self._asking = anyio.Lock()
        self._health: Health | None = None
        self._devices: int | None = None
        self._read_at = 0.0
        platform.command_update.subscribe(self._note)

    async def health(self) -> Health:
        """See `health_of`; at most a second old."""
        async with self._asking:
            if self._health is None or anyio.current_time() >= self._read_at + _FRESH_SECONDS:
                self._health = await health_of(self._platform)
                self._devices = None
                with suppress(StoreFailed), anyio.move_on_after(_FRESH_SECONDS):
                    self._devices = await self._platform.store.device_count()
                self._read_at = anyio.current_time()
            return self._health

    async def readiness(self) -> Readiness:
        """Whether this platform and those beside it do their work."""
        own = await self.health()
        if self._beside is None:
            return Readiness(**asdict(own))
        workers = {self._node: own.problem or "ok", **await self._beside.health()}
        is_ready = all(each == "ok" for each in workers.values())
        return Readiness(**{**asdict(own), "ok": is_ready}, workers=workers)

    async def text(self) -> str:
        """All metrics; those that cannot be known now are left out."""
        blocks = [*await self.blocks(), *(await self._beside.blocks() if self._beside else ())]
        texts: dict[str, str] = {}
        for head, samples in blocks:
            texts[head] = texts.get(head, "") + samples
        return "".join(f"{head}{samples}" for head, samples in texts.items())

    async def blocks(self) -> list[Block]:
        """Those of this platform, each by itself."""
        health = await self.health()
        found = [*self._of_platform(health), *self._of_commands(), *_of_process()]
        labels = {"node": self._node} if self._node else {}
        return [
            (metric.head(), "".join(metric.lines(labels))) for metric in found if metric.samples
        ]

    def _of_platform(self, health: Health) -> Iterable[Metric]:
        platform = self._platform
        sessions = platform.presence.sessions.values()
        sizes = platform.store.sizes()
        online = sum(session.is_online for session in sessions)
        gauges: Mapping[str, tuple[str, float | None]] = {
            "devices": ("Devices that are known.", self._devices),
            "devices_connected": ("Devices with an authenticated connection.", len(sessions)),
            "devices_online": ("Devices that have said something lately.", online),
            "devices_flapping": (
                "Devices whose connections replace each other.",
                len(platform.presence.flapping()),
            ),
            "open_connections": ("Connections that are open.", platform.open_connections),
            "ready": ("Whether the platform does its work.", health.ok),
            "store_writable": ("Whether the database takes what is to be stored.", health.writable),
            "store_lag_seconds": (
                "How long the oldest report has waited to be stored.",
                health.lag_seconds,
            ),
            "database_size_bytes": ("Size of the database's file.", sizes.get("database")),
            "database_log_size_bytes": ("Size of the database's log (WAL).", sizes.get("log")),
            "disk_free_bytes": ("Room on the database's disk.", health.disk_free),
        }
        for name, (help, value) in gauges.items():
            yield _metric(f"novacloud_{name}", "gauge", help, value)
        for name, count in platform.counts.totals.items():
            help = _TOTALS.get(name, f"See {name} of platform.stats.")
            yield _metric(f"novacloud_{name}_total", "counter", help, count)
        commits = platform.counts.commits
        yield Metric(
            "novacloud_commit_seconds",
            "histogram",
            "How long it took to store what devices have reported.",
            [*histogram(commits.counts, BOUNDS, commits.seconds)],
        )

    def _of_commands(self) -> Iterable[Metric]:
        states = self._platform.commands.table.states()
        yield Metric(
            "novacloud_commands",
            "gauge",
            "Commands whose outcome is open.",
            [Sample(states[status], {"status": status}) for status in _OPEN],
        )
        yield Metric(
            "novacloud_commands_finished_total",
            "counter",
            "Commands whose outcome is known.",
            [Sample(self._finished[status], {"status": status}) for status in _FINAL],
        )

    def _note(self, update: CommandUpdate) -> None:
        if update.status.is_final:
            self._finished[update.status] += 1


def _metric(name: str, kind: Literal["counter", "gauge"], help: str, value: float | None) -> Metric:
    return Metric(name, kind, help, [] if value is None else [Sample(value)])


def _of_process() -> Iterable[Metric]:
    """What the client libraries of Prometheus tell of each process, where the system tells it."""
    yield _metric(
        "process_cpu_seconds_total",
        "counter",
        "Time of processors, in and outside of the system.",
        time.process_time(),
    )
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
        yield _metric("process_resident_memory_bytes", "gauge", "Resident memory.", resident)
    with suppress(OSError):
        opened = len(os.listdir("/dev/fd"))
        yield _metric("process_open_fds", "gauge", "Files that are open.", opened)
    yield _metric("process_max_fds", "gauge", "Files that may be open.", limit_of_files())
