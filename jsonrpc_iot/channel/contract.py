"""What a transport is to the rest: channels that carry whole messages, and listeners.

A transport implements these two contracts; everything above them is the same for all transports.
"""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from anyio.abc import AsyncResource, ObjectStream, TaskGroup

from ..errors import RpcError, TransportError
from ..protocol.limits import Limits
from ..protocol.unproved import Unproved
from ..trust.principal import Principal
from .info import ChannelInfo
from .url import Url

Trace = Callable[[str, bytes], object]
"""Is shown each message: `<-` for one that arrived, `->` for one that leaves, and its bytes.

Where messages travel in frames or in pieces, these are shown too, as they are on the link: `<=` for
what arrived, `=>` for what leaves, and `<?` for bytes that arrived and belong to no frame. Messages
that travel sealed are shown opened, as `<*` and `*>`. Asterisks stand for the token of
`rpc.authenticate`.
"""


TellFailed = Callable[[bytes, TransportError | RpcError], object]
"""Is told a message that nothing will answer, or its entry if it was a batch, and why."""


Take = Callable[[Sequence[bytes]], bool]
"""Handles messages there and then, if nobody has to wait for that; says whether it did."""


class Channel(ObjectStream[bytes]):
    """A stream of whole messages in both directions.

    A transport implements `info`, `receive`, `send`, `send_eof` and `aclose`, and `send_now` and
    the batch methods where it can do better than one message at a time. One task receives and one
    sends at a time; a `receive` that is cancelled loses no message.

    `principal`, `offer_to`, `rest`, `start`, `follow`, `check`, `expect_within`, `forget`,
    `supersede`, `tell_failed`, `keep_while`, `take_also`, `tell_why`, `trace_frames`,
    `pieces_sent`, `missed`, `noise_bytes`, `drops` and `is_mid_message` are for links that have to
    know, or have something to tell; others leave them.
    """

    @property
    def principal(self) -> Principal | None:
        """Who the other end has proved to be, as far as the link knows; `None` for a stranger."""
        return None

    @property
    def unproved(self) -> Unproved | None:
        """What may go to the other end while its address may be forged, `None` for anything."""
        return None

    def note_proved(self) -> None:
        """Learn that the other end has shown that it is at its address; see `unproved`."""
        return

    @property
    def pieces_sent(self) -> int:
        """A number that grows while a message leaves in pieces, so that slow is told from stuck."""
        return 0

    @property
    def is_mid_message(self) -> bool:
        """Whether part of a message has just arrived or left, so that more of it is to come."""
        return False

    @property
    def noise_bytes(self) -> int:
        """How many bytes have arrived that belong to no message, nor to anything else."""
        return 0

    @property
    def missed(self) -> int:
        """How many messages were dropped because they came faster than they were received."""
        return 0

    @property
    def drops(self) -> Mapping[str, int]:
        """How much was dropped here, by reason; see `channel.drops`."""
        return {"too_fast": self.missed, "noise_bytes": self.noise_bytes}

    def check(self, message: bytes) -> None:
        """Look at a notification before it is sent.

        Raises:
            Unencodable: the link has no form for it.
        """
        return

    def forget(self, message: bytes) -> None:
        """Stop sending a message for which nobody waits any more, if it is still leaving."""
        return

    def supersede(self, message: bytes) -> None:
        """Stop sending a message of which nothing has arrived yet: a marked copy is to follow."""
        return

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        """Learn that somebody waits for the answer to a message, so long, and until `forget`."""
        return

    def tell_failed(self, tell: TellFailed) -> None:
        """Tell from now on of each message that nothing will answer, though the channel goes on.

        The link refused it, or lost what would have answered it.
        """
        return

    def keep_while(self, is_busy: Callable[[], bool]) -> None:
        """Stay open while that says so, where silence would end the channel."""
        return

    def tell_why(self, reason: str) -> None:
        """Learn why this end is going to close, to tell the other end where the link can.

        Args:
            reason: one short sentence.
        """
        return

    def take_also(self, is_wanted: Callable[[bytes], bool]) -> None:
        """Receive also what is no message, where the link picks what it receives.

        Args:
            is_wanted: says what.
        """
        return

    def trace_frames(self, trace: Trace) -> None:
        """Show each frame or packet from now on, where these differ from the messages.

        Args:
            trace: is shown them, also those that carry something else than messages.
        """
        return

    def follow(self, previous: "Channel") -> None:
        """Take over what outlives a link from the channel to the same place that has ended."""
        return

    def start(self, tasks: TaskGroup) -> None:
        """Begin what goes on beside sending and receiving, in tasks that outlive the channel.

        Whoever uses a channel calls this first, once; a `Peer` does.
        """
        return

    @property
    @abstractmethod
    def info(self) -> ChannelInfo:
        """The facts about this channel."""

    @abstractmethod
    async def receive(self) -> bytes:
        """Wait for the next message.

        Raises:
            anyio.EndOfStream: the other end has closed the channel; the text, if any, says why.
            anyio.BrokenResourceError: the link is gone; the text, if any, says why.
            anyio.ClosedResourceError: this end has closed the channel.
            FramingError: the stream can no longer be cut into messages.
        """

    def offer_to(self, take: Take) -> None:
        """While somebody waits in `receive_batch`, offer what comes to a function first.

        That saves the event loop a pass and a change of tasks for each message. It is called by the
        event loop, outside of any task. What it does not take is received as usual, and so are all
        messages on links that cannot do this.
        """
        return

    def rest(self, wake: Callable[[], object]) -> bool:
        """Offer what comes to that function though nobody waits for it, so that no task has to.

        Args:
            wake: is called once when something has come that the function has left, the end of the
                channel too; whoever receives then gets it. The event loop calls it, outside of any
                task. Nobody hears it if somebody has received meanwhile.

        Returns:
            Whether it does; not where something waits to be received, or on links that cannot.
        """
        return False

    async def receive_batch(self) -> list[bytes]:
        """Wait until there is a message; return it with all others that came along."""
        return [await self.receive()]

    @abstractmethod
    async def send(self, item: bytes) -> None:
        """Send one message.

        Raises:
            anyio.BrokenResourceError: the link is gone.
            anyio.ClosedResourceError: this end has closed the channel.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Say that no more messages will be sent, and go on receiving.

        Raises:
            NotImplementedError: the link cannot be closed in one direction.
        """

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send messages without waiting, as far as the link takes them.

        What it did not take is given to this or to `send_batch` before anything else is sent: the
        first of these messages may have left in part.

        Returns:
            How many messages have left.

        Raises:
            anyio.BrokenResourceError: the link is gone.
            anyio.ClosedResourceError: this end has closed the channel.
        """
        return 0

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Send messages, in as few writes as the transport allows."""
        for message in messages:
            await self.send(message)


