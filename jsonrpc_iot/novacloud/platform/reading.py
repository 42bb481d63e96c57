"""What devices say once they are let in: lines become messages, and reach those they are for."""

import logging
import time
from collections.abc import Sequence

import anyio

from jsonrpc_iot import MalformedFrame

from ...protocol.about import about
from ..messages import (
    CommandResponse,
    Data,
    Error,
    ErrorPayload,
    FromDevice,
    Heartbeat,
    Status,
    decode_from_device,
    decode_not_finite,
    encode_line,
)
from .commands import OpenCommands
from .counts import Counts, Problem
from .ingest import Ingest
from .presence import Presence
from .session import DeviceSession
from .settings import PlatformSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

_QUICK_SECONDS = 29.0  # the guide wants 30 between heartbeats; a little less is the network's doing


class Reading:
    """Reads what authenticated devices send.

    Args:
        settings: of which the limits of lines and of what a device sends are used here.
        counts: of the whole platform.
        presence: is told that a device is still there.
        ingest: takes data and statuses.
        commands: takes responses.
    """

    def __init__(
        self,
        settings: PlatformSettings,
        counts: Counts,
        presence: Presence,
        ingest: Ingest,
        commands: OpenCommands,
    ) -> None:
        self._settings = settings
        self._counts = counts
        self._presence = presence
        self._ingest = ingest
        self._commands = commands

    async def read(self, session: DeviceSession, lines: Sequence[bytes | None]) -> None:
        """Take lines of a device, no faster than it may send them; `None` is a line too long."""
        connection = session.connection
        for line in lines:
            size = self._settings.line if line is None else len(line) + 1
            session.record.bytes += size
            if wait := session.tokens.spend(self._price(size), anyio.current_time()):
                self._note_wait(session)
                await anyio.sleep(wait)
            if connection.closed:
                return
            try:
                if line is None:
                    raise MalformedFrame(f"longer than {self._settings.line} bytes")
                message = self._decode(session, line)
                if not isinstance(message, Data | Status | Heartbeat | CommandResponse):
                    raise MalformedFrame("the device is authenticated already")
            except MalformedFrame as error:
                self._complain(session, str(error))
                if session.malformed >= self._settings.malformed_lines:
                    await connection.part()
                    connection.close("too many lines make no sense")
                    return
                continue
            session.malformed = 0
            self._counts.messages += 1
            session.record.messages += 1
            self._presence.touch(session)
            if isinstance(message, Data | Status):
                await self._ingest.accept(session, message, size)
            elif isinstance(message, CommandResponse):
                self._commands.respond(session, message)
            else:
                self._note_beat(session)

    def _price(self, size: int) -> float:
        """What a line costs of the messages that a device may send: a long one counts as more."""
        share = self._settings.messages_per_second / self._settings.bytes_per_second
        return max(1.0, size * share)

    def _note_wait(self, session: DeviceSession) -> None:
        """Count that a device sends more than it may."""
        self._counts.slowed += 1
        session.record.slowed += 1
        if session.record.slowed == 1:
            logger.warning(
                "%s sends too much, and is read more slowly",
                session.device_id,
                extra=about(session.device_id),
            )

    def _decode(self, session: DeviceSession, line: bytes) -> FromDevice:
        """Read a line; NaN and infinities in it become `null`, which no sensor has."""
        try:
            return decode_from_device(line)
        except MalformedFrame:
            message = decode_not_finite(line)
            if message is None:
                raise
        session.record.not_finite += 1
        self._complain(session, "NaN and infinities are no JSON; the other values are taken")
        return message

    def _note_beat(self, session: DeviceSession) -> None:
        """Count heartbeats that come more often than the guide allows."""
        now = anyio.current_time()
        if session.beat is not None and now - session.beat < _QUICK_SECONDS:
            self._counts.quick_heartbeats += 1
            session.record.quick_heartbeats += 1
        session.beat = now

    def _complain(self, session: DeviceSession, reason: str) -> None:
        self._counts.malformed += 1
        session.malformed += 1
        session.record.malformed += 1
        session.record.last_error = Problem(time.time(), reason)
        logger.info(
            "%s: a line makes no sense: %s",
            session.device_id,
            reason,
            extra=about(session.device_id),
        )
        session.connection.send(encode_line(Error(payload=ErrorPayload(reason))))
