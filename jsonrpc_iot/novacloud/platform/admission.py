"""Letting devices in: the first message, keys, and what failed attempts cost the one who tries."""

import hmac
import logging
import uuid
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

import anyio
from msgspec import UNSET

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.protocol.network import network_of

from ..clock import TimeOfDay
from ..errors import StoreFailed, UnknownDevice
from ..messages import (
    ACK,
    REFUSAL,
    Auth,
    AuthPayload,
    AuthResponse,
    AuthResult,
    Error,
    ErrorPayload,
    decode_from_device,
    encode_line,
)
from ..store.nodes import Hold
from ..store.registry import DeviceRow, Known, Registry
from ..token_bucket import TokenBucket
from .connection import DeviceConnection
from .counts import Counts, Refused
from .node.ownership import Ours, Ownership
from .presence import Presence
from .session import DeviceSession
from .settings import PlatformSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

_STORE_SECONDS = 1.0  # between attempts to read a database that fails
_FIRST_DELAY = 0.25
_FORGIVEN_SECONDS = 60.0
_REMEMBERED = 4096
_SHOWN_NAME = 64


def hash_key(key: str) -> bytes:
    """What is stored of a key."""
    return sha256(key.encode(errors="surrogatepass")).digest()


def canonical_id(device_id: str) -> str | None:
    """A device's id as it is stored, `None` for what is no UUID."""
    try:
        return str(uuid.UUID(device_id))
    except ValueError:
        return None


class Slowdown:
    """How long an address waits for the answer to its next failure.

    Args:
        settings: of which `failed_auth_delay` is used here.
    """

    def __init__(self, settings: PlatformSettings) -> None:
        self._settings = settings
        self._failures: dict[str, tuple[int, float]] = {}

    def fail(self, host: str, now: float) -> float:
        """Count a failure; returns the seconds to wait. A network of IPv6 is one address."""
        network = network_of(host)
        count, last = self._failures.pop(network, (0, now))
        count = 0 if now - last > _FORGIVEN_SECONDS else count
        self._failures[network] = count + 1, now
        if len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]
        return min(_FIRST_DELAY * 2.0 ** min(count, 30), self._settings.failed_auth_delay)


class _Refused(Exception):
    """Why a device is not let in.

    Args:
        reason: a sentence.
        device_id: the device that it says it is, if there is such a one.
    """

    def __init__(self, reason: str, device_id: str | None = None) -> None:
        super().__init__(reason)
        self.device_id = device_id