class Receiver(Protocol):
    """Takes the messages of a channel as they come."""

    @property
    def is_busy(self) -> bool:
        """Whether it still works on what it took."""

    @property
    def is_stranger(self) -> bool:
        """Whether the other end has said nothing valid so far."""

    @property
    def holds_replies(self) -> bool:
        """Whether it remembers what the other end may ask for again."""

    def take(self, messages: Sequence[bytes]) -> bool:
        """Handle messages if nobody has to wait for that; says whether it did."""

    async def handle(self, messages: Sequence[bytes]) -> None:
        """Handle messages; must not wait for the other end."""

    def end(self) -> None:
        """The channel is closed."""


class ReceivingChannel(Channel):
    """A channel that can hand out its messages by itself, so that an idle one needs no task."""

    @abstractmethod
    async def attach(self, receiver: Receiver) -> None:
        """Hand all messages to a receiver from now on, those that wait already first."""


Known = Principal | Container[str] | None
Authenticate = Callable[[Channel], Known | Awaitable[Known]]
"""Says who is at the other end of a channel, or what it may do; `None` for a stranger.

It has the last word: `channel.principal` is who the link or the keyring says it is. An `RpcError`
that it raises is the answer to all that the other end asks for.
"""

Serve = Callable[[Channel], Coroutine[Any, Any, None]]
_F = TypeVar("_F", bound=Callable[..., Any])


def asks_first(serve: _F) -> _F:
    """Mark what serves channels as one that finds out who is there before it uses a channel.

    A WebSocket is accepted for it once it sends or receives, and is refused if it is closed before
    that for a reason (`Channel.tell_why`). For others it is accepted at once.
    """
    serve._asks_first = True  # type: ignore[attr-defined]
    return serve


class Listener(AsyncResource):
    """Accepts channels at one URL, which is bound already."""

    @property
    @abstractmethod
    def addresses(self) -> Sequence[str]:
        """The URLs that reach this listener, which `connect` takes as they stand."""

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach it."""
        return False

    def beside(self, url: str) -> "Listener | None":
        """A listener for another URL on what this one has bound already, if that is possible.

        Raises:
            InvalidUrl: the URL makes no sense there.
        """
        return None

    @property
    def has_places(self) -> bool:
        """Whether there are places below its path; see `below`."""
        return False

    async def below(self, name: str) -> "Listener | None":
        """A listener one step below the path of this one, on what it has bound; `None` without one.

        Args:
            name: is put behind the path, with a slash.

        Raises:
            BindFailed: somebody listens there already, or may not.
        """
        return None

    async def heard(self) -> None:
        """Wait until what is sent to its addresses is heard; most hear before they serve.

        Raises:
            BindFailed: it will not be.
        """

    @property
    def drops(self) -> Mapping[str, int]:
        """How much was dropped that no channel counts, by reason; see `channel.drops`."""
        return {}

    @property
    def is_shared(self) -> bool:
        """Whether its channels have no socket of their own, and end with it."""
        return False

    @property
    def reads_files(self) -> bool:
        """Whether there is anything that `reload` reads."""
        return False

    def reload(self) -> None:
        """Read again what was read from files, such as certificates; open channels go on."""
        return

    @abstractmethod
    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Accept until cancelled, and run the handler for each channel in the task group.

        Nothing that one channel does ends the listener.
        """


class Transport(Protocol):
    """What a transport's module has."""

    async def connect(self, url: Url, limits: Limits) -> Channel:
        """Open a channel to a URL; raises `ConnectFailed` or `InvalidUrl`."""

    async def listen(self, url: Url, limits: Limits) -> Listener:
        """Bind a URL; raises `BindFailed` or `InvalidUrl`."""


def read_url(transport: Transport, url: Url) -> None:
    """Refuse what makes no sense to connect to, as far as a transport can tell without doing it.

    Raises:
        InvalidUrl: a mistake that no time mends, such as an unknown option.
    """
    read = getattr(transport, "read_url", None)
    if read is not None:
        read(url)
