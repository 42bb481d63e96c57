"""Whether a platform does its work."""

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct

from ..errors import StoreFailed

if TYPE_CHECKING:
    from .platform import NovaPlatform

_HEALTHY_LAG = 5.0
_PATIENCE = 3.0


class Health(Struct, frozen=True, omit_defaults=True):
    """Whether the platform does its work.

    Args:
        ok: it does.
        store: `ok`, or what the database says.
        writable: the database takes what is to be stored.
        lag_seconds: that the oldest report has waited for it.
        disk_free: bytes, `None` where the store has no disk.
        bus: `ok`, or what is wrong with it; nodes find by looking what others do. `None` for a
            store that has one node.
    """

    ok: bool
    store: str
    writable: bool
    lag_seconds: float
    disk_free: int | None
    bus: str | None = None

    @property
    def problem(self) -> str:
        """What is wrong, `""` while all is well."""
        if self.ok:
            return ""
        return self.store if self.store != "ok" else "it is late, or lets nobody in"


async def health_of(platform: "NovaPlatform") -> Health:
    """Ask the database; takes 3 s at most, and fails for no reason."""
    problem = platform.ingest.problem or "the database does not answer"
    with anyio.move_on_after(_PATIENCE):
        try:
            await platform.store.write([])
            problem = platform.ingest.problem
        except StoreFailed as error:
            problem = str(error)
    membership = platform.cluster.membership
    problem = problem or membership.problem
    lag = platform.ingest.lag
    free = None
    if (path := platform.store.folder) is not None:
        with suppress(OSError):  # it is gone, and then writing fails too
            free = shutil.disk_usage(path).free
    return Health(
        ok=not problem and lag < _HEALTHY_LAG and not platform.entrance.is_closed,
        store=problem or "ok",
        writable=not problem,
        lag_seconds=round(lag, 3),
        disk_free=free,
        bus=None if membership.is_alone else platform.bus.health().bus,
    )
