"""What is stored of devices' outboxes, in tables of SQLite."""

from ..outboxes import Outboxes
from .base import Tables
from .taken import heads_of


class OutboxTables(Tables, Outboxes):
    """`Outboxes` for the SQLite store."""

    async def heads(self, device_id: str) -> dict[str, int]:
        return await self._read(lambda db: heads_of(db, device_id))
