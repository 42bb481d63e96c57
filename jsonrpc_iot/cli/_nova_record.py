"""Where `nova platform` keeps its record, and what it shares that with other nodes by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from jsonrpc_iot import UsageError
from jsonrpc_iot.transports.requirements import require_extra

from .command.declare import Option

if TYPE_CHECKING:
    from jsonrpc_iot.novacloud.bus.bus import Bus
    from jsonrpc_iot.novacloud.store.store import Store

SCHEMES = ("postgresql://", "postgres://")

DbOption: TypeAlias = Annotated[
    str,
    Option(
        metavar="FILE|URL",
        help="The SQLite file, made when it is not there, or "
        "postgresql://USER:PASSWORD@HOST/DATABASE, which several nodes may share.",
    ),
]
BusOption: TypeAlias = Annotated[
    str | None,
    Option(
        metavar="URL",
        help="By what nodes wake each other: nats://HOST, or the PostgreSQL of --db when left out.",
    ),
]
NodeOption: TypeAlias = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="The name of this node, which no other one has; that of the machine when left out.",
    ),
]
WorkersOption: TypeAlias = Annotated[
    int,
    Option(
        metavar="NUMBER",
        min=1,
        max=256,
        help="How many processes to run, each a node, on one port; for --db postgresql://…, Linux.",
    ),
]
DrainOption: TypeAlias = Annotated[
    float,
    Option(
        metavar="SECONDS",
        min=0,
        max=3600,
        help="How long a node takes to let its devices go on SIGTERM, a few at a time.",
    ),
]


def record_and_bus(db: str, bus: str | None, node: str | None) -> "tuple[Store, Bus]":
    """What the options say.

    Raises:
        UsageError: the options do not fit each other.
        MissingExtra: a package is not installed.
    """
    from jsonrpc_iot.novacloud import SqliteStore
    from jsonrpc_iot.novacloud.bus.choice import bus_from

    if db.startswith(SCHEMES):
        require_extra("postgresql://", "PostgreSQL needs", "postgres", "asyncpg")
        from jsonrpc_iot.novacloud.store.postgres.store import PostgresStore

        return PostgresStore(db), bus_from(bus, db)
    if "://" in db:
        raise UsageError(
            f"--db: expected a file or postgresql://…, not {db.partition('://')[0]}://"
        )
    for option, value in ("--bus", bus), ("--node", node):
        if value is not None:
            raise UsageError(f"{option} is for several nodes, which need --db postgresql://…")
    return SqliteStore(Path(db)), bus_from(None, db)
