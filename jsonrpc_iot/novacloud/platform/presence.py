"""Which devices are connected and which of them count as online; times of the last messages."""

import logging
import math
from collections.abc import Callable
from contextlib import suppress

import anyio
from msgspec import Struct

from ...protocol.about import about
from ..clock import TimeOfDay
from ..errors import StoreFailed
from ..store.nodes import Hold
from ..store.registry import Registry
from .node.ownership import Ownership
from .session import DeviceSession
from .settings import PlatformSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

_SAVE_SECONDS = 300.0  # each time some 240 bytes are written to the disk for every device
_FLAP_SECONDS = 60.0
_REMEMBERED_FLAPS = 10_000
_REMEMBERED_CHANGES = 10_000
_FIRST_DELAY = 0.25


class Online(Struct, frozen=True):
    """A device came online, in Unix seconds."""

    device_id: str
    at: float


class Offline(Struct, frozen=True):
    """A device went offline, in Unix seconds, and why."""

    device_id: str
    at: float
    reason: str


class _Flaps(Struct):
    """How often a device's connection was replaced since `since`."""

    since: float
    count: int = 0


class Presence:
    """The sessions by device, one for each.

    Args:
        store: keeps the times of last messages.
        settings: of which the times and `flaps` are used here.
        on_online: is told who comes.
        on_offline: is told who goes.
        ownership: has the record know who has left or is silent.
        time_of_day: for what is stored and told.
    """

    def __init__(
        self,
        store: Registry,
        settings: PlatformSettings,
        on_online: Callable[[Online], object],
        on_offline: Callable[[Offline], object],
        ownership: Ownership,
        time_of_day: TimeOfDay,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_online = on_online
        self._on_offline = on_offline
        self._ownership = ownership
        self._time = time_of_day
        self._flaps: dict[str, _Flaps] = {}
        self._left: dict[str, float] = {}
        self._changes: dict[str, float] = {}
        self._saved = 0.0
        self.sessions: dict[str, DeviceSession] = {}

    def online(self, device_id: str) -> DeviceSession | None:
        """The session of a device that is online."""
        session = self.sessions.get(device_id)
        return session if session is not None and session.is_online else None

    def last_seen(self, device_id: str) -> float | None:
        """When the last message of a device came, in Unix seconds, if it is known here."""
        session = self.sessions.get(device_id)
        return self._left.get(device_id) if session is None else self._wall(session.seen)

    def join(self, session: DeviceSession) -> DeviceSession | None:
        """Take a session in; an older one of the same device is closed and returned."""
        old = self.sessions.get(session.device_id)
        self.sessions[session.device_id] = session
        if old is not None:
            session.is_online = old.is_online
            old.connection.close("replaced")
        if old is not None or session.was_elsewhere:
            self._note_flap(session.device_id)
        self.touch(session)
        return old

    def touch(self, session: DeviceSession) -> None:
        """Note that a message of a session came."""
        session.seen = anyio.current_time()
        if not session.is_online and self.sessions.get(session.device_id) is session:
            session.is_online = True
            if session.was_silent:
                self._ownership.note_online(session.hold, online=True)
            self._on_online(Online(session.device_id, self._time.now()))

    def leave(self, session: DeviceSession, reason: str, *, quietly: bool = False) -> None:
        """Let a session go; the end of a replaced one means nothing.

        Args:
            session: whose connection ends.
            reason: why.
            quietly: the device has not gone offline, it is elsewhere.
        """
        if self.sessions.get(session.device_id) is not session:
            return
        del self.sessions[session.device_id]
        self._left[session.device_id] = self._wall(session.seen)
        self._ownership.release(session.hold)
        if session.is_online and not quietly:
            self._set_offline(session, reason)

    def close(self, device_id: str, reason: str) -> None:
        """End a device's connection, if it has one."""
        session = self.sessions.get(device_id)
        if session is not None:
            self.end(session, reason)

    def end(self, session: DeviceSession, reason: str, *, quietly: bool = False) -> None:
        """End a connection; see `leave`."""
        session.connection.close(reason)
        self.leave(session, reason, quietly=quietly)

    def fence(self, hold: Hold) -> None:
        """A device may be another node's: with a higher epoch than ours, it is."""
        session = self.sessions.get(hold.device_id)
        if session is not None and session.epoch < hold.epoch:
            self.end(session, "it has come to another node", quietly=True)

    def note_change(self, device_id: str) -> None:
        """Note that the store has something new of a device."""
        self._changes.pop(device_id, None)
        self._changes[device_id] = anyio.current_time()
        if len(self._changes) > _REMEMBERED_CHANGES:
            del self._changes[next(iter(self._changes))]

    def changed_since(self, device_id: str, then: float) -> bool:
        """Whether what was read of a device then may be out of date."""
        return self._changes.get(device_id, -math.inf) >= then

    def flap_delay(self, device_id: str) -> float:
        """Seconds to wait before a device whose connections replace each other gets its answer."""
        flaps = self._flaps.get(device_id)
        if flaps is None or anyio.current_time() - flaps.since > _FLAP_SECONDS:
            return 0.0
        over = flaps.count - self._settings.flaps
        return 0.0 if over < 0 else min(_FIRST_DELAY * 2.0**over, self._settings.flap_delay)

    def flapping(self) -> list[str]:
        """The devices that are slowed down at the moment."""
        return [device_id for device_id in self._flaps if self.flap_delay(device_id)]

    async def run(self) -> None:
        """Notice silence, and save the times of last messages now and then."""
        while True:
            now = anyio.current_time()
            patience = self._settings.online_seconds
            due = now + min(patience, _SAVE_SECONDS)
            for session in list(self.sessions.values()):
                if session.is_online:
                    if session.seen + patience <= now:
                        self._set_offline(session, "silent")
                        self._ownership.note_online(session.hold, online=False)
                    else:
                        due = min(due, session.seen + patience)
            if now - self._saved >= _SAVE_SECONDS:
                with suppress(StoreFailed):
                    await self.save()
            await anyio.sleep_until(due)

    async def save(self) -> None:
        """Store when the devices were seen.

        Raises:
            StoreFailed: nothing is stored.
        """
        since, self._saved = self._saved, anyio.current_time()
        times = {
            id: self._wall(each.seen) for id, each in self.sessions.items() if each.seen >= since
        }
        times.update(self._left)
        if times:
            await self._store.seen(times.items())
            for device_id, at in times.items():
                if self._left.get(device_id) == at:
                    del self._left[device_id]

    def _set_offline(self, session: DeviceSession, reason: str) -> None:
        session.is_online = False
        session.was_silent = True
        self.tell_offline(session.device_id, reason)

    def tell_offline(self, device_id: str, reason: str) -> None:
        """Tell that a device, which may have been another node's, has gone offline."""
        self._on_offline(Offline(device_id, self._time.now(), reason))

    def _wall(self, monotonic: float) -> float:
        return self._time.now() - (anyio.current_time() - monotonic)

    def _note_flap(self, device_id: str) -> None:
        now = anyio.current_time()
        flaps = self._flaps.pop(device_id, None)
        if flaps is None or now - flaps.since > _FLAP_SECONDS:
            flaps = _Flaps(now)
        flaps.count += 1
        self._flaps[device_id] = flaps
        if flaps.count == self._settings.flaps:
            logger.warning(
                "%s: replaced %d times in a minute", device_id, flaps.count, extra=about(device_id)
            )
        if len(self._flaps) > _REMEMBERED_FLAPS:
            del self._flaps[next(iter(self._flaps))]
