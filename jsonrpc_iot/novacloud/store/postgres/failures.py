"""What went wrong between us and PostgreSQL, in one sentence for who runs the platform."""

import socket
from urllib.parse import urlsplit

import asyncpg

from ...errors import StoreDamaged, StoreFailed, Unforeseen

GONE: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)
"""The server is away, or a connection to it has ended: others may have as well."""

FAILURES: tuple[type[Exception], ...] = (
    OSError,  # TimeoutError as well
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""All that a call of asyncpg raises because of the server or the way to it."""

AGAIN: tuple[type[Exception], ...] = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    asyncpg.ForeignKeyViolationError,
)
"""Nothing was done, since another transaction was in the way: it is worth another attempt."""

_SENTENCES: dict[type[Exception], str] = {
    asyncpg.InvalidPasswordError: "it refuses the password",
    asyncpg.InvalidAuthorizationSpecificationError: "it refuses the user",
    asyncpg.InvalidCatalogNameError: "it has no database of that name",
    asyncpg.CannotConnectNowError: "it is starting or shutting down",
    asyncpg.TooManyConnectionsError: "it takes no more connections",
    asyncpg.AdminShutdownError: "it was shut down",
    asyncpg.CrashShutdownError: "it has crashed",
    asyncpg.DiskFullError: "its disk is full",
    asyncpg.ReadOnlySQLTransactionError: "it is read-only",
    asyncpg.QueryCanceledError: "it took too long",
    asyncpg.LockNotAvailableError: "another transaction held a lock for too long",
    asyncpg.InsufficientPrivilegeError: "the user may not do that",
    asyncpg.PostgresConnectionError: "the connection was lost",
    asyncpg.InterfaceError: "the connection was lost",
    asyncpg.InternalClientError: "the connection was lost",
    ConnectionRefusedError: "nobody answers there",
    socket.gaierror: "there is no such host",
    TimeoutError: "it does not answer",
}
_DAMAGED = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)
_UNFIT = (asyncpg.DataError, ValueError)  # that of asyncpg itself, which is an InterfaceError, too


def shown(url: str) -> str:
    """A URL as it may be shown: without its password and options."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "PostgreSQL"
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{parts.scheme}://{name}{colon and ':***'}{at}{host}{parts.path}"


def failure(error: Exception, url: str) -> StoreFailed:
    """The error for who asked.

    Args:
        error: one of `FAILURES`.
        url: of the database.
    """
    is_unfit = isinstance(error, _UNFIT)
    fitting = (text for kind, text in _SENTENCES.items() if isinstance(error, kind))
    sentence = "" if is_unfit else next(fitting, "")
    # The first line; others may have rows in them.
    reason = str(error).partition("\n")[0] if isinstance(error, asyncpg.PostgresError) else ""
    if not sentence:
        sentence = reason or str(error) or type(error).__name__
    elif reason and not isinstance(error, asyncpg.PostgresConnectionError):
        sentence = f"{sentence} ({reason})"
    kind = StoreDamaged if isinstance(error, _DAMAGED) else Unforeseen if is_unfit else StoreFailed
    return kind(f"{shown(url)}: {sentence}")
