"""What is stored of devices' outboxes, in a table of PostgreSQL."""

from ..outboxes import Outboxes
from .base import Tables


class OutboxTables(Tables, Outboxes):
    """`Outboxes` for the PostgreSQL store."""

    async def heads(self, device_id: str) -> dict[str, int]:
        text = "SELECT outbox_id, seq FROM outboxes WHERE device_id = $1 ORDER BY used"
        rows = await self._pools.fetch(text, device_id)
        return {row["outbox_id"]: row["seq"] for row in rows}
