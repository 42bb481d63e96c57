"""Channels made of something else: of any stream, of another channel, and one that is traced."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from anyio.abc import ObjectStream, TaskGroup

from ..protocol.unproved import Unproved
from ..trust.principal import Principal
from .contract import Channel, Listener, Serve, TellFailed, Trace
from .info import ChannelAttribute, ChannelInfo
from .masking import masking
from .url import with_option


@final
class StreamChannel(Channel):
    """Any anyio object stream of whole messages as a channel.

    Args:
        stream: carries one message per item.
        info: the facts about it.
    """

    def __init__(self, stream: ObjectStream[bytes], info: ChannelInfo) -> None:
        self._stream = stream
        self._info = info

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        return await self._stream.receive()

    async def send(self, item: bytes) -> None:
        """Send one message; see `Channel.send`."""
        await self._stream.send(item)

    async def send_eof(self) -> None:
        """Say that no more messages will be sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close both directions."""
        await self._stream.aclose()


class WrappedChannel(Channel):
    """A channel that does all that another one does; what is made of it overrides what differs.

    One that changes messages overrides the batch methods too. `offer_to` is not passed on: what
    arrives is the wrapper's to receive.

    Args:
        inner: carries the messages.
    """

    def __init__(self, inner: Channel) -> None:
        self._inner = inner

    @property
    def info(self) -> ChannelInfo:
        return self._inner.info

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._inner.extra_attributes

    @property
    def principal(self) -> Principal | None:
        return self._inner.principal

    @property
    def unproved(self) -> Unproved | None:
        return self._inner.unproved

    def note_proved(self) -> None:
        self._inner.note_proved()

    @property
    def pieces_sent(self) -> int:
        return self._inner.pieces_sent

    @property
    def is_mid_message(self) -> bool:
        return self._inner.is_mid_message

    @property
    def noise_bytes(self) -> int:
        return self._inner.noise_bytes

    @property
    def missed(self) -> int:
        return self._inner.missed

    @property
    def drops(self) -> Mapping[str, int]:
        return self._inner.drops

    def check(self, message: bytes) -> None:
        self._inner.check(message)

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        self._inner.expect_within(message, seconds)

    def forget(self, message: bytes) -> None:
        self._inner.forget(message)

    def tell_failed(self, tell: TellFailed) -> None:
        self._inner.tell_failed(tell)

    def supersede(self, message: bytes) -> None:
        self._inner.supersede(message)

    def keep_while(self, is_busy: Callable[[], bool]) -> None:
        self._inner.keep_while(is_busy)

    def tell_why(self, reason: str) -> None:
        self._inner.tell_why(reason)

    def take_also(self, is_wanted: Callable[[bytes], bool]) -> None:
        self._inner.take_also(is_wanted)

    def trace_frames(self, trace: Trace) -> None:
        self._inner.trace_frames(trace)

    def follow(self, previous: Channel) -> None:
        self._inner.follow(previous._inner if isinstance(previous, WrappedChannel) else previous)

    def start(self, tasks: TaskGroup) -> None:
        self._inner.start(tasks)

    async def receive(self) -> bytes:
        return await self._inner.receive()

    async def receive_batch(self) -> list[bytes]:
        return await self._inner.receive_batch()

    def send_now(self, messages: Sequence[bytes]) -> int:
        return self._inner.send_now(messages)

    async def send(self, item: bytes) -> None:
        await self._inner.send(item)

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        await self._inner.send_batch(messages)

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        await self._inner.aclose()


@final
class TracedChannel(WrappedChannel):
    """A channel that shows what passes.

    Args:
        channel: carries the messages.
        trace: is called with each of them, and with what they travel in.
    """

    def __init__(self, channel: Channel, trace: Trace) -> None:
        super().__init__(channel)
        self._trace = trace = masking(trace)
        self._arrived, self._left = ("<*", "*>") if channel.info.is_sealed else ("<-", "->")
        channel.trace_frames(trace)

    async def receive(self) -> bytes:
        message = await self._inner.receive()
        self._trace(self._arrived, message)
        return message

    async def receive_batch(self) -> list[bytes]:
        messages = await self._inner.receive_batch()
        for message in messages:
            self._trace(self._arrived, message)
        return messages

    def send_now(self, messages: Sequence[bytes]) -> int:
        return 0  # each is shown before it leaves, and before its frames are

    async def send(self, item: bytes) -> None:
        self._trace(self._left, item)
        await self._inner.send(item)

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self._trace(self._left, message)
        await self._inner.send_batch(messages)


@final
class ProvenChannel(WrappedChannel):
    """A channel of which more is known than the link knows, to be judged by `authenticate`.

    Args:
        channel: carries the messages.
        principal: who is at the other end, `None` for a stranger.
        token: a bearer token that came by a message, `None` if none did.
    """

    def __init__(self, channel: Channel, principal: Principal | None, token: str | None) -> None:
        super().__init__(channel)
        self._principal = principal
        self._token = token

    @property
    def principal(self) -> Principal | None:
        return self._principal

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        known = self._inner.extra_attributes
        if self._token is None:
            return known
        return {**known, ChannelAttribute.bearer_token: lambda: self._token}


@final
class WrappedListener(Listener):
    """A listener whose channels are made into others, or need an option at the client.

    Args:
        inner: accepts the channels.
        option: what a client's URL needs too, as `name=value`; empty for nothing.
        around: makes what serves the inner channels of what serves those made of them; by default
            they stay as they are.
        prepare: makes a listener below the inner one like that.
    """

    def __init__(
        self,
        inner: Listener,
        option: str,
        around: Callable[[Serve], Serve] = lambda serve: serve,
        prepare: Callable[[Listener], object] = lambda inner: None,
    ) -> None:
        self._inner = inner
        self._option = option
        self._around = around
        self._prepare = prepare

    @property
    def addresses(self) -> Sequence[str]:
        """The inner listener's, with the option."""
        if not self._option:
            return self._inner.addresses
        return [with_option(address, self._option) for address in self._inner.addresses]

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach it."""
        return self._inner.is_exposed

    @property
    def drops(self) -> Mapping[str, int]:
        """What the inner listener has dropped; see `Listener.drops`."""
        return self._inner.drops

    @property
    def has_places(self) -> bool:
        """Whether there are places below its path."""
        return self._inner.has_places

    async def below(self, name: str) -> Listener | None:
        """A listener one step below the inner one, as this one is; see `Listener.below`."""
        inner = await self._inner.below(name)
        if inner is None:
            return None
        self._prepare(inner)
        return WrappedListener(inner, self._option, self._around, self._prepare)

    async def heard(self) -> None:
        """Wait until the inner listener hears; see `Listener.heard`."""
        await self._inner.heard()

    @property
    def is_shared(self) -> bool:
        """Whether its channels have no socket of their own, and end with it."""
        return self._inner.is_shared

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        await self._inner.serve(self._around(handler), task_group)

    async def aclose(self) -> None:
        """Close the inner listener."""
        await self._inner.aclose()
