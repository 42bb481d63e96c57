"""A bus on PostgreSQL: LISTEN and NOTIFY, over a connection of its own.

https://www.postgresql.org/docs/current/sql-notify.html
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
import asyncpg

from ..undisturbed import Undisturbed
from .addresses import postgres_shown, without
from .remote import Link, LinkLost, Pace, RemoteBus
from .subjects import is_subject
from .subscribers import Hint

CHANNEL = "novacloud"
MOST_TEXT = 7999  # bytes of a notification

_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
_SILENT = "does not answer"
_SEND = f"SELECT count(pg_notify('{CHANNEL}', text)) FROM unnest($1::text[]) text"


class PostgresBus(RemoteBus):
    """Notifications of a database.

    Args:
        url: of the database, `postgresql://…`.
        pace: times and bounds.

    Raises:
        UsageError: that is no such URL.
    """

    def __init__(self, url: str, pace: Pace | None = None) -> None:
        super().__init__(postgres_shown(url), pace)
        self._url = url
        self._undisturbed = Undisturbed()
        parts = urlsplit(url)
        password = parts.password or dict(parse_qsl(parts.query)).get("password") or ""
        self._secrets = [text for text in (password, unquote(password)) if text]

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None, None]:
        try:
            async with super()._running():
                yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._undisturbed.settle()

    async def _connect(self) -> Link:
        try:
            connection = await self._undisturbed.wait_for(
                asyncpg.connect(
                    self._url,
                    timeout=self._pace.patience,
                    server_settings={"application_name": "novacloud bus"},
                ),
                _end,
            )
        except (*_FAILURES, ValueError) as error:
            raise LinkLost(self.said(error)) from error
        return _PostgresLink(connection, self._pace.patience, self)

    def hear(self, hint: Hint) -> None:
        """Take a hint of another node."""
        self.counts.received += 1
        self._subscribers.deliver(*hint)

    def said(self, error: Exception) -> str:
        """What an error says, without passwords."""
        if isinstance(error, TimeoutError):
            return _SILENT
        return without(str(error) or type(error).__name__, self._secrets)


class _PostgresLink(Link):
    def __init__(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        patience: float,
        bus: PostgresBus,
    ) -> None:
        self._connection = connection
        self._patience = patience
        self._bus = bus
        self._own_pid = connection.get_server_pid()
        self._is_listening = False
        connection.add_termination_listener(lambda _: bus.look())

    def is_over(self) -> bool:
        return self._connection.is_closed()

    async def listen(self, patterns: Sequence[str], no_more: Sequence[str]) -> None:
        if not self._is_listening:  # to all, which the server does not tell apart
            self._is_listening = True
            async with self._answering():
                await self._connection.add_listener(CHANNEL, self._notified)

    async def send(self, hints: Sequence[Hint]) -> None:
        texts = [encode(number, hint) for number, hint in enumerate(hints)]
        async with self._answering():
            await self._connection.fetchval(_SEND, texts)

    async def aclose(self) -> None:
        self._connection.terminate()

    @asynccontextmanager
    async def _answering(self) -> AsyncGenerator[None, None]:
        """Wait so long as the server has to answer."""
        # A connection that is cut off gives up its query at once; one that is cancelled would ask
        # the server to cancel it, over another connection.
        loop = asyncio.get_running_loop()
        impatience = loop.call_later(self._patience, self._connection.terminate)
        try:
            yield
        except Exception as error:
            # What asyncpg says of a connection that ends between two of its steps may be anything.
            if not (isinstance(error, _FAILURES) or self.is_over()):
                raise
            is_late = loop.time() >= impatience.when()
            raise LinkLost(_SILENT if is_late else self._bus.said(error)) from error
        finally:
            impatience.cancel()

    def _notified(self, _: object, pid: int, channel: str, payload: object) -> None:
        if pid != self._own_pid and (hint := decode(str(payload))) is not None:
            self._bus.hear(hint)


async def _end(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    connection.terminate()


def encode(number: int, hint: Hint) -> str:
    """The text of a notification.

    Args:
        number: another one for each hint of a transaction, since PostgreSQL leaves out repeats.
        hint: what to tell; its payload is left out if it is too long.
    """
    subject, payload = hint
    if payload.isascii() and b"\0" not in payload:
        text = f"{number} {subject} ={payload.decode()}"
    else:
        text = f"{number} {subject} :{base64.b64encode(payload).decode()}"
    return text if len(text) <= MOST_TEXT else f"{number} {subject} ="


def decode(text: str) -> Hint | None:
    """The hint of a notification, `None` if it is none: everybody can notify who can connect."""
    _, _, rest = text.partition(" ")
    subject, _, body = rest.partition(" ")
    if not is_subject(subject):
        return None
    if body.startswith("="):
        return Hint(subject, body[1:].encode(errors="replace"))
    with suppress(ValueError):
        if body.startswith(":"):
            return Hint(subject, base64.b64decode(body[1:], validate=True))
    return None
