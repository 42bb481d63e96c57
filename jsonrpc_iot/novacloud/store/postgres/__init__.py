"""The store in PostgreSQL, which several nodes share: `PostgresStore`. Works on asyncio."""

from jsonrpc_iot import MissingExtra

try:
    from .store import PostgresStore
except ImportError as error:
    if error.name != "asyncpg":
        raise
    message = "NovaCloud on PostgreSQL needs: pip install 'jsonrpc-iot[postgres]'"
    raise MissingExtra(message) from error

__all__ = ["PostgresStore"]
