"""A transport whose links are sealed, for those who have a key."""

import logging
from collections.abc import Sequence

import anyio
from anyio.abc import TaskGroup

from ...channel.contract import Channel, Listener, Serve, Transport
from ...channel.url import Url
from ...errors import MissingExtra
from ...protocol.limits import Limits
from ...protocol.seal.crypto import Crypto
from ...protocol.seal.packets import BASE64, Form
from ..packets.demux import DemuxListener
from ..packets.gate import Keys
from .greeting import sealed_channel
from .keys import NAME, both, form_of, key_of, primitives, without_key
from .line import SharedLine
from .link import admit

logger = logging.getLogger("jsonrpc_iot.transports")

_ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
_LINKS = ("memory",)
"""Beside streams, what leads to one other end each."""


class SealedTransport:
    """A transport whose URLs have the option `psk`.

    Args:
        inner: carries the packets.
        keys: finds keys that open, beside that of the URL; serving only.
        instance: tells this client from others with the same key; connecting only.
    """

    def __init__(self, inner: Transport, keys: Keys | None, instance: bytes | None) -> None:
        self._inner = inner
        self._keys = keys
        self._instance = instance

    async def connect(self, url: Url, limits: Limits) -> Channel:
        """Open a channel; see `Transport.connect`."""
        key = key_of(url)
        if key is None:
            return await self._inner.connect(url, limits)
        form_of(url)
        crypto = primitives(url)
        channel = await self._inner.connect(without_key(url), limits)
        return await sealed_channel(channel, url, crypto, key, self._instance)

    async def listen(self, url: Url, limits: Limits) -> Listener:
        """Bind a URL; see `Transport.listen`."""
        own = key_of(url)
        crypto = self._crypto(url, is_asked_for=own is not None)
        inner = await self._inner.listen(without_key(url), limits)
        if crypto is None:
            return inner
        keys, form = both(own, self._keys), form_of(url)
        option = f"{NAME}={url.options[NAME]}" if own is not None else ""
        if isinstance(inner, DemuxListener):
            inner.demux.seal_with(crypto, keys)
            return SealedListener(inner, option)
        if form is BASE64 or url.scheme in _LINKS:
            return LinkListener(inner, option, crypto, keys, form)
        return LineListener(inner, option, crypto, keys, form, limits)

    def _crypto(self, url: Url, *, is_asked_for: bool) -> Crypto | None:
        """What to compute with, `None` where nothing can be sealed.

        Raises:
            InvalidUrl: the URL asks for it, but several servers may get its packets.
            MissingExtra: it asks for it, and the extra is not installed.
        """
        if "share" in url.options:
            if is_asked_for:
                raise url.error(f"with share= any server may get a packet: leave out {NAME}=")
            logger.info("%s: no sealed links there, with share=", url)
            return None
        form_of(url)
        try:
            return primitives(url)
        except MissingExtra as missing:
            if is_asked_for:
                raise
            logger.info("%s", missing)
            return None


class SealedListener(Listener):
    """A listener whose channels may be sealed.

    Args:
        inner: accepts the channels of packets.
        option: what a client's URL needs for that; empty where that depends on the client.
    """

    def __init__(self, inner: Listener, option: str) -> None:
        self._inner = inner
        self._option = option

    @property
    def addresses(self) -> Sequence[str]:
        """The inner listener's, with the option that a client needs too."""
        if not self._option:
            return self._inner.addresses
        return [
            f"{address}{'&' if '?' in address else '?'}{self._option}"
            for address in self._inner.addresses
        ]

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach it."""
        return self._inner.is_exposed

    @property
    def is_shared(self) -> bool:
        """Whether its channels have no socket of their own, and end with it."""
        return self._inner.is_shared

    @property
    def reads_files(self) -> bool:
        """Whether there is anything that `reload` reads."""
        return self._inner.reads_files

    def reload(self) -> None:
        """See `Listener.reload`."""
        self._inner.reload()

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        await self._inner.serve(handler, task_group)

    async def aclose(self) -> None:
        """Close the inner listener."""
        await self._inner.aclose()


class LinkListener(SealedListener):
    """Accepts connections, each of which is sealed or not.

    Args:
        inner: accepts them.
        option: as in `SealedListener`.
        crypto: the primitives.
        keys: finds the keys that open.
        form: how packets travel.
    """

    def __init__(
        self, inner: Listener, option: str, crypto: Crypto, keys: Keys, form: Form
    ) -> None:
        super().__init__(inner, option)
        self._seal = crypto, keys, form

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""

        async def serve_one(inner: Channel) -> None:
            channel: Channel | None = None
            try:
                channel = await admit(inner, *self._seal)
            except _ENDED as error:
                logger.info("%s: gone before it said anything: %r", inner.info.peer, error)
            finally:
                if channel is None:
                    await anyio.aclose_forcefully(inner)
            if channel is not None:
                await handler(channel)

        await self._inner.serve(serve_one, task_group)


class LineListener(SealedListener):
    """Serves lines that plain and sealed ends share.

    Args:
        inner: accepts them.
        option: as in `SealedListener`.
        crypto: the primitives.
        keys: finds the keys that open.
        form: how packets travel.
        limits: bounds on what peers may cost.
    """

    def __init__(
        self,
        inner: Listener,
        option: str,
        crypto: Crypto,
        keys: Keys,
        form: Form,
        limits: Limits,
    ) -> None:
        super().__init__(inner, option)
        self._line = crypto, keys, form, limits

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""

        async def serve_line(inner: Channel) -> None:
            await SharedLine(inner, *self._line).serve(handler)

        await self._inner.serve(serve_line, task_group)
