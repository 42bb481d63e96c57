"""Lists of texts in statements, and in columns: as JSON, which SQLite reads up to a NUL alone."""

import sqlite3
from collections.abc import Sequence

import msgspec

from ..texts import all_to_sql


def as_list(texts: Sequence[str]) -> str:
    """A list as a statement takes it where it has `in_list`."""
    return msgspec.json.encode(all_to_sql(texts)).decode()


def in_list(name: str) -> str:
    """The condition that a text is in the list which the statement has under a name."""
    plain = "replace(replace(value, char(1, 1), char(0)), char(1, 2), char(1))"
    return f"IN (SELECT {plain} FROM json_each({name}))"


def add_functions(db: sqlite3.Connection) -> None:
    """Let statements say `has_text(COLUMN, TEXT)` of a column with a JSON list of texts."""
    db.create_function("has_text", 2, _has_text, deterministic=True)


def _has_text(column: str, text: str) -> bool:
    return text in msgspec.json.decode(column)
