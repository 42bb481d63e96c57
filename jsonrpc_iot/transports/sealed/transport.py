"""A transport whose links are sealed, for those who have a key."""

import logging
from collections.abc import Callable

import anyio

from ...channel.contract import Channel, Listener, Serve, Transport, read_url
from ...channel.url import Url
from ...channel.wrappers import WrappedListener
from ...errors import MissingExtra
from ...protocol.about import about
from ...protocol.limits import Limits
from ...protocol.seal.crypto import Crypto
from ...protocol.seal.packets import BASE64, Form
from ..packets.demux import DemuxListener
from ..packets.gate import Keys
from ..secrets import check_place
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

    def read_url(self, url: Url) -> None:
        """Check a URL to connect to, all but its key, which may come later."""
        form_of(url)
        check_place(url, NAME)
        read_url(self._inner, without_key(url))

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

            def seal(listener: Listener) -> None:
                assert isinstance(listener, DemuxListener)
                listener.demux.seal_with(crypto, keys)

            seal(inner)
            return WrappedListener(inner, option, prepare=seal)
        if form is BASE64 or url.scheme in _LINKS:
            return WrappedListener(inner, option, _around_connections(crypto, keys, form))
        return WrappedListener(inner, option, _around_lines(crypto, keys, form, limits))

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


def _around_connections(crypto: Crypto, keys: Keys, form: Form) -> Callable[[Serve], Serve]:
    """What serves connections, each of which is sealed or not."""

    def around(handler: Serve) -> Serve:
        async def serve(inner: Channel) -> None:
            channel: Channel | None = None
            try:
                channel = await admit(inner, crypto, keys, form)
            except _ENDED as error:
                logger.info(
                    "%s: gone before it said anything: %r",
                    inner.info.peer,
                    error,
                    extra=about(inner.info.peer),
                )
            finally:
                if channel is None:
                    await anyio.aclose_forcefully(inner)
            if channel is not None:
                await handler(channel)

        return serve

    return around


def _around_lines(
    crypto: Crypto, keys: Keys, form: Form, limits: Limits
) -> Callable[[Serve], Serve]:
    """What serves lines that plain and sealed ends share."""

    def around(handler: Serve) -> Serve:
        async def serve(inner: Channel) -> None:
            await SharedLine(inner, crypto, keys, form, limits).serve(handler)

        return serve

    return around
