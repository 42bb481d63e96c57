"""Nodes and presence in PostgreSQL.

A statement that needs a live lease locks the node's row, so that a burial waits for it, and finds
what it did. Rows of presence are locked in the order of their ids, so nobody waits in a circle.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ...errors import LeaseOver, NameTaken, StoreFailed
from ..nodes import (
    LEASE_SECONDS,
    LOOK_BACK_SECONDS,
    MOST_NODES,
    Buried,
    Change,
    Hold,
    Lease,
    News,
    Node,
    Nodes,
    Served,
    Taken,
)

if TYPE_CHECKING:
    import asyncpg

    from .pools import Purpose

    Link: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Lend: TypeAlias = Callable[[Purpose], AbstractAsyncContextManager[Link]]

_ENTERING = 0x4E6F6465  # the advisory lock of nodes that come

_NOW = "extract(epoch FROM clock_timestamp())::float8"
_OURS = "number = $1 AND incarnation = $2"
_LIVE = f"{_OURS} AND lease_until > clock_timestamp()"

_ENTER = f"""
INSERT INTO nodes (number, name, version, since, lease_until)
SELECT n, $1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $3)
FROM generate_series(0, {MOST_NODES - 1}) AS n
WHERE NOT EXISTS (SELECT FROM nodes WHERE number = n)
ORDER BY n LIMIT 1
ON CONFLICT (name) DO NOTHING
RETURNING number, incarnation, {_NOW} AS now
"""

_RENEW = f"""
UPDATE nodes SET lease_until = clock_timestamp() + make_interval(secs => $3),
    devices = $4, counts = coalesce($5::text::jsonb, counts)
WHERE {_LIVE} RETURNING {_NOW}
"""

_DEAD = "DELETE FROM nodes WHERE lease_until <= clock_timestamp() RETURNING number, name"
_BURY = """
WITH held AS (
    SELECT device_id, node, online FROM presence WHERE node = ANY ($1::int[])
    ORDER BY device_id FOR UPDATE
)
UPDATE presence SET node = NULL, epoch = epoch + 1 FROM held
WHERE presence.device_id = held.device_id
RETURNING held.device_id, held.node, held.online
"""

_ANY_DEAD = "SELECT EXISTS (SELECT FROM nodes WHERE lease_until <= clock_timestamp())"
_IS_LIVE = f"SELECT EXISTS (SELECT FROM nodes WHERE {_LIVE})"
_UNTIL = "SELECT extract(epoch FROM lease_until)::float8 FROM nodes WHERE name = $1"

_TAKE = f"""
WITH mine AS MATERIALIZED (SELECT number FROM nodes WHERE {_LIVE} FOR KEY SHARE),
there AS MATERIALIZED (
    SELECT devices.device_id, address
    FROM unnest($3::text[], $4::text[]) AS wanted (device_id, address)
        JOIN devices USING (device_id)
    ORDER BY devices.device_id FOR KEY SHARE OF devices
)
INSERT INTO presence AS old (device_id, node, epoch, since, address)
SELECT device_id, number, 1, clock_timestamp(), address FROM there CROSS JOIN mine
ORDER BY device_id
ON CONFLICT (device_id) DO UPDATE SET
    moved = CASE WHEN old.node <> excluded.node THEN clock_timestamp() ELSE old.moved END,
    previous = old.node, was_online = old.online, node = excluded.node, epoch = old.epoch + 1,
    since = excluded.since, address = excluded.address, online = true
RETURNING device_id, epoch, previous, was_online AND previous IS NOT NULL, EXISTS (
    SELECT FROM nodes WHERE number = previous AND lease_until > clock_timestamp())
"""

_HELD = """
WITH held AS (
    SELECT presence.device_id
    FROM presence JOIN unnest($1::text[], $2::bigint[]) AS wanted (device_id, epoch)
        USING (device_id, epoch)
    WHERE node = $3 ORDER BY presence.device_id FOR UPDATE OF presence
)
"""
_OF_HELD = "FROM held WHERE presence.device_id = held.device_id"
_RELEASE = f"{_HELD} UPDATE presence SET node = NULL {_OF_HELD}"
_NOTE_ONLINE = f"{_HELD} UPDATE presence SET online = $4 {_OF_HELD}"

_LEAVE = f"DELETE FROM nodes WHERE {_OURS} RETURNING number"
_LET_GO = f"""
WITH held AS (SELECT device_id FROM presence WHERE node = $1 ORDER BY device_id FOR UPDATE)
UPDATE presence SET node = NULL {_OF_HELD}
"""

_NODES = """
SELECT name AS node, number, extract(epoch FROM since)::float8 AS since,
    extract(epoch FROM lease_until)::float8 AS lease_until, devices, version, counts::text AS counts
FROM nodes WHERE lease_until > clock_timestamp() ORDER BY name
"""

_SERVED = """
SELECT device_id, name AS node, number, epoch,
    extract(epoch FROM presence.since)::float8 AS since, address, online
