"""The part of the management that shows how the platform is, what is new, and who changed what."""

import shutil
from itertools import islice
from typing import Annotated, Any, Protocol, cast

import anyio
from msgspec import Meta, Struct, to_builtins

from jsonrpc_iot import Context, InvalidParams, MethodNotFound, TooLarge, method
from jsonrpc_iot.protocol.patterns import Patterns

from ..errors import StoreFailed, UnknownDevice
from ..store.managed import Audit
from .management_base import Count, Cursor, Part, canonical
from .pages import Page, decode_cursor
from .permissions import ADMIN, READ

EVENTS = ("device.online", "device.offline", "telemetry", "command.update")

_SHOWN_DEVICES = 16  # each takes up to 2 KiB
_SHOWN_IDS = 100
_HEALTHY_LAG = 5.0
_PATIENCE = 3.0

Kinds = Annotated[list[str], Meta(max_length=16)]
Ids = Annotated[list[str], Meta(max_length=10_000)]
SomeTags = Annotated[list[str], Meta(max_length=32)]


class IgnoredValues(Struct, frozen=True):
    """Values of a device that were not stored, and the first of their keys."""

    device_id: str
    unknown: int
    wrong: int
    keys: list[str]


class IgnoredPage(Struct, frozen=True):
    """Some devices with values that were not stored; `next` is `None` at the end."""

    ignored: list[IgnoredValues]
    next: str | None


class AuditPage(Struct, frozen=True):
    """Some changes, and where the earlier ones begin; `None` at the end."""

    entries: list[Audit]
    next: str | None


class Health(Struct, frozen=True, omit_defaults=True):
    """Whether the platform does its work.

    Args:
        ok: it does.
        store: `ok`, or what the database says.
        writable: the database takes what is to be stored.
        lag_seconds: that the oldest report has waited for it.
        disk_free: bytes, `None` where the store has no disk.
    """

    ok: bool
    store: str
    writable: bool
    lag_seconds: float
    disk_free: int | None


class _Hearer(Protocol):
    """A connection that remembers what the other end wants to hear."""

    def subscribe(self, patterns: Patterns | None) -> bool: ...


class PlatformMethods(Part):
    """How the platform is."""

    @method("platform.stats", requires=READ, idempotent=True)
    def platform_stats(self) -> dict[str, Any]:
        """Counts since the platform began; of long lists the last ones, and their lengths."""
        sessions = self._presence.sessions.values()
        counts = self._platform.counts
        flapping = self._presence.flapping()
        ignored = islice(reversed(counts.ignored.items()), _SHOWN_DEVICES)
        return {
            "connected": len(sessions),
            "online": sum(session.is_online for session in sessions),
            "flapping": flapping[:_SHOWN_IDS],
            "flapping_devices": len(flapping),
            **counts.totals,
            "ignored": to_builtins(dict(ignored)),
            "ignored_devices": len(counts.ignored),
            "busiest": counts.busiest(_SHOWN_DEVICES),
        }

    @method("platform.ignored_page", requires=READ, idempotent=True, errors=(TooLarge,))
    async def platform_ignored_page(
        self, cursor: Cursor | None = None, limit: Count = 100
    ) -> IgnoredPage:
        """The devices that sent values which were not stored, by id.

        Args:
            cursor: `next` of the page before.
            limit: how many at most; fewer where they would not fit the channel.
        """
        page: Page[IgnoredValues] = Page(self._context, limit)
        after = decode_cursor(cursor, str) or ""
        ignored = self._platform.counts.ignored
        for device_id in sorted(id for id in ignored if id > after):
            each = ignored[device_id]
            row = IgnoredValues(device_id, each.unknown, each.wrong, each.keys)
            if not page.add(row, device_id):
                break
        return IgnoredPage(page.rows, page.next)

    @method("platform.health", requires=READ, idempotent=True)
    async def platform_health(self) -> Health:
        """Whether the platform does its work. It asks the database, and fails for no reason."""
        problem = self._platform.ingest.problem or "the database does not answer"
        with anyio.move_on_after(_PATIENCE):
            try:
                await self._store.write([])
                problem = self._platform.ingest.problem
            except StoreFailed as error:
                problem = str(error)
        lag = self._platform.ingest.lag
        path = self._store.folder
        return Health(
            ok=not problem and lag < _HEALTHY_LAG,
            store=problem or "ok",
            writable=not problem,
            lag_seconds=round(lag, 3),
            disk_free=None if path is None else shutil.disk_usage(path).free,
        )

    @method("audit.page", requires=ADMIN, idempotent=True, errors=(TooLarge, StoreFailed))
    async def audit_page(self, cursor: Cursor | None = None, limit: Count = 100) -> AuditPage:
        """Who changed what, when and from where, the newest first; 100,000 changes are kept.

        Args:
            cursor: `next` of the page before.
            limit: how many at most; fewer where they would not fit the channel.
        """
        page: Page[Audit] = Page(self._context, limit)
        for number, row in await self._store.audit_page(decode_cursor(cursor, int), limit + 1):
            if not page.add(row, number):
                break
        return AuditPage(page.rows, page.next)

    @method("events.subscribe", requires=READ, errors=(UnknownDevice, StoreFailed))
    async def events_subscribe(
        self,
        kinds: Kinds,
        device_ids: Ids | None = None,
        tags: SomeTags | None = None,
    ) -> None:
        """Hear of these events alone, and of these devices; it replaces an earlier wish.

        Args:
            kinds: names of events, or beginnings of names as in `device.*`.
            device_ids: the devices.
            tags: devices with one of these tags as well. Without both, all devices.

        Raises:
            MethodNotFound: the connection cannot be told anything, or nobody would remember.
        """
        for number, kind in enumerate(kinds):
            if not any(Patterns([kind]).match(name) for name in EVENTS):
                path = f"$.kinds[{number}]"
                raise InvalidParams(data={"path": path, "message": f"Expected one of {EVENTS}"})
        ids = None if device_ids is None else {canonical(each) for each in device_ids}
        _hear(self._context, await self._platform.news.wish(kinds, ids, tags))

    @method("events.unsubscribe", requires=READ)
    async def events_unsubscribe(self) -> None:
        """Hear of everything again."""
        _hear(self._context, None)


def _hear(context: Context, wish: Patterns | None) -> None:
    hearer = cast(_Hearer, context.caller)
    if not hearer.subscribe(wish):
        raise MethodNotFound(data={"method": context.method, "hint": "not over this transport"})
