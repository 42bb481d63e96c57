"""The part of the management that shows how the platform is, what is new, and who changed what."""

import math
from collections import Counter
from contextlib import suppress
from heapq import nlargest
from operator import itemgetter
from typing import Annotated, Any, Protocol, cast

from msgspec import Meta, Struct, to_builtins

from jsonrpc_iot import Context, InvalidParams, MethodNotFound, TooLarge, method
from jsonrpc_iot.protocol.patterns import Patterns

from ..errors import StoreFailed, UnknownDevice
from ..store.registry import Audit
from .counts import Refused
from .health import Health, health_of
from .lists import Lists, together
from .management_base import Count, Cursor, Part, canonical
from .pages import Page, decode_cursor
from .permissions import ADMIN, READ

EVENTS = ("device.online", "device.offline", "telemetry", "command.update")

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


class RefusedDevice(Struct, frozen=True):
    """A device that was not let in: when last, from where and why, and how often in all."""

    device_id: str
    at: float
    address: str
    reason: str
    times: int


class RefusedPage(Struct, frozen=True):
    """Some devices that were not let in; `next` is `None` at the end."""

    refused: list[RefusedDevice]
    next: str | None


class NodeInfo(Struct, frozen=True):
    """A node of the platform, the devices that it serves, and the version of its program.

    Times are Unix seconds by the database's clock; a node whose database has no others has no end.
    """

    node: str
    since: float
    lease_until: float | None
    devices: int
    version: str


class AuditPage(Struct, frozen=True):
    """Some changes, and where the earlier ones begin; `None` at the end."""

    entries: list[Audit]
    next: str | None


class _Hearer(Protocol):
    """A connection that remembers what the other end wants to hear."""

    def subscribe(self, patterns: Patterns | None) -> bool: ...


class PlatformMethods(Part):
    """How the platform is."""

    @method("platform.stats", requires=READ, idempotent=True, effect="read")
    async def platform_stats(self) -> dict[str, Any]:
        """Counts since the platform began; of long lists the last ones, and their lengths.

        All is of all nodes together; counts are a moment old for the others. `unheard` names the
        nodes whose part of the lists is missing, since they have not answered within 0.5 s.

        `refused` is the last attempt to authenticate by nobody that is known, if there was one.
        """
        own = self._platform.lists()
        others = await self._platform.cluster.questions.ask("lists", "", Lists)
        lists = together([own, *others.parts])
        return {
            **await self._figures(),
            "flapping": lists.flapping,
            "lost_groups": self._store.lost_groups,
            **({} if lists.refused is None else {"refused": to_builtins(lists.refused)}),
            "ignored": to_builtins(lists.ignored),
            "busiest": lists.busiest,
            "unheard": others.unheard,
        }

    @method(
        "platform.ignored_page", requires=READ, idempotent=True, effect="read", errors=(TooLarge,)
    )
    async def platform_ignored_page(
        self, cursor: Cursor | None = None, limit: Count = 100
    ) -> IgnoredPage:
        """The devices that sent this node values which were not stored, by id.

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

    @method(
        "platform.refused_page", requires=READ, idempotent=True, effect="read", errors=(TooLarge,)
    )
    async def platform_refused_page(
        self, cursor: Cursor | None = None, limit: Count = 100
    ) -> RefusedPage:
        """The devices that this node has not let in, those first that came last.

        Args:
            cursor: `next` of the page before.
            limit: how many at most; fewer where they would not fit the channel.
        """
        page: Page[RefusedDevice] = Page(self._context, limit)
        after = decode_cursor(cursor, tuple[float, str]) or (math.inf, "")
        records = self._platform.counts.devices.items()
        refused = ((each.refused.at, id, each) for id, each in records if each.refused is not None)
        earlier = ((at, id, each) for at, id, each in refused if (at, id) < after)
        for at, device_id, record in nlargest(limit + 1, earlier, key=itemgetter(0, 1)):
            last = cast(Refused, record.refused)
            row = RefusedDevice(device_id, at, last.address, last.reason, record.failed_auths)
            if not page.add(row, (at, device_id)):
                break
        return RefusedPage(page.rows, page.next)

    @method("platform.nodes", requires=READ, idempotent=True, effect="read", errors=(StoreFailed,))
    async def platform_nodes(self) -> list[NodeInfo]:
        """The nodes of the platform, by name."""
        found = []
        for each in await self._store.nodes.nodes():
            is_this = each.number == self._platform.cluster.membership.lease.number
            devices = len(self._presence.sessions) if is_this else each.devices
            found.append(NodeInfo(each.node, each.since, each.lease_until, devices, each.version))
        return found

    async def _figures(self) -> Counter[str]:
        """The sums of what all nodes have counted; of this one alone while the record is away."""
        figures = Counter(self._platform.figures())
        number = self._platform.cluster.membership.lease.number
        with suppress(StoreFailed):
            for each in await self._store.nodes.nodes():
                if each.number != number:
                    figures.update(each.counts)
        return figures

    @method("platform.health", requires=READ, idempotent=True, effect="read")
    async def platform_health(self) -> Health:
        """Whether the platform does its work. It asks the database, and fails for no reason."""
        return await health_of(self._platform)

    @method(
        "audit.page", requires=ADMIN, idempotent=True, effect="read", errors=(TooLarge, StoreFailed)
    )
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

    @method("events.subscribe", requires=READ, effect="change", errors=(UnknownDevice, StoreFailed))
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

    @method("events.unsubscribe", requires=READ, effect="change")
    async def events_unsubscribe(self) -> None:
        """Hear of everything again."""
        _hear(self._context, None)


def _hear(context: Context, wish: Patterns | None) -> None:
    hearer = cast(_Hearer, context.caller)
    if not hearer.subscribe(wish):
        raise MethodNotFound(data={"method": context.method, "hint": "not over this transport"})