FROM presence JOIN nodes ON number = node
WHERE device_id = ANY ($1::text[]) AND lease_until > clock_timestamp()
"""

_MOVED = """
SELECT device_id, epoch FROM presence WHERE moved > clock_timestamp() - make_interval(secs => $1)
"""
_CHANGED = """
SELECT device_id, extract(epoch FROM at)::float8 AS at FROM changes
WHERE at > clock_timestamp() - make_interval(secs => $1)
"""


class PostgresNodes(Nodes):
    """The nodes of a PostgreSQL database, and the presence of its devices.

    Args:
        lend: lends a connection for a purpose and a block, in which `StoreFailed` is raised in
            place of the driver's errors. The lease has one of its own, so nobody holds it up.
        on_entered: is told the number of this node.
    """

    def __init__(self, lend: "Lend", on_entered: Callable[[int], object] = lambda _: None) -> None:
        self._lend = lend
        self._on_entered = on_entered

    async def enter(self, name: str, version: str) -> Lease:
        """Become a node."""
        async with self._lend("lease") as link, link.transaction():
            await link.execute("SELECT pg_advisory_xact_lock($1)", _ENTERING)
            row = await link.fetchrow(_ENTER, name, version, LEASE_SECONDS)
            if row is not None:
                self._on_entered(row["number"])
                return Lease(row["number"], row["incarnation"], LEASE_SECONDS, row["now"])
            until = await link.fetchval(_UNTIL, name)
        if until is None:
            raise StoreFailed(f"there are {MOST_NODES} nodes already")
        raise NameTaken(name, until)

    async def renew(
        self, lease: Lease, devices: int, counts: Mapping[str, int] | None = None
    ) -> float | None:
        """Go on being a node."""
        told = None if counts is None else msgspec.json.encode(counts).decode()
        async with self._lend("lease") as link:
            now: float | None = await link.fetchval(
                _RENEW, lease.number, lease.incarnation, lease.seconds, devices, told
            )
        return now

    async def leave(self, lease: Lease) -> bool:
        """Be a node no more."""
        async with self._lend("lease") as link, link.transaction():
            number = await link.fetchval(_LEAVE, lease.number, lease.incarnation)
            if number is not None:
                await link.execute(_LET_GO, number)
        return number is not None

    async def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        async with self._lend("lookups") as link:
            rows = await link.fetch(_NODES)
        return [Node(**{**row, "counts": msgspec.json.decode(row["counts"])}) for row in rows]

    async def bury(self) -> list[Buried]:
        """End the presence of all devices of dead nodes."""
        async with self._lend("presence") as link:
            if not await link.fetchval(_ANY_DEAD):
                return []
            async with link.transaction():
                names = {row["number"]: row["name"] for row in await link.fetch(_DEAD)}
                rows = await link.fetch(_BURY, [*names])  # sees what was taken before the lock
        return [Buried(row["device_id"], names[row["node"]], row["online"]) for row in rows]

    async def take(self, lease: Lease, wanted: Mapping[str, str]) -> dict[str, Taken]:
        """Serve devices from now on."""
        ids, addresses = [*wanted], [*wanted.values()]
        async with self._lend("presence") as link:
            rows = await link.fetch(_TAKE, lease.number, lease.incarnation, ids, addresses)
            if not rows and not await link.fetchval(_IS_LIVE, lease.number, lease.incarnation):
                raise LeaseOver
        return {row["device_id"]: Taken(*[*row.values()][1:]) for row in rows}

    async def release(self, lease: Lease, holds: Sequence[Hold]) -> None:
        """Serve devices no more."""
        async with self._lend("presence") as link:
            await link.execute(_RELEASE, *_columns(holds), lease.number)

    async def note_online(self, lease: Lease, holds: Sequence[Hold], *, online: bool) -> None:
        """Note that devices have fallen silent, or speak again."""
        async with self._lend("presence") as link:
            await link.execute(_NOTE_ONLINE, *_columns(holds), lease.number, online)

    async def served(self, device_ids: Sequence[str]) -> dict[str, Served]:
        """By whom devices are served."""
        async with self._lend("lookups") as link:
            rows = await link.fetch(_SERVED, device_ids)
        return {row["device_id"]: Served(*[*row.values()][1:]) for row in rows}

    async def news(self) -> News:
        """What has happened to devices lately."""
        async with self._lend("presence") as link:
            moved = await link.fetch(_MOVED, LOOK_BACK_SECONDS)
            changed = await link.fetch(_CHANGED, LOOK_BACK_SECONDS)
        return News([Hold(*row) for row in moved], [Change(*row) for row in changed])


def _columns(holds: Sequence[Hold]) -> tuple[list[str], list[int]]:
    return [each.device_id for each in holds], [each.epoch for each in holds]
