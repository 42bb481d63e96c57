"""Commands in a table of PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from ..command_log import CommandLog, CommandRow, CommandStatus
from .base import Tables
from .pools import Db

_COMMAND = ", ".join(CommandRow.__struct_fields__)
_IN_JSON = ("command", "payload")
_SAVE = (
    f"INSERT INTO commands ({_COMMAND}) SELECT "
    + ", ".join(f"${number}" for number, _ in enumerate(CommandRow.__struct_fields__, 1))
    + " FROM devices WHERE device_id = $2 ON CONFLICT (command_id) DO UPDATE SET "
    "status = excluded.status, payload = excluded.payload, created = excluded.created, "
    "expires = excluded.expires, sent = excluded.sent, finished = excluded.finished "
    "WHERE commands.finished IS NULL"
)


class CommandTables(Tables, CommandLog):
    """`CommandLog` for the PostgreSQL store."""

    async def command(self, command_id: str) -> CommandRow | None:
        text = f"SELECT {_COMMAND} FROM commands WHERE command_id = $1"
        row = await self._pools.row(text, command_id)
        return None if row is None else _read(row)

    async def commands(
        self, device_id: str | None = None, *, limit: int = 100, open_only: bool = False
    ) -> list[CommandRow]:
        values: list[Any] = [limit]
        conditions = ["TRUE"]
        if device_id is not None:
            conditions.append("device_id = $2")
            values.append(device_id)
        if open_only:
            conditions.append("finished IS NULL")
        text = (
            f"SELECT {_COMMAND} FROM commands WHERE {' AND '.join(conditions)} "
            "ORDER BY number DESC LIMIT $1"
        )
        return [_read(row) for row in await self._pools.fetch(text, *values)]

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


async def save_commands(db: Db, commands: Sequence[CommandRow]) -> None:
    """Store the present state of commands, except of those that are final."""
    for row in sorted(commands, key=lambda row: row.command_id):  # in one order for all
        await db.execute(_SAVE, *_columns(row))


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
