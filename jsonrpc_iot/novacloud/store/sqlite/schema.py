"""The tables of a platform's SQLite file, and how older files become new ones.

`PRAGMA user_version` counts the steps of `STEPS` that a file has behind it.
"""

import sqlite3

from ...errors import StoreFailed
from . import taken
from .status import STATUS_LOG

FRESH_TABLE = """
CREATE TABLE {} (
    part INTEGER NOT NULL,
    sensor INTEGER NOT NULL,
    timestamp REAL NOT NULL,
    delay INTEGER NOT NULL,
    value NOT NULL,
    PRIMARY KEY (part, sensor, timestamp, delay)
) WITHOUT ROWID"""
"""One of the two tables that values arrive in."""

VIEW = """
CREATE VIEW telemetry AS
SELECT sensor, timestamp, received, value FROM telemetry_1
UNION ALL SELECT sensor, timestamp, CAST(timestamp * 1000000 AS INTEGER) + delay, value FROM fresh_0
UNION ALL SELECT sensor, timestamp, CAST(timestamp * 1000000 AS INTEGER) + delay, value FROM fresh_1
UNION ALL SELECT sensor, timestamp, CAST(timestamp * 1000000 AS INTEGER) + delay, value
FROM merged JOIN parts USING (part) WHERE level > 0"""
"""All values, for those who look into the file."""

STEPS = (
    """
CREATE TABLE devices (
    device_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    key_hash BLOB NOT NULL,
    enabled INTEGER NOT NULL,
    created REAL NOT NULL,
    last_seen REAL
) WITHOUT ROWID;

-- AUTOINCREMENT: the values of a deleted sensor never become those of another.
CREATE TABLE sensors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    value_key TEXT NOT NULL,
    type TEXT NOT NULL,
    unit TEXT,
    UNIQUE (device_id, value_key)
);

CREATE TABLE actuators (
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    command_key TEXT NOT NULL,
    type TEXT,
    PRIMARY KEY (device_id, command_key)
) WITHOUT ROWID;

-- A value is a number, a text, or JSON in a blob. `received` is in microseconds, and no two reports
-- have the same.
CREATE TABLE telemetry (
    sensor INTEGER NOT NULL,
    timestamp REAL NOT NULL,
    received INTEGER NOT NULL,
    value NOT NULL,
    PRIMARY KEY (sensor, timestamp, received)
) WITHOUT ROWID;

CREATE TABLE statuses (
    device_id TEXT PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
    timestamp REAL NOT NULL,
    rank REAL NOT NULL,
    payload BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE outboxes (
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    outbox_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (device_id, outbox_id)
) WITHOUT ROWID;

CREATE TABLE commands (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    command_id TEXT NOT NULL UNIQUE,
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    command BLOB NOT NULL,
    status TEXT NOT NULL,
    payload BLOB NOT NULL,
    created REAL NOT NULL,
    expires REAL NOT NULL,
    sent REAL,
    finished REAL
);
CREATE INDEX commands_of_device ON commands (device_id, number);
CREATE INDEX open_commands ON commands (number) WHERE finished IS NULL;
""",
    """
-- What the first version stored stays where it is, and is read as one more part.
ALTER TABLE telemetry RENAME TO telemetry_1;

-- Values arrive in groups, one a commit, each sorted by sensor: a group lies together at the end of
-- the table, and so no page is written twice. Now and then a full table is sorted into one part of
-- `merged` and emptied, while the other fills. `delay` is how many microseconds after its timestamp
-- a value came. A value is a number, a text, or JSON in a blob.
"""
    + FRESH_TABLE.format("fresh_0")
    + ";"
    + FRESH_TABLE.format("fresh_1")
    + """;
CREATE TABLE merged (
    part INTEGER NOT NULL,
    sensor INTEGER NOT NULL,
    timestamp REAL NOT NULL,
    delay INTEGER NOT NULL,
    value NOT NULL,
    PRIMARY KEY (part, sensor, timestamp, delay)
) WITHOUT ROWID;

-- The parts of `merged`; what is of level 0 is being written or deleted, and is not read.
CREATE TABLE parts (
    part INTEGER PRIMARY KEY,
    level INTEGER NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    count INTEGER NOT NULL
);

-- Deleted sensors whose values are still to be removed.
CREATE TABLE doomed (sensor INTEGER PRIMARY KEY);

-- How long values are kept. An empty text stands for all devices or sensors; what is older than
-- `swept` has been deleted.
CREATE TABLE retention (
    device_id TEXT NOT NULL,
    value_key TEXT NOT NULL,
    days REAL NOT NULL,
    interval REAL,
    after_days REAL,
    swept REAL NOT NULL,
    PRIMARY KEY (device_id, value_key)
) WITHOUT ROWID;

-- Up to which timestamp the values of a sensor are means.
CREATE TABLE downsampled (sensor INTEGER PRIMARY KEY, upto REAL NOT NULL);

-- For those who look into the file.
"""
    + VIEW
    + ";",
    """
ALTER TABLE devices ADD COLUMN tags BLOB NOT NULL DEFAULT '[]';
ALTER TABLE devices ADD COLUMN old_key_hash BLOB;
ALTER TABLE devices ADD COLUMN old_key_until REAL;
CREATE INDEX devices_by_name ON devices (name, device_id);

-- `message_type` is NULL for commands.
ALTER TABLE commands ADD COLUMN message_type TEXT;
ALTER TABLE commands ADD COLUMN response_timeout REAL;
ALTER TABLE commands ADD COLUMN job_id TEXT;
CREATE INDEX commands_of_job ON commands (job_id, command_id) WHERE job_id IS NOT NULL;

ALTER TABLE statuses ADD COLUMN ranks BLOB NOT NULL DEFAULT '{}';
CREATE TABLE status_history (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    timestamp REAL NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX history_of_device ON status_history (device_id, number);
CREATE INDEX history_by_time ON status_history (device_id, timestamp, number);

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    params BLOB NOT NULL
);
""",
    """
-- The time of day when old values were last looked for.
CREATE TABLE settled (at REAL NOT NULL);
""",
    STATUS_LOG,
    taken.MIGRATION,
    """
ALTER TABLE commands ADD COLUMN due REAL;
DROP INDEX open_commands;
CREATE INDEX open_commands ON commands (device_id, number) WHERE finished IS NULL;
""",
)


def version_of(db: sqlite3.Connection) -> int:
    """How many steps a file has behind it; none where it is empty.

    Raises:
        StoreFailed: it is another program's, or of a newer version than this program.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = {
        name
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if not name.startswith("sqlite_")
    }
    if version > len(STEPS):
        raise StoreFailed(f"the file has version {version}; this program knows {len(STEPS)}")
    if (tables and version == 0) or (version > 0 and "devices" not in tables):
        raise StoreFailed("the file is another program's database")
    return int(version)


def check_current(db: sqlite3.Connection) -> None:
    """Refuse what this program cannot read without changing it.

    Raises:
        StoreFailed: the file is another program's, or of another version.
    """
    version = version_of(db)
    if version < len(STEPS):
        raise StoreFailed(
            f"the file has the older version {version}; a platform that opens it upgrades it"
        )


def upgrade(db: sqlite3.Connection) -> None:
    """Bring a file up to date, one transaction for each step.

    Raises:
        StoreFailed: the file is another program's, or of a newer version than this program.
    """
    version = version_of(db)
    for number, step in enumerate(STEPS[version:], version + 1):
        db.executescript(f"BEGIN IMMEDIATE;{step};PRAGMA user_version = {number};COMMIT;")