class Admission:
    """Authenticates connections.

    Args:
        store: knows the devices.
        settings: limits and times.
        presence: knows which devices come too often.
        ownership: makes devices this node's.
        time_of_day: for what is stored and told.
        counts: of the whole platform.
    """

    def __init__(
        self,
        store: Registry,
        settings: PlatformSettings,
        presence: Presence,
        counts: Counts,
        ownership: Ownership,
        time_of_day: TimeOfDay,
    ) -> None:
        self._store = store
        self._settings = settings
        self._presence = presence
        self._counts = counts
        self._ownership = ownership
        self._time = time_of_day
        self._slowdown = Slowdown(settings)
        self._problem = ""

    async def admit(
        self, connection: DeviceConnection, host: str, subject: str | None = None
    ) -> tuple[DeviceSession, Sequence[bytes | None]] | None:
        """Read the first message and answer it.

        Args:
            connection: new.
            host: its address, without the port.
            subject: the name in its certificate, empty where it has none; `None` where keys count.

        Returns:
            The session and lines that came with the first, or `None` for who is not let in.

        Raises:
            EndOfStream, BrokenResourceError, ClosedResourceError, OSError: the device is gone.
        """
        try:
            auth, rest = await self._first_message(connection)
            connection.named = True
            known, ours = await self._admitted(auth, subject, host)
        except _Refused as refusal:
            self._note(refusal, host)
            await anyio.sleep(self._slowdown.fail(host, anyio.current_time()))
            connection.send(_answer("error", str(refusal)))
            return None
        acknowledges = ACK in auth.ext and auth.outbox_id is not UNSET
        outbox_id = auth.outbox_id if acknowledges and auth.outbox_id is not UNSET else ""
        now = anyio.current_time()
        session = DeviceSession(
            connection=connection,
            device_id=known.row.device_id,
            outbox_id=outbox_id,
            sensors={sensor.value_key: sensor for sensor in known.sensors},
            actuators=known.actuators,
            tokens=TokenBucket(self._settings.messages_per_second, self._settings.burst),
            seen=now,
            settles=now + self._settings.settle_seconds,
            record=self._counts.device(known.row.device_id),
            since=self._time.now(),
            is_online=ours.was_online,
            node=ours.node,
            epoch=ours.epoch,
            was_elsewhere=ours.was_elsewhere,
            key_hash=known.row.key_hash,
        )
        connection.send(_answer("success", "authenticated", [ACK] if acknowledges else []))
        return session, rest

    def give_up(self, connection: DeviceConnection, host: str) -> None:
        """Tell who has not said in time who it is."""
        reason = f"no authentication within {self._settings.auth_seconds:g} s"
        self._note(_Refused(reason), host)
        connection.send(_answer("error", reason))

    def refuse(self, reason: str, host: str, level: int = logging.INFO) -> None:
        """Note that a device has not come as far as to say who it is."""
        self._note(_Refused(reason), host, level)

    def _note(self, refusal: _Refused, host: str, level: int = logging.INFO) -> None:
        """Count a refusal, and remember it with whose it is, if that is known."""
        self._counts.failed_auths += 1
        refused = Refused(self._time.now(), host, str(refusal))
        if refusal.device_id is None:
            self._counts.refused = refused
            logger.log(level, "%s: %s", host, refusal)
            return
        record = self._counts.device(refusal.device_id)
        record.failed_auths += 1
        last, record.refused = record.refused, refused
        is_news = last is None or (last.address, last.reason) != (host, str(refusal))
        level = logging.WARNING if is_news else logging.INFO
        logger.log(level, "%s is refused from %s: %s", refusal.device_id, host, refusal)

    async def _first_message(
        self, connection: DeviceConnection
    ) -> tuple[AuthPayload, Sequence[bytes | None]]:
        malformed = 0
        while True:
            lines = await connection.receive()
            for number, line in enumerate(lines):
                if line is None or len(line) > self._settings.auth_line:
                    raise _Refused(f"the line is longer than {self._settings.auth_line} bytes")
                try:
                    message = decode_from_device(line)
                except MalformedFrame as error:
                    self._counts.malformed += 1
                    malformed += 1
                    if malformed >= self._settings.malformed_lines:
                        raise _Refused("too many lines make no sense") from None
                    connection.send(encode_line(Error(payload=ErrorPayload(str(error)))))
                    continue
                if not isinstance(message, Auth):
                    raise _Refused("the first message has to be auth")
                return message.payload, lines[number + 1 :]
            if connection.waiting > self._settings.auth_line:
                raise _Refused(f"the line is longer than {self._settings.auth_line} bytes")

    async def _admitted(
        self, auth: AuthPayload, subject: str | None, host: str
    ) -> tuple[Known, Ours]:
        """The device that may come in, as it is at the moment at which this returns."""
        began = anyio.current_time()
        known = await self._check(auth, subject)
        delay = self._presence.flap_delay(known.row.device_id)
        if delay:
            await anyio.sleep(min(delay, self._settings.auth_seconds / 2))
        ours = await self._take(known.row.device_id, host)
        try:
            while self._presence.changed_since(known.row.device_id, began):
                began = anyio.current_time()
                known = await self._check(auth, subject)
        except BaseException:
            self._ownership.release(Hold(known.row.device_id, ours.epoch))
            raise
        return known, ours

    async def _take(self, device_id: str, host: str) -> Ours:
        """Make a device this node's, once the record takes that; see `_find`."""
        while True:
            try:
                ours = await self._ownership.take(device_id, host)
            except StoreFailed as error:
                await self._wait_for_store(device_id, error)
            else:
                self._problem = ""
                if ours is None:
                    raise _Refused(REFUSAL)  # it has just been deleted
                return ours

    async def _check(self, auth: AuthPayload, subject: str | None) -> Known:
        """The device that an auth message names and proves to be."""
        device_id = canonical_id(auth.device_id)
        known = None if device_id is None else await self._find(device_id)
        if subject is None:
            problem = _key_problem(auth, known, self._time.now())
        else:
            problem = _certificate_problem(device_id, subject)
            if not problem and known is None:
                problem = "unknown device"
        if problem or known is None:
            raise _Refused(problem, None if known is None else known.row.device_id)
        if not known.row.enabled:
            raise _Refused("the device is disabled", known.row.device_id)
        return known

    async def _find(self, device_id: str) -> Known | None:
        """A device, once the database can be read.

        A device would take any answer but success for a refusal of its key, and stay away for long;
        of a connection that ends without one it knows that it may come again soon.
        """
        while True:
            try:
                return await self._store.device(device_id)
            except UnknownDevice:
                return None
            except StoreFailed as error:
                await self._wait_for_store(device_id, error)

    async def _wait_for_store(self, device_id: str, error: StoreFailed) -> None:
        """Wait a moment; that many devices have to is logged once."""
        level = logging.DEBUG if error.message == self._problem else logging.WARNING
        self._problem = error.message
        logger.log(level, "%s: devices wait for the database: %s", device_id, error)
        await anyio.sleep(_STORE_SECONDS)


def _key_problem(auth: AuthPayload, known: Known | None, now: float) -> str:
    """Why a key proves nothing, empty if it does. An unknown device is no sooner told."""
    expected = bytes(32) if known is None else known.row.key_hash
    given = hash_key(auth.device_key)
    is_right = hmac.compare_digest(given, expected)
    if known is not None and not is_right and _old_key_holds(known.row, now):
        is_right = hmac.compare_digest(given, known.row.old_key_hash or bytes(32))
    return "" if known is not None and is_right else REFUSAL


def _certificate_problem(device_id: str | None, subject: str) -> str:
    """Why a certificate does not prove that its owner is a device, empty if it does."""
    if not subject:
        return "no certificate with one subject name has come"
    if device_id is None or canonical_id(subject) != device_id:
        return f"the certificate is for {subject[:_SHOWN_NAME]!r}"
    return ""


def _old_key_holds(row: DeviceRow, now: float) -> bool:
    until = row.old_key_until
    return row.old_key_hash is not None and until is not None and now < until


def _answer(status: Literal["success", "error"], message: str, ext: Sequence[str] = ()) -> bytes:
    result = AuthResult(status=status, message=message, ext=list(ext))
    return encode_line(AuthResponse(payload=result))
