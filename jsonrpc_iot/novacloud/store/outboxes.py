"""The contract of what knows which part of each device's outbox is stored: `Outboxes`."""

import abc


class Outboxes(abc.ABC):
    """The highest `seq` that is stored of each outbox; `TelemetryLog.write` goes by it."""

    @abc.abstractmethod
    async def heads(self, device_id: str) -> dict[str, int]:
        """The highest stored `seq` of a device's outboxes by their ids, the last used at the end.

        Of each device 16 are known: a new one drives out that which was used least recently.
        """
