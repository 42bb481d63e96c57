"""A bus on NATS: core subjects, which nobody keeps.

https://docs.nats.io/nats-concepts/core-nats
"""

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from .addresses import NatsAddress, NatsServer, without
from .remote import Link, LinkLost, Pace, RemoteBus
from .subjects import is_subject
from .subscribers import Hint

_CLOSE_SECONDS = 1.0


class NatsBus(RemoteBus):
    """Subjects of NATS servers, which are tried in their order.

    Args:
        url: as `NatsAddress.parse` takes it.
        pace: times and bounds.

    Raises:
        UsageError: that is no such URL.
        OSError: the file of the authority cannot be read.
    """

    def __init__(self, url: str, pace: Pace | None = None) -> None:
        self._place = NatsAddress.parse(url)
        super().__init__(self._place.shown, pace)
        self._tls = None
        if self._place.scheme == "tls":
            self._tls = ssl.create_default_context(cafile=self._place.ca)

    async def _connect(self) -> Link:
        reasons: list[str] = []
        for server in self._place.servers:
            link = _NatsLink(self._place, self._pace.patience, self)
            try:
                await link.connect(server, self._tls)
            except LinkLost as error:
                reasons.append(f"{server.url}: {error}")
            else:
                return link
        raise LinkLost("; ".join(reasons))

    def hear(self, pattern: str, hint: Hint) -> None:
        """Take a hint of another node."""
        self.counts.received += 1
        self._subscribers.deliver_to(pattern, *hint)


class _NatsLink(Link):
    def __init__(self, place: NatsAddress, patience: float, bus: "NatsBus") -> None:
        self._place = place
        self._patience = patience
        self._bus = bus
        self._client = _Client(needs_tls=place.scheme == "tls")
        self._heard: dict[str, Subscription] = {}
        self._problem = ""
        self._flushing: asyncio.Future[None] | None = None
        self._waiting = anyio.CancelScope()

    async def connect(self, server: NatsServer, tls: ssl.SSLContext | None) -> None:
        """Connect to one server."""
        try:
            async with self._answering():
                await self._client.connect(
                    [f"nats://{server.url}"],
                    error_cb=self._failed,
                    closed_cb=self._closed,
                    name="novacloud",
                    allow_reconnect=False,  # the bus does it, for all its carriers alike
                    connect_timeout=math.ceil(self._patience),
                    no_echo=True,
                    tls=tls,
                    tls_hostname=server.host,
                    user=server.user,
                    password=server.password,
                    token=server.token,
                )
        except BaseException:
            await self.aclose()
            raise

    def is_over(self) -> bool:
        return self._client.is_closed or bool(self._problem)

    async def listen(self, patterns: Sequence[str], no_more: Sequence[str]) -> None:
        async with self._answering():
            for pattern in patterns:
                if pattern not in self._heard:
                    self._heard[pattern] = await self._client.subscribe(
                        f"{self._place.prefix}.{pattern}", cb=partial(self._hear, pattern)
                    )
            for pattern in no_more:
                if (subscription := self._heard.pop(pattern, None)) is not None:
                    await subscription.unsubscribe()
            await self._flush()

    async def send(self, hints: Sequence[Hint]) -> None:
        most = self._client.max_payload
        async with self._answering():
            for subject, payload in hints:
                text = payload if len(payload) <= most else b""
                await self._client.publish(f"{self._place.prefix}.{subject}", text)
            await self._flush()

    async def aclose(self) -> None:
        # An AssertionError says that it got not so far that there is something to close.
        harmless = suppress(nats.errors.Error, OSError, AssertionError)
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True), harmless:
            await self._client.close()
        if self._flushing is not None:
            self._flushing.cancel()

    async def _flush(self) -> None:
        """Wait until the server has all that it was sent."""
        # Not to be cancelled while the connection is read: its reader fails at an answer that
        # nobody waits for, and hears no more.
        self._flushing = asyncio.ensure_future(self._client.flush())
        self._flushing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._flushing)

    @asynccontextmanager
    async def _answering(self) -> AsyncGenerator[None, None]:
        """Wait so long as the server has to answer, and no longer than there is a connection."""
        self._waiting = anyio.CancelScope(deadline=anyio.current_time() + self._patience)
        if self.is_over():
            self._waiting.cancel()
        try:
            with self._waiting:
                yield
        except (OSError, nats.errors.Error) as error:
            raise LinkLost(self._problem or self._said(error)) from error
        if self._waiting.cancel_called:
            silent = "the connection ended" if self._client.is_closed else "does not answer"
            raise LinkLost(self._problem or silent)

    async def _hear(self, pattern: str, message: Msg) -> None:
        subject = message.subject[len(self._place.prefix) + 1 :]
        if is_subject(subject):
            self._bus.hear(pattern, Hint(subject, message.data))

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self._bus.hear_nothing()
            return
        self._problem = self._said(error)
        await self._closed()

    async def _closed(self) -> None:
        self._waiting.cancel()
        self._bus.look()

    def _said(self, error: Exception) -> str:
        return without(str(error) or type(error).__name__, self._place.secrets)


class _Client(Client):
    """Tells a server nothing without TLS where TLS was asked for."""

    def __init__(self, *, needs_tls: bool) -> None:
        super().__init__()
        self._needs_tls = needs_tls

    def _connect_command(self) -> bytes:
        if self._needs_tls and not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server does not ask for TLS, which tls:// is")
        return super()._connect_command()
