"""Commands in a table of PostgreSQL.

They change by compare-and-set. Where a node has to hold the device, its row of presence is locked
first, so that who takes the device waits, and finds what was done.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from ..command_log import OPEN, CommandLog, CommandRow, CommandStatus, Transition
from ..texts import all_to_sql, to_sql
from .base import Tables
from .pools import Db
from .together import Together

_COLUMNS = CommandRow.__struct_fields__
_COMMAND = ", ".join(_COLUMNS)
_IN_JSON = ("command", "payload")
_TIMES = ("created", "expires", "sent", "finished", "response_timeout", "due")
_ARRAYS = ", ".join(
    f"${number}::{'float8' if name in _TIMES else 'text'}[]"
    for number, name in enumerate(_COLUMNS, 1)
)

# Who adds commands for a device waits for the others that do, and counts theirs.
_LOCK_DEVICES = (
    "SELECT device_id FROM devices WHERE device_id = ANY($1::text[]) "
    "ORDER BY device_id FOR NO KEY UPDATE"
)
_COUNTS = """
SELECT device_id, count(*) FROM commands
WHERE device_id = ANY($1::text[]) AND finished IS NULL AND status = 'QUEUED' GROUP BY device_id"""
_INSERT = (
    f"INSERT INTO commands ({_COMMAND}) SELECT * FROM unnest({_ARRAYS}) "
    "ON CONFLICT (command_id) DO NOTHING"
)

_CHANGE = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[],
        $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::text[], $11::int[],
        $12::bigint[]) AS wanted (command_id, device_id, status, payload, created, expires, sent,
            finished, due, was, node, epoch)),
holds AS MATERIALIZED (
    SELECT device_id, node, epoch FROM presence
    WHERE device_id IN (SELECT device_id FROM wanted WHERE node IS NOT NULL)
    ORDER BY device_id FOR SHARE),
old AS MATERIALIZED (
    SELECT command_id, status FROM commands
    WHERE command_id IN (SELECT command_id FROM wanted) AND finished IS NULL
        AND (SELECT count(*) FROM holds) >= 0  -- first these, then those
    ORDER BY command_id FOR UPDATE)
UPDATE commands SET status = wanted.status, payload = wanted.payload, created = wanted.created,
    expires = wanted.expires, sent = wanted.sent, finished = wanted.finished, due = wanted.due
FROM wanted JOIN old USING (command_id)
WHERE commands.command_id = wanted.command_id
    AND old.status = ANY(string_to_array(wanted.was, ' '))
    AND (wanted.node IS NULL OR EXISTS (SELECT 1 FROM holds WHERE holds.node = wanted.node
        AND holds.device_id = wanted.device_id AND holds.epoch = wanted.epoch))
RETURNING commands.command_id"""

_END = f"""
WITH over AS MATERIALIZED (
    SELECT number, extract(epoch FROM clock_timestamp())::float8 AS now FROM commands
    WHERE finished IS NULL AND CASE status WHEN 'QUEUED' THEN expires ELSE due END
            <= extract(epoch FROM clock_timestamp())::float8
        AND NOT EXISTS (SELECT 1 FROM presence
            WHERE presence.device_id = commands.device_id AND node IS NOT NULL)
    ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE commands SET finished = over.now,
    status = CASE status WHEN 'QUEUED' THEN 'EXPIRED' ELSE 'TIMEOUT' END
FROM over WHERE commands.number = over.number RETURNING {_COMMAND}"""


