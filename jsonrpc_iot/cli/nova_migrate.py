"""`nova migrate`: from the SQLite file of one platform to a PostgreSQL for several nodes."""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import msgspec

from jsonrpc_iot import BindFailed, ConnectFailed, UsageError
from jsonrpc_iot.transports.requirements import require_extra

from ._nova_record import SCHEMES
from ._output import counting, explain, print_json
from .command.declare import Argument, Option

_MOST_TOLD = 20


def migrate(
    sqlite: Annotated[Path, Argument("SQLITE", "The platform's SQLite file.")],
    postgres: Annotated[
        str,
        Argument(
            "POSTGRES",
            "postgresql://USER:PASSWORD@HOST/DATABASE, in which no platform has stored anything "
            "yet.",
        ),
    ],
    *,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Only look at both, and say what would be moved.")
    ] = False,
) -> None:
    """Move all that a platform has stored into PostgreSQL, while the platform is stopped.

    Devices, keys, values, statuses, commands, rules and the audit go into an empty database in one
    transaction: it has all of it or, where this is ended, nothing, and then it may be begun again.
    Rows are counted at the end. Devices go on there as they would here: nothing of their outboxes
    is stored twice. The file stays as it is. Prints how many rows of each kind were moved.
    """
    if not postgres.startswith(SCHEMES):
        raise UsageError(f"POSTGRES: expected postgresql://…, not {postgres!r}")
    require_extra("postgresql://", "PostgreSQL needs", "postgres", "asyncpg")
    from jsonrpc_iot.novacloud import StoreFailed
    from jsonrpc_iot.novacloud.errors import StoreDamaged, StoreInUse
    from jsonrpc_iot.novacloud.transfer.migrating import CountsDiffer, NotEmpty, move
    from jsonrpc_iot.novacloud.transfer.source import opened

    told = _Told()
    with ExitStack() as stack:
        tell = stack.enter_context(counting())
        tell("counting rows")
        try:
            source = stack.enter_context(opened(sqlite, told))
        except StoreInUse as error:
            raise BindFailed(f"SQLITE: {error.message}") from None
        except StoreFailed as error:
            raise UsageError(f"SQLITE: {error.message}") from None
        stack.callback(told.end)
        progress = _Progress(sum(source.counts.values()))
        work = partial(move, source, postgres, lambda rows: tell(progress(rows)))
        try:
            moved = anyio.run(partial(work, is_rehearsal=dry_run))
        except (CountsDiffer, StoreDamaged):
            raise
        except NotEmpty as error:
            raise UsageError(f"POSTGRES: {error.message}") from None
        except StoreFailed as error:
            raise ConnectFailed(f"POSTGRES: {error.message}") from None
    print_json(msgspec.json.encode(moved))


class _Told:
    """Says on standard error what is left out, as long as it is not too much."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, sentence: str) -> None:
        self._count += 1
        if self._count <= _MOST_TOLD:
            explain(sentence)

    def end(self) -> None:
        """Say how much was not said."""
        if self._count > _MOST_TOLD:
            explain(f"and {self._count - _MOST_TOLD:,} more")


class _Progress:
    """Says how far it is.

    Args:
        rows: in all.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._begun = time.monotonic()

    def __call__(self, done: int) -> str:
        rate = done / max(time.monotonic() - self._begun, 1e-3)
        left = round((self._rows - done) / max(rate, 1.0))
        if done >= self._rows:
            return f"{done:,} rows, {rate:,.0f}/s; counting them"
        return f"{done:,} of {self._rows:,} rows, {rate:,.0f}/s, {left:,} s left"
