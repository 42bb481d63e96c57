"""Which bus a platform has."""

from jsonrpc_iot import UsageError
from jsonrpc_iot.transports.requirements import require_extra

from .bus import Bus
from .local import LocalBus

_POSTGRES = ("postgresql", "postgres")
_NATS = ("nats", "tls")


def bus_from(url: str | None, database: str) -> Bus:
    """The bus that a URL names; without one that of PostgreSQL, if that is the database.

    Args:
        url: `nats://…`, `tls://…` (NATS over TLS) or `postgresql://…`, `None` for the usual one.
        database: a file of SQLite, or `postgresql://…`.

    Raises:
        UsageError: there is no such bus, or the URL is wrong.
        MissingExtra: its package is not installed.
        OSError: the file of an authority cannot be read.
    """
    if url is None:
        if database.partition("://")[0] not in _POSTGRES:
            return LocalBus()
        url = database
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme in _POSTGRES:
        require_extra(f"{scheme}://", "PostgreSQL needs", "postgres", "asyncpg")
        from .postgres import PostgresBus

        return PostgresBus(url)
    if scheme in _NATS:
        require_extra(f"{scheme}://", "NATS needs", "nats", "nats")
        from .nats import NatsBus

        return NatsBus(url)
    what = f"{scheme}://" if scheme else "that"
    raise UsageError(f"{what} is no bus: it is nats://…, tls://… (NATS over TLS) or postgresql://…")