class CommandTables(Tables, CommandLog):
    """`CommandLog` for the PostgreSQL store."""

    _open: Together[list[CommandRow]]

    async def add(self, rows: Sequence[CommandRow], limit: int) -> list[bool]:
        return await self._pools.transact(lambda db: _add(db, rows, limit))

    async def transition(self, changes: Sequence[Transition]) -> list[bool]:
        if not changes:
            return []
        columns = zip(*map(_changing, changes), strict=True)
        made = {row["command_id"] for row in await self._pools.change(_CHANGE, *columns)}
        return [change.row.command_id in made for change in changes]

    async def end_overdue(self, most: int) -> list[CommandRow]:
        return [_read(row) for row in await self._pools.change(_END, most)]

    async def open_commands(self, device_ids: Sequence[str] | None = None) -> list[CommandRow]:
        if device_ids is None:
            return await self._rows("finished IS NULL ORDER BY number")
        if len(device_ids) == 1:
            return await self._open.about(device_ids[0]) or []
        return await self._read_open(device_ids)

    async def _read_open_by_device(self, device_ids: Sequence[str]) -> dict[str, list[CommandRow]]:
        found: dict[str, list[CommandRow]] = {}
        for row in await self._read_open(device_ids):
            found.setdefault(row.device_id, []).append(row)
        return found

    async def _read_open(self, device_ids: Sequence[str]) -> list[CommandRow]:
        which = "finished IS NULL AND device_id = ANY($1::text[]) ORDER BY number"
        return await self._rows(which, all_to_sql(device_ids))

    async def command(self, command_id: str) -> CommandRow | None:
        rows = await self._rows("command_id = $1", command_id)
        return rows[0] if rows else None

    async def commands_by_id(self, command_ids: Sequence[str]) -> list[CommandRow]:
        return await self._rows("command_id = ANY($1::text[])", all_to_sql(command_ids))

    async def commands(self, device_id: str | None = None, *, limit: int = 100) -> list[CommandRow]:
        if device_id is None:
            return await self._rows("TRUE ORDER BY number DESC LIMIT $1", limit)
        return await self._rows("device_id = $1 ORDER BY number DESC LIMIT $2", device_id, limit)

    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        which = "job_id = $1 AND command_id > $2 ORDER BY command_id LIMIT $3"
        return await self._rows(which, job_id, after or "", limit)

    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        text = "SELECT command_id, status FROM commands WHERE job_id = $1"
        rows = await self._pools.fetch(text, job_id)
        return [(id, CommandStatus(status)) for id, status in rows]

    async def _rows(self, which: str, *values: Any) -> list[CommandRow]:
        text = f"SELECT {_COMMAND} FROM commands WHERE {which}"
        return [_read(row) for row in await self._pools.fetch(text, *values)]


async def _add(db: Db, rows: Sequence[CommandRow], limit: int) -> list[bool]:
    ids = all_to_sql({row.device_id for row in rows})
    there = await db.fetch(_LOCK_DEVICES, ids)
    counts = {row["device_id"]: row["count"] for row in await db.fetch(_COUNTS, ids)}
    waiting: dict[str, int] = {id: counts.get(id, 0) for (id,) in there}
    fits = []
    for row in rows:
        is_waiting = row.status is CommandStatus.QUEUED
        fits.append(
            row.device_id in waiting and not (is_waiting and waiting[row.device_id] >= limit)
        )
        if fits[-1] and is_waiting:
            waiting[row.device_id] += 1
    new = [_all_columns(row) for row, is_fit in zip(rows, fits, strict=True) if is_fit]
    if new:
        await db.execute(_INSERT, *zip(*new, strict=True))
    return fits


def _all_columns(row: CommandRow) -> list[Any]:
    columns = msgspec.structs.asdict(row)
    for name in _IN_JSON:
        columns[name] = msgspec.json.encode(columns[name]).decode()
    return [to_sql(each) if isinstance(each, str) else each for each in columns.values()]


def _changing(change: Transition) -> tuple[Any, ...]:
    row, holder = change.row, change.holder
    return (
        to_sql(row.command_id),
        to_sql(row.device_id),
        row.status,
        msgspec.json.encode(row.payload).decode(),
        row.created,
        row.expires,
        row.sent,
        row.finished,
        row.due,
        " ".join(change.was & OPEN),
        None if holder is None else holder.node,
        None if holder is None else holder.epoch,
    )


def _read(row: asyncpg.Record) -> CommandRow:
    columns = dict(row)
    for name in _IN_JSON:
        columns[name] = msgspec.json.decode(columns[name])
    return CommandRow(**columns | {"status": CommandStatus(columns["status"])})
