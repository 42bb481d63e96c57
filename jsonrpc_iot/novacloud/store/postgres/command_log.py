"""Commands in a table of PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from ..command_log import CommandLog, CommandRow, CommandStatus, Transition
from .base import Tables
from .pools import Db

_COMMAND = ", ".join(CommandRow.__struct_fields__)
_QUALIFIED = ", ".join(f"commands.{name}" for name in CommandRow.__struct_fields__)
_IN_JSON = ("command", "payload")
_LOCK = (
    "SELECT device_id FROM devices WHERE device_id = ANY ($1::text[]) "
    "ORDER BY device_id FOR NO KEY UPDATE"
)
_WAITING = (
    "SELECT device_id, count(*) FROM commands WHERE device_id = ANY ($1::text[]) "
    "AND finished IS NULL AND status = 'QUEUED' GROUP BY device_id"
)
_INSERT = (
    f"INSERT INTO commands ({_COMMAND}) VALUES ("
    + ", ".join(f"${number}" for number, _ in enumerate(CommandRow.__struct_fields__, 1))
    + ") ON CONFLICT (command_id) DO NOTHING"
)
_HOLD = (  # so that nobody takes a device while its commands change
    "SELECT FROM presence WHERE device_id = ANY ($1::text[]) ORDER BY device_id FOR SHARE"
)
_CHANGE = """
UPDATE commands SET status = new.status, payload = new.payload, created = new.created,
    expires = new.expires, sent = new.sent, finished = new.finished, due = new.due
FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::float8[],
    $7::float8[], $8::float8[], $9::text[], $10::int[], $11::bigint[])
    AS new (command_id, status, payload, created, expires, sent, finished, due, was, node, epoch)
WHERE commands.command_id = new.command_id AND commands.finished IS NULL
    AND commands.status = ANY (string_to_array(new.was, ' '))
    AND (new.node IS NULL OR EXISTS (
        SELECT FROM presence WHERE presence.device_id = commands.device_id
            AND presence.node = new.node AND presence.epoch = new.epoch))
RETURNING commands.command_id
"""
_END = f"""
WITH over AS (
    SELECT number FROM commands LEFT JOIN presence USING (device_id)
    WHERE finished IS NULL AND node IS NULL AND extract(epoch FROM clock_timestamp()) >=
        CASE status WHEN 'QUEUED' THEN expires ELSE due END
    ORDER BY number LIMIT $1 FOR UPDATE OF commands SKIP LOCKED
)
UPDATE commands SET finished = extract(epoch FROM clock_timestamp()),
    status = CASE status WHEN 'QUEUED' THEN 'EXPIRED' ELSE 'TIMEOUT' END
FROM over WHERE commands.number = over.number
RETURNING {_QUALIFIED}
"""


class CommandTables(Tables, CommandLog):
    """`CommandLog` for the PostgreSQL store."""

    async def command(self, command_id: str) -> CommandRow | None:
        text = f"SELECT {_COMMAND} FROM commands WHERE command_id = $1"
        row = await self._pools.row(text, command_id)
        return None if row is None else _read(row)

    async def commands(self, device_id: str | None = None, *, limit: int = 100) -> list[CommandRow]:
        text = (
            f"SELECT {_COMMAND} FROM commands WHERE device_id = coalesce($2, device_id) "
            "ORDER BY number DESC LIMIT $1"
        )
        return [_read(row) for row in await self._pools.fetch(text, limit, device_id)]

    async def commands_by_id(self, command_ids: Sequence[str]) -> list[CommandRow]:
        text = f"SELECT {_COMMAND} FROM commands WHERE command_id = ANY ($1::text[])"
        return [_read(row) for row in await self._pools.fetch(text, command_ids)]

    async def open_commands(self, device_ids: Sequence[str] | None = None) -> list[CommandRow]:
        text = (
            f"SELECT {_COMMAND} FROM commands WHERE finished IS NULL "
            "AND ($1::text[] IS NULL OR device_id = ANY ($1::text[])) ORDER BY number"
        )
        return [_read(row) for row in await self._pools.fetch(text, device_ids)]

    async def add(self, rows: Sequence[CommandRow], limit: int) -> list[bool]:
        ids = list({row.device_id for row in rows})

        async def work(db: Db) -> list[bool]:
            waiting = {device_id: 0 for (device_id,) in await db.fetch(_LOCK, ids)}
            waiting |= {row[0]: row[1] for row in await db.fetch(_WAITING, ids)}
            stored, kept = [], []
            for row in rows:
                is_queued = row.status is CommandStatus.QUEUED
                count = waiting.get(row.device_id)
                stored.append(count is not None and not (is_queued and count >= limit))
                if stored[-1]:
                    waiting[row.device_id] += is_queued
                    kept.append(row)
            await db.executemany(_INSERT, [_columns(row) for row in kept])
            return stored

        return await self._pools.transact(work)

    async def transition(self, changes: Sequence[Transition]) -> list[bool]:
        if not changes:
            return []
        ids = list({change.row.device_id for change in changes})
        columns = [*zip(*map(_changed, changes), strict=True)]

        async def work(db: Db) -> set[str]:
            await db.execute(_HOLD, ids)
            return {command_id for (command_id,) in await db.fetch(_CHANGE, *columns)}

        made = await self._pools.transact(work)
        return [change.row.command_id in made for change in changes]

    async def end_overdue(self, most: int) -> list[CommandRow]:
        return [_read(row) for row in await self._pools.change(_END, most)]

    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        text = (
            f"SELECT {_COMMAND} FROM commands WHERE job_id = $1 AND command_id > $2 "
            "ORDER BY command_id LIMIT $3"
        )
        return [_read(row) for row in await self._pools.fetch(text, job_id, after or "", limit)]

    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        text = "SELECT command_id, status FROM commands WHERE job_id = $1"
        rows = await self._pools.fetch(text, job_id)
        return [(id, CommandStatus(status)) for id, status in rows]


def _changed(change: Transition) -> tuple[Any, ...]:
    row, holder = change.row, change.holder
    return (
        row.command_id,
        row.status.value,
        msgspec.json.encode(row.payload).decode(),
        row.created,
        row.expires,
        row.sent,
        row.finished,
        row.due,
        " ".join(each.value for each in change.was),
        None if holder is None else holder.node,
        None if holder is None else holder.epoch,
    )


def _columns(row: CommandRow) -> list[Any]:
    columns = msgspec.structs.asdict(row)
    for name in _IN_JSON:
        columns[name] = msgspec.json.encode(columns[name]).decode()
    return [*columns.values()]


def _read(row: asyncpg.Record) -> CommandRow:
    columns = dict(row)
    for name in _IN_JSON:
        columns[name] = msgspec.json.decode(columns[name])
    return CommandRow(**columns | {"status": CommandStatus(columns["status"])})
