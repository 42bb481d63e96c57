"""The values as a hypertable, where the database has TimescaleDB: old weeks take less room.

The weeks are its chunks, one more in front of them and one behind. So that a device that goes by a
wrong clock makes no others, the chunk of a value is that of `telemetry_place(timestamp)`, which is
the timestamp within bounds. The bounds are in the text of that function: it is replaced when they
move, together with the few values that another chunk is for then.
"""

from .partitions import COLUMNS, WEEK, Weeks
from .pools import Db

OLDEST = (2, 20)  # the version from which on all is there that is used here
COMPRESS_SECONDS = 10.0
"""How long those who write to an old week may wait, less than a statement of theirs may take."""

_FRESH_WEEKS = 1  # that are over, and to which devices still send what they could not send before

_EXTENSION = f"""
SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'timescaledb' AND current_setting('timescaledb.license', TRUE) = 'timescale'
    AND string_to_array(substring(extversion FROM '[0-9.]+'), '.')::int[] >= ARRAY{[*OLDEST]}"""
_OPEN = """
SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema AND hypertable_name = 'telemetry'
    AND NOT is_compressed AND range_start_integer >= $1 AND range_end_integer <= $2
ORDER BY range_start_integer"""


async def extension(db: Db) -> str | None:
    """The schema of TimescaleDB, `None` where it is not there, is too old, or cannot compress."""
    schema: str | None = await db.fetchval(_EXTENSION)
    return schema


async def weeks(db: Db) -> Weeks | None:
    """Which weeks have chunks, `None` where the table is no hypertable."""
    if await db.fetchval("SELECT to_regproc('telemetry_place') IS NULL"):
        return None
    past = await db.fetchval("SELECT telemetry_place('-infinity')")
    future = await db.fetchval("SELECT telemetry_place('infinity')")
    return Weeks(past // int(WEEK) + 1, future // int(WEEK))


async def make(db: Db, schema: str, new: Weeks) -> None:
    """Have a hypertable in place of the table, which has no partitions yet."""
    await db.execute("ALTER TABLE telemetry RENAME TO telemetry_before")
    await db.execute("CREATE TABLE telemetry (LIKE telemetry_before INCLUDING ALL)")
    await db.execute("DROP TABLE telemetry_before")
    await _set_bounds(db, new)
    await db.execute(
        f"SELECT {schema}.create_hypertable('telemetry', {schema}.by_range('timestamp', "
        f"{WEEK:.0f}::bigint, partition_func => 'telemetry_place'::regproc), "
        "create_default_indexes => FALSE)"
    )
    await db.execute(
        "ALTER TABLE telemetry SET (timescaledb.compress, timescaledb.compress_segmentby = "
        "'sensor', timescaledb.compress_orderby = 'timestamp, received')"
    )


async def reshape(db: Db, old: Weeks, new: Weeks) -> None:
    """Have chunks for other weeks; what is before the first new one is dropped.

    Args:
        db: in a transaction that has locked the table.
        old: the weeks that have chunks.
        new: those that are to have; they end no sooner than the old ones.
    """
    await db.execute("CREATE TABLE moved (LIKE telemetry)")
    for condition, is_moving in (
        (f"timestamp < {old.first * WEEK}", new.first < old.first),
        (f"timestamp >= {old.end * WEEK}", new.end > old.end),
    ):
        if is_moving:
            await db.execute(
                f"WITH gone AS (DELETE FROM telemetry WHERE {condition} RETURNING {COLUMNS}) "
                f"INSERT INTO moved ({COLUMNS}) SELECT * FROM gone"
            )
    if new.first > old.first:
        older = f"'telemetry', older_than => {new.first * WEEK:.0f}::bigint"
        await db.execute(f"SELECT {await extension(db)}.drop_chunks({older})")
    await _set_bounds(db, new)
    await db.execute(f"INSERT INTO telemetry ({COLUMNS}) SELECT {COLUMNS} FROM moved")
    await db.execute("DROP TABLE moved")


async def uncompressed(db: Db, now: float) -> list[str]:
    """The chunks of weeks that were over some time ago, as SQL has them, the oldest first."""
    found = await weeks(db)
    if found is None:
        return []
    first, end = found.first, int(now // WEEK) - _FRESH_WEEKS
    rows = await db.fetch(_OPEN, first * int(WEEK), end * int(WEEK))
    return [name for (name,) in rows]


async def compress(db: Db, chunk: str) -> None:
    """Compress a chunk. Who reads it does not wait; who writes to it does.

    Args:
        db: in a transaction.
        chunk: as SQL has it.

    Raises:
        asyncpg.QueryCanceledError: it takes too long; nothing was done.
    """
    await db.execute(f"SET LOCAL statement_timeout = '{COMPRESS_SECONDS:.0f}s'")
    await db.execute(f"SELECT {await extension(db)}.compress_chunk('{chunk}')")


async def _set_bounds(db: Db, new: Weeks) -> None:
    await db.execute(
        "CREATE OR REPLACE FUNCTION telemetry_place(at float8) RETURNS bigint "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT floor(greatest(least(at, "
        f"{new.end * WEEK}), {new.first * WEEK - 1}))::bigint'"
    )
