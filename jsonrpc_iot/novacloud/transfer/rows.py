"""What of a SQLite file goes into which table of PostgreSQL, and how each column is written there.

The rows are those of `store/sqlite/schema` and of `store/postgres/migrations`.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from ..errors import StoreFailed
from ..store.sqlite.taken import all_heads
from ..store.texts import all_to_sql, is_storable, to_sql

Row: TypeAlias = tuple[Any, ...]
Write: TypeAlias = Callable[[Any], Any]

RESPONSE_SECONDS = 60.0
"""How long a device may be silent about a command that says nothing of it."""


class Table(Struct, frozen=True):
    """A table that is in both databases.

    Args:
        name: in PostgreSQL.
        columns: in PostgreSQL, each with what makes its value of that of SQLite.
        select: what reads the rows in SQLite; the columns by default.
        read: what reads them where a statement is not enough.
        numbers: the column with numbers that are never given again.
    """

    name: str
    columns: Mapping[str, Write]
    select: str = ""
    read: Callable[[sqlite3.Connection], Iterator[Row]] | None = None
    numbers: str = ""

    def rows(self, db: sqlite3.Connection) -> Iterator[Row]:
        """Yield the rows as PostgreSQL takes them.

        Raises:
            StoreFailed: there is a text in one that cannot be encoded.
            sqlite3.Error: the file cannot be read.
        """
        found = db.execute(self.select or self._select()) if self.read is None else self.read(db)
        writes = tuple(self.columns.values())
        for row in found:
            try:
                yield tuple([write(each) for write, each in zip(writes, row, strict=True)])
            except ValueError:
                where = f"{self.name}, the row {row[0]!r}"
                raise StoreFailed(f"{where}: there is a text in it that is none") from None

    def count(self, db: sqlite3.Connection) -> int:
        """How many rows there are."""
        (count,) = db.execute(f"SELECT count(*) FROM {self.name}").fetchone()
        return int(count)

    def last_number(self, db: sqlite3.Connection) -> int:
        """The highest number that was ever given."""
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (self.name,))
        row = found.fetchone()
        return int(row[0]) if row else 0

    def _select(self) -> str:
        names = ", ".join(f'"{name}"' for name in self.columns)
        return f"SELECT {names} FROM {self.name}"


def _same(value: Any) -> Any:
    return value


def _text(value: str | bytes | None) -> str | None:
    """A text, or JSON that may be in a blob.

    Raises:
        ValueError: it cannot be encoded.
    """
    if value is None:
        return None
    text = value.decode() if isinstance(value, bytes) else value
    if not is_storable(text):
        raise ValueError("half a surrogate pair")
    return to_sql(text)


def _tags(value: str | bytes) -> list[str]:
    return all_to_sql(msgspec.json.decode(value, type=list[str]))


def _ranks(found: tuple[str | bytes, str | bytes, float]) -> str:
    """Those of older files have ranks for some members alone."""
    ranks, payload, rank = found
    some = msgspec.json.decode(ranks)
    every = {name: some.get(name, rank) for name in msgspec.json.decode(payload)}
    return to_sql(msgspec.json.encode(every).decode())


def _statuses(db: sqlite3.Connection) -> Iterator[Row]:
    text = "SELECT device_id, payload, ranks, rank, timestamp, upto FROM statuses"
    for device_id, payload, ranks, rank, *rest in db.execute(text):
        yield device_id, payload, (ranks, payload, rank), rank, *rest


_DEVICES = Table(
    "devices",
    {
        "device_id": _text,
        "name": _text,
        "key_hash": _same,
        "enabled": bool,
        "created": _same,
        "last_seen": _same,
        "tags": _tags,
        "old_key_hash": _same,
        "old_key_until": _same,
    },
)
_SENSORS = Table(
    "sensors",
    {"id": _same, "device_id": _text, "value_key": _text, "type": _text, "unit": _text},
    numbers="id",
)
_ACTUATORS = Table("actuators", {"device_id": _text, "command_key": _text, "type": _text})
_STATUSES = Table(
    "statuses",
    {
        "device_id": _text,
        "payload": _text,
        "ranks": _ranks,
        "rank": _same,
        "timestamp": _same,
        "upto": _same,
    },
    read=_statuses,
)
_STATUS_LOG = Table(
    "status_log",
    {
        "device_id": _text,
        "number": _same,
        "timestamp": _same,
        "received": _same,
        "payload": _text,
    },
)
_OUTBOXES = Table(
    "outboxes",
    {"device_id": _text, "outbox_id": _text, "seq": _same, "used": _same},
    read=all_heads,
)
# A platform that has a file alone knows by itself until when a device may be silent.
_COMMANDS = Table(
    "commands",
    {
        "number": _same,
        "command_id": _text,
        "device_id": _text,
        "command": _text,
        "status": _text,
        "payload": _text,
        "created": _same,
        "expires": _same,
        "sent": _same,
        "finished": _same,
        "message_type": _text,
        "response_timeout": _same,
        "job_id": _text,
        "due": _same,
    },
    "SELECT number, command_id, device_id, command, status, payload, created, expires, sent, "
    "finished, message_type, response_timeout, job_id, "
    "CASE WHEN finished IS NULL AND status <> 'QUEUED' THEN ifnull(due, ifnull(sent, created) + "
    f"ifnull(response_timeout, {RESPONSE_SECONDS})) ELSE due END FROM commands",
    numbers="number",
)
_RETENTION = Table(
    "retention",
    {
        "device_id": _text,
        "value_key": _text,
        "days": _same,
        "interval": _same,
        "after_days": _same,
        "swept": _same,
    },
)
_AUDIT = Table(
    "audit",
    {
        "number": _same,
        "at": _same,
        "who": _text,
        "address": _text,
        "method": _text,
        "params": _text,
    },
    numbers="number",
)

TABLES = (
    _DEVICES,
    _SENSORS,
    _ACTUATORS,
    _RETENTION,
    Table("downsampled", {"sensor": _same, "upto": _same}),
    Table("settled", {"at": _same}),
    _STATUSES,
    _STATUS_LOG,
    _OUTBOXES,
    _COMMANDS,
    _AUDIT,
)
"""All but that of values, in an order in which each finds what it refers to."""
