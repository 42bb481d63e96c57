"""Keeping a device connected: it connects, says who it is, and does so again when that is needed.

What goes on while it is connected is `session`.
"""

import logging
import ssl
from collections.abc import Callable
from typing import NamedTuple

import anyio

from jsonrpc_iot import MalformedFrame

from ...protocol.about import about
from ..messages import (
    ACK,
    REFUSAL,
    Auth,
    AuthPayload,
    AuthResponse,
    AuthResult,
    decode_from_platform,
    encode_line,
)
from .backoff import Backoff
from .key import Secret
from .link import Link, LinkClosed, LinkLost, LinkSilent
from .outbox import Outbox
from .pulse import Pulse
from .session import Deliver, PlatformSession
from .settings import DeviceCounts, DeviceSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

_PARTING_SECONDS = 1.0


class Account(NamedTuple):
    """Where a platform is, and who the device is there.

    Args:
        host: the platform's name or address.
        port: its port.
        tls: how the connection is secured, `None` for not at all.
        device_id: the UUID that the platform knows the device by.
        key: proves that it is the device.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    device_id: str
    key: Secret


class _Refused(Exception):
    """The platform does not let the device in; the text is its reason."""


class Connection:
    """The connection of one device, over and over.

    Args:
        account: where to connect, and as whom.
        outbox: what is to be sent.
        pulse: how often the device gives signs of life.
        settings: limits and times.
        counts: of the device.
        deliver: gets commands, and messages of unknown types.
        begun: is called whenever the platform has let the device in.

    Attributes:
        session: while the device is connected.
        refusal: why the platform does not let the device in, `None` as long as it has not said so.
    """

    def __init__(
        self,
        account: Account,
        outbox: Outbox,
        pulse: Pulse,
        settings: DeviceSettings,
        counts: DeviceCounts,
        *,
        deliver: Deliver,
        begun: Callable[[], object],
    ) -> None:
        self._account = account
        self._where = f"{account.host}:{account.port}"
        self._outbox = outbox
        self._pulse = pulse
        self._settings = settings
        self._counts = counts
        self._deliver = deliver
        self._begun = begun
        self._backoff = Backoff(settings.schedule)
        self._connected = anyio.Event()
        self._silent: str | None = None  # the address that answered nothing lately
        self.session: PlatformSession | None = None
        self.refusal: str | None = None

    async def connected(self) -> None:
        """Wait until the platform has let the device in."""
        while self.session is None:
            await self._connected.wait()

    async def send(self, line: bytes) -> bool:
        """Send a line if the device is connected; returns whether it left."""
        if self.session is None:
            return False
        try:
            await self.session.link.send(line)
        except LinkLost:  # the session notices it too
            return False
        return True

    async def run(self) -> None:
        """Be connected, as far as the network lets it."""
        while True:
            pause = await self._connect_once()
            logger.debug("connecting again in %.1f s", pause)
            await anyio.sleep(pause)

    async def _connect_once(self) -> float:
        """Connect and stay so as long as possible; returns the seconds until the next attempt."""
        try:
            lived = await self._connect_and_run()
        except LinkLost as lost:
            self._counts.failed_connections += 1
            logger.warning("%s: not connected: %s", self._where, lost, extra=about(self._where))
            return self._backoff.after_failure()
        except _Refused as refused:
            pause = self._backoff.after_refusal()
            self._counts.refusals += 1
            level = logging.INFO if self.refusal == str(refused) else logging.ERROR
            self.refusal = str(refused)
            logger.log(
                level,
                "%s refuses device %s: %.200s; trying again in %.0f s",
                *(self._where, self._account.device_id, self.refusal, pause),
            )
            return pause
        return self._backoff.after_connection(lived)

    async def _connect_and_run(self) -> float:
        """Connect; returns the seconds that the connection lived.

        Raises:
            LinkLost: no connection could be had, or the platform did not let the device in.
            _Refused: it said no.
        """
        account = self._account
        patience = self._pulse.seconds(anyio.current_time())
        link = Link(patience, self._settings.line, account.key.mask)
        seconds = self._settings.connect_seconds
        host, port = account.host, account.port
        await link.open(host, port, account.tls, seconds=seconds, last=self._silent)
        try:
            try:
                acknowledges = await self._authenticate(link)
            except LinkSilent:
                self._silent = link.address
                raise
            self._silent = None
            began = anyio.current_time()
            session = PlatformSession(
                link,
                self._outbox,
                acknowledges=acknowledges,
                pulse=self._pulse,
                settings=self._settings,
                counts=self._counts,
                deliver=self._deliver,
            )
            self._begin(session)
            try:
                await session.run()
            except* LinkLost as lost:
                logger.warning("%s: %s", self._where, lost.exceptions[0], extra=about(self._where))
                if lost.subgroup(LinkSilent) is not None:
                    self._silent = link.address
                if lost.subgroup(LinkClosed) is None:
                    self._pulse.lose(anyio.current_time())
            return anyio.current_time() - began
        finally:
            self.session = None
            with anyio.CancelScope(shield=True):
                await link.part(min(_PARTING_SECONDS, self._settings.close_seconds))

    async def _authenticate(self, link: Link) -> bool:
        """Say who we are; returns whether the platform acknowledges data."""
        payload = AuthPayload(
            device_id=self._account.device_id,
            device_key=self._account.key.reveal(),
            ext=[ACK],
            outbox_id=self._outbox.id,
        )
        await link.send(encode_line(Auth(payload=payload)), secret=True)
        with anyio.move_on_after(self._settings.auth_seconds):
            while True:
                try:
                    message = decode_from_platform(await link.receive())
                except MalformedFrame:
                    self._counts.malformed += 1
                    continue
                if isinstance(message, AuthResponse):
                    return self._understand(message.payload)
        raise LinkSilent("the platform does not answer the authentication")

    def _understand(self, result: AuthResult) -> bool:
        if result.status == "error":
            said = result.message
            # A sentence that all platforms say holds no key, though a bad one may be a word of it.
            said = said if said == REFUSAL else self._account.key.mask(said)
            raise _Refused(said or "no reason given")
        return ACK in result.ext

    def _begin(self, session: PlatformSession) -> None:
        self._counts.connections += 1
        self.refusal = None
        self.session = session
        self._connected.set()
        self._connected = anyio.Event()
        logger.info("%s: connected", self._where, extra=about(self._where))
        self._begun()
