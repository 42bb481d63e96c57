"""Commands in a table of SQLite."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..command_log import CommandLog, CommandRow, CommandStatus, Transition
from ..one_node import OneNode
from .base import Tables
from .lists import as_list, in_list

COMMAND = ", ".join(CommandRow.__struct_fields__)
"""The columns of a row; they are named like the members."""

_IN_JSON = ("command", "payload")

_CHANGING = ("status", "payload", "created", "expires", "sent", "finished", "due")
_SET = f"SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE command_id = ?"
_PLACES = ", ".join("?" * len(CommandRow.__struct_fields__))
_INSERT = f"INSERT INTO commands ({COMMAND}) VALUES ({_PLACES}) ON CONFLICT (command_id) DO NOTHING"
_WAITING = (
    "SELECT device_id, (SELECT count(*) FROM commands INDEXED BY open_commands WHERE "
    "commands.device_id = devices.device_id AND finished IS NULL AND status = 'QUEUED') "
    f"FROM devices WHERE device_id {in_list('?')}"
)


class CommandTables(Tables, CommandLog):
    """`CommandLog` for the SQLite store."""

    _one_node: OneNode

    async def add(self, rows: Sequence[CommandRow], limit: int) -> list[bool]:
        return await self._commit(lambda db: _add(db, rows, limit))

    async def transition(self, changes: Sequence[Transition]) -> list[bool]:
        return await self._commit(
            lambda db: [self._may(change) and _change(db, change) for change in changes]
        )

    async def end_overdue(self, most: int) -> list[CommandRow]:
        text = (
            f"SELECT {COMMAND} FROM commands INDEXED BY open_commands WHERE finished IS NULL AND "
            "CASE status WHEN 'QUEUED' THEN expires ELSE due END <= ? ORDER BY number"
        )

        def end(db: sqlite3.Connection) -> list[CommandRow]:
            now = time.time()
            ended: list[CommandRow] = []
            for row in map(read_command, db.execute(text, (now,)).fetchall()):
                if len(ended) < most and not self._one_node.is_held(row.device_id):
                    is_waiting = row.status is CommandStatus.QUEUED
                    row.status = CommandStatus.EXPIRED if is_waiting else CommandStatus.TIMEOUT
                    row.finished = now
                    db.execute(f"UPDATE commands {_SET}", _changing(row))
                    ended.append(row)
            return ended

        return await self._commit(end)

    async def open_commands(self, device_ids: Sequence[str] | None = None) -> list[CommandRow]:
        text = f"SELECT {COMMAND} FROM commands INDEXED BY open_commands WHERE finished IS NULL"
        if device_ids is not None:
            text += f" AND device_id {in_list(':ids')}"
        text += " ORDER BY number"
        return await self._rows(text, {"ids": as_list(device_ids or ())})

    async def command(self, command_id: str) -> CommandRow | None:
        rows = await self.commands_by_id([command_id])
        return rows[0] if rows else None

    async def commands_by_id(self, command_ids: Sequence[str]) -> list[CommandRow]:
        text = f"SELECT {COMMAND} FROM commands WHERE command_id {in_list(':ids')}"
        return await self._rows(text, {"ids": as_list(command_ids)})

    async def commands(self, device_id: str | None = None, *, limit: int = 100) -> list[CommandRow]:
        which = "TRUE" if device_id is None else "device_id = :device_id"
        text = f"SELECT {COMMAND} FROM commands WHERE {which} ORDER BY number DESC LIMIT :limit"
        return await self._rows(text, {"device_id": device_id, "limit": limit})

    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        text = (
            f"SELECT {COMMAND} FROM commands WHERE job_id = :job AND command_id > :after "
            "ORDER BY command_id LIMIT :limit"
        )
        return await self._rows(text, {"job": job_id, "after": after or "", "limit": limit})

    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        text = "SELECT command_id, status FROM commands WHERE job_id = ?"
        return await self._read(
            lambda db: [(id, CommandStatus(status)) for id, status in db.execute(text, (job_id,))]
        )

    def _may(self, change: Transition) -> bool:
        holder = change.holder
        return holder is None or self._one_node.is_with(change.row.device_id, holder)

    async def _rows(self, text: str, values: Mapping[str, Any]) -> list[CommandRow]:
        return await self._read(lambda db: [read_command(row) for row in db.execute(text, values)])


def _add(db: sqlite3.Connection, rows: Sequence[CommandRow], limit: int) -> list[bool]:
    ids = as_list([*{row.device_id for row in rows}])
    waiting: dict[str, int] = dict(db.execute(_WAITING, (ids,)).fetchall())
    fits = []
    for row in rows:
        is_waiting = row.status is CommandStatus.QUEUED
        fits.append(
            row.device_id in waiting and not (is_waiting and waiting[row.device_id] >= limit)
        )
        if fits[-1] and is_waiting:
            waiting[row.device_id] += 1
    new = [_columns(row) for row, is_fit in zip(rows, fits, strict=True) if is_fit]
    db.executemany(_INSERT, new)
    return fits


def _change(db: sqlite3.Connection, change: Transition) -> bool:
    places = ", ".join("?" * len(change.was))
    text = f"UPDATE commands {_SET} AND finished IS NULL AND status IN ({places})"
    return db.execute(text, (*_changing(change.row), *change.was)).rowcount > 0


def _columns(row: CommandRow) -> tuple[Any, ...]:
    columns = msgspec.structs.asdict(row)
    for name in _IN_JSON:
        columns[name] = msgspec.json.encode(columns[name])
    return tuple(columns.values())


def _changing(row: CommandRow) -> tuple[Any, ...]:
    """What a change stores, and then the id."""
    payload = msgspec.json.encode(row.payload)
    times = row.created, row.expires, row.sent, row.finished, row.due
    return row.status, payload, *times, row.command_id


def read_command(row: tuple[Any, ...]) -> CommandRow:
    """Make a command of its columns `COMMAND`."""
    columns = dict(zip(CommandRow.__struct_fields__, row, strict=True))
    for name in _IN_JSON:
        columns[name] = msgspec.json.decode(columns[name])
    return CommandRow(**columns | {"status": CommandStatus(columns["status"])})
