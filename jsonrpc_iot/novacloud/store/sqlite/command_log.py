"""Commands in a table of SQLite."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from ..command_log import CommandLog, CommandRow, CommandStatus
from .base import Tables

COMMAND = ", ".join(CommandRow.__struct_fields__)
"""The columns of a row; they are named like the members."""

_IN_JSON = ("command", "payload")


class CommandTables(Tables, CommandLog):
    """`CommandLog` for the SQLite store."""

    async def command(self, command_id: str) -> CommandRow | None:
        def find(db: sqlite3.Connection) -> CommandRow | None:
            row = db.execute(
                f"SELECT {COMMAND} FROM commands WHERE command_id = ?", (command_id,)
            ).fetchone()
            return row and read_command(row)

        return await self._read(find)

    async def commands(
        self, device_id: str | None = None, *, limit: int = 100, open_only: bool = False
    ) -> list[CommandRow]:
        conditions = ["TRUE"] if device_id is None else ["device_id = :device_id"]
        if open_only:
            conditions.append("finished IS NULL")
        text = (
            f"SELECT {COMMAND} FROM commands WHERE {' AND '.join(conditions)} "
            "ORDER BY number DESC LIMIT :limit"
        )
        values = {"device_id": device_id, "limit": limit}
        return await self._read(lambda db: [read_command(row) for row in db.execute(text, values)])

    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        text = (
            f"SELECT {COMMAND} FROM commands WHERE job_id = ? AND command_id > ? "
            "ORDER BY command_id LIMIT ?"
        )
        values = job_id, after or "", limit
        return await self._read(lambda db: [read_command(row) for row in db.execute(text, values)])

    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        text = "SELECT command_id, status FROM commands WHERE job_id = ?"
        return await self._read(
            lambda db: [(id, CommandStatus(status)) for id, status in db.execute(text, (job_id,))]
        )


def save_commands(db: sqlite3.Connection, commands: Sequence[CommandRow]) -> None:
    """Store the present state of commands, except of those that are final."""
    places = ", ".join(f"?{number}" for number, _ in enumerate(CommandRow.__struct_fields__, 1))
    db.executemany(
        f"INSERT INTO commands ({COMMAND}) SELECT {places} "
        "FROM devices WHERE device_id = ?2 ON CONFLICT (command_id) DO UPDATE SET "
        "status = excluded.status, payload = excluded.payload, created = excluded.created, "
        "expires = excluded.expires, sent = excluded.sent, finished = excluded.finished "
        "WHERE commands.finished IS NULL",
        [_columns(each) for each in commands],
    )


def _columns(row: CommandRow) -> tuple[Any, ...]:
    columns = msgspec.structs.asdict(row)
    for name in _IN_JSON:
        columns[name] = msgspec.json.encode(columns[name])
    return tuple(columns.values())


def read_command(row: tuple[Any, ...]) -> CommandRow:
    """Make a command of its columns `COMMAND`."""
    columns = dict(zip(CommandRow.__struct_fields__, row, strict=True))
    for name in _IN_JSON:
        columns[name] = msgspec.json.decode(columns[name])
    return CommandRow(**columns | {"status": CommandStatus(columns["status"])})
