"""Connecting to a sealed server: the handshake, and what is wrong when there is none."""

import secrets
from math import inf
from typing import Any

import anyio
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ...channel.clock import now
from ...channel.contract import Channel
from ...channel.url import Url
from ...errors import ConnectFailed
from ...protocol.codec.codec import DECODE_ERRORS
from ...protocol.messages import CodecName
from ...protocol.seal.client import ClientSeal
from ...protocol.seal.crypto import Crypto
from ...trust.keys import SharedKey
from .client import SealedChannel
from .keys import form_of

_PING_SECONDS = 1.0
_MARGIN = 0.1
"""Of the time to connect in, what is left to say why it was not enough."""

_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class _Head(Struct):
    id: Any | UnsetType = UNSET
    method: Raw | UnsetType = UNSET


class _Ping:
    """A request that is not sealed, to find out whether anybody is there at all."""

    def __init__(self, codec: CodecName) -> None:
        form: Any = msgspec.json if codec == "json" else msgspec.msgpack
        self._decode = form.Decoder(_Head).decode
        self._id = secrets.randbelow(1 << 31)
        self.message: bytes = form.encode({"method": "rpc.ping", "id": self._id})
        self.answered_at = inf

    def look_at(self, messages: list[bytes]) -> None:
        """See whether the answer is among some messages."""
        for message in messages:
            try:
                head = self._decode(message)
            except DECODE_ERRORS:
                continue
            if head.id == self._id and head.method is UNSET and self.answered_at == inf:
                self.answered_at = now()


async def sealed_channel(
    inner: Channel, url: Url, crypto: Crypto, key: SharedKey, instance: bytes | None
) -> SealedChannel:
    """Shake hands with a server.

    Args:
        inner: leads to it; it is closed if that fails.
        url: of the server.
        crypto: the primitives.
        key: that both have.
        instance: tells this client from others; random by default.

    Raises:
        ConnectFailed: it does not know the key, nobody is there, or the link is too narrow.
    """
    try:
        form = form_of(url)
        inner.take_also(form.is_packet)
        info = inner.info
        if info.max_message is not None and info.max_message < form.least:
            raise ConnectFailed(f"{url}: it takes {info.max_message} bytes, too few to be sealed")
        # A server behind a broker that starts anew knows no session, and the broker stays.
        in_order = info.reliable and not info.is_shared
        instance = instance or crypto.random(8)
        seal = ClientSeal(
            crypto, key.key, instance, retry_seconds=info.retry_seconds, in_order=in_order
        )
        channel = SealedChannel(inner, seal, form, in_order=in_order)
        await _greet(channel, inner, url)
    except BaseException:
        await anyio.aclose_forcefully(inner)
        raise
    return channel


async def _greet(channel: SealedChannel, inner: Channel, url: Url) -> None:
    """Send hellos until there is a session, or it is clear that there will be none."""
    seal, info = channel.seal, channel.info
    begin = now()
    left = anyio.current_effective_deadline() - begin
    give_up = begin + left * (1 - _MARGIN)
    ping = _Ping(info.codec)
    patience = 0.0 if info.reliable else info.retry_seconds  # with a welcome that is overtaken
    ping_at = begin + max(_PING_SECONDS, info.retry_seconds)
    try:
        seal.begin(begin)
        while not seal.is_open:
            await channel.send_due()
            at = now()
            if at >= ping_at:
                await inner.send(ping.message)
                ping_at = at + max(2 * _PING_SECONDS, 2 * info.retry_seconds)
            due = min(seal.due, ping_at, ping.answered_at + patience, give_up)
            with anyio.CancelScope(deadline=due):
                ping.look_at(channel.open(await inner.receive_batch())[1])
            if not seal.is_open:
                _check(url, ping.answered_at, patience, give_up)
        if channel.info.reliable:
            seal.prove(now())
            await channel.send_due()
    except _GONE as error:
        why = str(error) or "it hung up on a sealed hello"
        raise ConnectFailed(f"{url}: {why}") from None


def _check(url: Url, answered_at: float, patience: float, give_up: float) -> None:
    """Say why there is no session, once that is clear.

    Raises:
        ConnectFailed: it is.
    """
    at = now()
    if at >= min(answered_at + patience, max(give_up, answered_at)):
        raise ConnectFailed(
            f"{url}: something answers there, but not to this key: it has another one, or none"
        )
    if at >= give_up:
        raise ConnectFailed(
            f"{url}: nothing answers there, neither to hellos with this key nor to rpc.ping"
        )
