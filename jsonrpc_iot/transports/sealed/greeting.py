"""Connecting to a sealed server: the handshake, and what is wrong when there is none."""

import math
import secrets
from typing import Any

import anyio
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ...channel.clock import in_time, now
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
_DOUBTS = 3
"""So many times a lossy link may have lost hellos rather than that nobody knows the key."""

_WRONG_KEY = "something answers there, but not to this key: it has another one, or none"
_NOBODY = "nothing answers there, neither to hellos with this key nor to rpc.ping"

_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class _Head(Struct):
    id: Any | UnsetType = UNSET
    method: Raw | UnsetType = UNSET


class _Ping:
    """Requests that are not sealed, to find out whether anybody is there at all.

    Attributes:
        answers: how many were answered.
    """

    def __init__(self, codec: CodecName) -> None:
        form: Any = msgspec.json if codec == "json" else msgspec.msgpack
        self._decode = form.Decoder(_Head).decode
        self._encode = form.encode
        self._id: int | None = None
        self.answers = 0

    def message(self) -> bytes:
        """The next request, which is the one that may be answered."""
        self._id = secrets.randbelow(1 << 31)
        message: bytes = self._encode({"method": "rpc.ping", "id": self._id})
        return message

    def is_answered_by(self, messages: list[bytes]) -> bool:
        """Whether the answer is among some messages; each request has one."""
        for message in messages:
            try:
                head = self._decode(message)
            except DECODE_ERRORS:
                continue
            if self._id is not None and head.id == self._id and head.method is UNSET:
                self._id = None
                self.answers += 1
                return True
        return False


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
    """Send hellos until there is a session, or it is clear that there will be none.

    Where messages get lost an answered ping says little: the hellos before it, or their welcomes,
    may be among them, or nobody was there yet. Then more of both are sent.
    """
    seal, info = channel.seal, channel.info
    begin = now()
    give_up = begin + in_time(math.inf)
    ping, doubts = _Ping(info.codec), 0 if info.reliable else _DOUBTS
    ping_at = begin + max(_PING_SECONDS, info.retry_seconds)
    try:
        seal.begin(begin)
        while not seal.is_open:
            await channel.send_due()
            at = now()
            if at >= ping_at:
                await inner.send(ping.message())
                ping_at = at + max(2 * _PING_SECONDS, 2 * info.retry_seconds)
            is_answered = False
            with anyio.CancelScope(deadline=min(seal.due, ping_at, give_up)):
                is_answered = ping.is_answered_by(channel.open(await inner.receive_batch())[1])
            if seal.is_open:
                break
            at = now()
            if at >= give_up or ping.answers > doubts:
                raise ConnectFailed(f"{url}: {_WRONG_KEY if ping.answers else _NOBODY}")
            if is_answered:
                seal.insist(at)
                ping_at = at + info.retry_seconds  # after the welcome, if there is one
        if channel.info.reliable:
            seal.prove(now())
            await channel.send_due()
    except _GONE as error:
        why = str(error) or "it hung up on a sealed hello"
        raise ConnectFailed(f"{url}: {why}") from None
