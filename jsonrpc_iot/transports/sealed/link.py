"""The server's end of a connection, which is sealed or not: its first message decides.

For links that lose nothing and lead to one other end each, such as TCP.
"""

from collections.abc import Mapping, Sequence
from math import inf

import anyio
from msgspec import structs

from ...channel.clock import now
from ...channel.contract import Channel
from ...channel.drops import added
from ...channel.info import ChannelInfo
from ...channel.wrappers import WrappedChannel
from ...protocol.seal.crypto import Crypto
from ...protocol.seal.packets import Form
from ...protocol.seal.server import Seat, ServerSeal
from ...trust.principal import Principal
from ..packets.gate import Keys
from .client import BROKEN, USED_UP

_FIRST_SECONDS = 3.0
"""Who says nothing for so long has no sealed link in mind: it sends its hello at once."""
_PROOF_SECONDS = 10.0

_SESSIONS = 4  # the last one, and what was before it


async def admit(inner: Channel, crypto: Crypto, keys: Keys, form: Form) -> Channel | None:
    """Find out whether somebody who has connected speaks sealed.

    What is not sealed and comes between a hello and the first sealed message goes unanswered.

    Args:
        inner: leads there; nothing has been received.
        crypto: the primitives.
        keys: finds the keys that open.
        form: how packets travel.

    Returns:
        The channel to serve; `None` for somebody who has said hello, and does not go on.

    Raises:
        anyio.EndOfStream: and the like, as `inner` does.
    """
    seal: ServerSeal[None, Principal] = ServerSeal(
        crypto, keys, max_sessions=_SESSIONS, in_order=True, idle_seconds=inf
    )
    has_begun = False
    with anyio.move_on_after(_FIRST_SECONDS) as patience:
        while True:
            batch = await inner.receive_batch()
            for place, message in enumerate(batch):
                packet = form.unwrap(message) if form.is_packet(message) else None
                if packet is None:
                    if has_begun:  # its rpc.ping, since it waits long for the welcome
                        continue
                    return _Resumed(inner, batch[place:])
                taken = seal.take(packet, None, now())
                if isinstance(taken, bytes):
                    await inner.send(form.wrap(taken))
                    if not has_begun:  # once: a hello that was recorded gets a welcome, too
                        has_begun, patience.deadline = True, now() + _PROOF_SECONDS
                elif taken is not None:
                    return SealedLink(inner, seal, form, taken, batch[place + 1 :])
    return None if has_begun else _Resumed(inner, [])


class _Resumed(WrappedChannel):
    """A channel of which some messages have been received already.

    Args:
        inner: carries the messages.
        received: what is received first.
    """

    def __init__(self, inner: Channel, received: list[bytes]) -> None:
        super().__init__(inner)
        self._received = received[::-1]

    async def receive(self) -> bytes:
        return self._received.pop() if self._received else await self._inner.receive()

    async def receive_batch(self) -> list[bytes]:
        if not self._received:
            return await self._inner.receive_batch()
        received, self._received = self._received[::-1], []
        return received


class SealedLink(WrappedChannel):
    """A connection whose other end has proved that it has a key.

    It ends when something comes that is not sealed, or not with the next number.

    Args:
        inner: carries the packets.
        seal: makes and opens them.
        form: how they travel.
        first: the seat of the other end, and its first message.
        received: what came after that, as it came.
    """

    def __init__(
        self,
        inner: Channel,
        seal: ServerSeal[None, Principal],
        form: Form,
        first: tuple[Seat, bytes],
        received: list[bytes],
    ) -> None:
        super().__init__(inner)
        self._seat, message = first
        largest = inner.info.max_message
        self._info = structs.replace(
            inner.info,
            max_message=None if largest is None else form.largest(largest),
            is_sealed=True,
        )
        self._seal = seal
        self._form = form
        self._opened = [message] if message else []
        self._received = received
        self._is_broken = False
        self._sending = anyio.Lock(fast_acquire=True)

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    @property
    def principal(self) -> Principal | None:
        """See `Channel.principal`."""
        return self._seal.principal(self._seat)

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Channel.drops`."""
        return added((self._inner.drops, self._seal.drops))

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        while not self._opened:
            await self._open_next()
        return self._opened.pop(0)

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        while not self._opened:
            await self._open_next()
        opened, self._opened = self._opened, []
        return opened

    async def _open_next(self) -> None:
        if self._is_broken:
            raise anyio.BrokenResourceError(BROKEN)
        received = self._received or await self._inner.receive_batch()
        self._received = []
        at = now()
        answers = []
        for each in received:
            packet = self._form.unwrap(each) if self._form.is_packet(each) else None
            taken = None if packet is None else self._seal.take(packet, None, at)
            if isinstance(taken, bytes):
                answers.append(self._form.wrap(taken))
            elif taken is not None and taken[0] == self._seat:
                self._opened += filter(None, taken[1:])
            else:
                self._is_broken = True
                break
        if answers:
            async with self._sending:
                await self._inner.send_batch(answers)

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send nothing: what is sealed has to leave in its order."""
        return 0

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        await self.send_batch((item,))

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages; see `Channel.send_batch`."""
        async with self._sending:
            await self._inner.send_batch([self._packet(message) for message in messages])

    def _packet(self, message: bytes) -> bytes:
        found = self._seal.seal(self._seat, message)
        if found is None:
            raise anyio.BrokenResourceError(USED_UP)
        return self._form.wrap(found[0])
