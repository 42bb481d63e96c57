"""What is changed of a device, here or at another node, and what that means to its connection."""

import logging

from ...protocol.about import about
from ..clock import TimeOfDay
from ..errors import StoreFailed, UnknownDevice
from ..store.registry import DeviceRow, Registry
from .news import News
from .presence import Presence
from .session import DeviceSession

logger = logging.getLogger("jsonrpc_iot.novacloud")


class Changes:
    """Has changes reach the connections that they concern.

    Args:
        registry: has what was changed.
        presence: knows the connections.
        news: knows who wants to hear of which tags.
        time_of_day: says whether an old key still holds.
    """

    def __init__(
        self, registry: Registry, presence: Presence, news: News, time_of_day: TimeOfDay
    ) -> None:
        self._registry = registry
        self._presence = presence
        self._news = news
        self._time = time_of_day

    async def refresh(self, device_id: str) -> None:
        """Something of a device was changed: see what, and end its connection where that says so.

        A connection of which that cannot be found out ends too: the device comes again.
        """
        self._presence.note_change(device_id)
        session = self._presence.sessions.get(device_id)
        if session is None and not self._news.looks_at_tags:
            return
        before = () if session is None else tuple(session.sensors)
        try:
            known = await self._registry.device(device_id)
        except UnknownDevice:
            self._news.note_tags(device_id, ())
            self._presence.close(device_id, "deleted")
            return
        except StoreFailed as error:
            logger.error(
                "%s: what was changed is not known: %s", device_id, error, extra=about(device_id)
            )
            self._presence.close(device_id, "something of it was changed")
            return
        self._news.note_tags(device_id, known.row.tags)
        if session is None:
            return
        for key in before:  # others have been defined while this was read
            session.sensors.pop(key, None)
        session.sensors |= {sensor.value_key: sensor for sensor in known.sensors}
        session.actuators = known.actuators
        if reason := self._reason_to_end(session, known.row):
            self._presence.end(session, reason)
        session.key_hash = known.row.key_hash

    def _reason_to_end(self, session: DeviceSession, row: DeviceRow) -> str:
        """Why a connection may not go on, empty where it may."""
        if not row.enabled:
            return "disabled"
        holds = row.old_key_until is not None and self._time.now() < row.old_key_until
        return "" if holds or session.key_hash == row.key_hash else "its key was changed"
