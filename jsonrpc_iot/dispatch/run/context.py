"""The context of a running call: what handlers may know, and what runs the call needs beside it."""

from abc import abstractmethod
from collections.abc import Awaitable, Sequence

from msgspec import UnsetType

from ...channel.info import ChannelInfo
from ...errors import MethodNotFound
from ...protocol.messages import Id
from ...protocol.patterns import Patterns
from ...trust.principal import Standing
from ..declare.context import Caller, Context
from ..response import ReplyTo
from ..turns import Hold, Lanes
from .item_sender import ItemSender


class Connection(Caller):
    """What a call came over, as the protocol's own methods see it."""

    __slots__ = ()

    @abstractmethod
    def cancel(self, id: Id) -> None:
        """Cancel the other end's running calls of that id."""

    @abstractmethod
    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Give the streams of that id credit, and send items again that were lost."""

    def subscribe(self, patterns: Patterns | None) -> bool:
        """Send the other end what matches alone, or all again.

        Returns:
            Whether there is a peer to remember it for.
        """
        return False

    def prove(self, token: str) -> Awaitable[None] | None:
        """Have the other end prove who it is.

        Returns:
            What raises `Unauthorized` or the reason if it does not; `None` where there is no
            connection to remember it for.
        """
        return None

    @abstractmethod
    def open_items(self, to: ReplyTo) -> ItemSender | None:
        """What sends the items of a result to the other end, `None` if there is no way."""


class CallContext(Context):
    """A context with what running a call needs.

    Args:
        connection: what the calls come over.
        info: the facts about its channel.
        standing: who the caller is.
        lanes: the caller's queues, where it has more than one connection.

    Attributes:
        items: sends the result item by item, `None` where it travels whole.
        hold: keeps the call's turn, `None` where it has none.
    """

    __slots__ = ("hold", "items")

    _caller: Connection | None

    def __init__(
        self,
        connection: Connection | None,
        info: ChannelInfo | None,
        standing: Standing,
        lanes: Lanes | None = None,
    ) -> None:
        super().__init__(connection, info)
        self._standing = standing
        self.items: ItemSender | None = None
        self.hold: Hold | None = None
        if lanes is not None:
            self._lanes = lanes

    @classmethod
    def of(cls, connection: Context, method: str, id: Id | UnsetType) -> "CallContext":
        """The context of one call over a connection."""
        context = cls.__new__(cls)
        context._caller = connection._caller  # type: ignore[assignment]  # see `Connection`
        context._lanes = connection._lanes
        context.info = connection.info
        context._standing = connection._standing
        context.method = method
        context.id = id
        context.deadline = None
        context.traceparent = connection.traceparent
        context.items = None
        context.hold = None
        return context

    @property
    def is_streamed(self) -> bool:
        """Whether the result travels item by item; see `Context.is_streamed`."""
        return self.items is not None

    @property
    def lanes(self) -> Lanes:
        """The queues of its caller."""
        return self._lanes

    def cancel(self, id: Id) -> None:
        """Cancel the caller's running calls of that id; this needs no way back."""
        if self._caller is not None:
            self._caller.cancel(id)

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Give the caller's streams of that id credit, and send items again that were lost."""
        if self._caller is not None:
            self._caller.more(id, upto, missing)

    def subscribe(self, patterns: Patterns | None) -> None:
        """Send the caller the notifications that match alone, or all again.

        Raises:
            MethodNotFound: there is no peer to remember it for.
        """
        if self._caller is None or not self._caller.subscribe(patterns):
            raise MethodNotFound(data={"method": self.method, "hint": "not over this transport"})

    async def prove(self, token: str) -> None:
        """Have the caller prove who it is.

        Raises:
            Unauthorized: nobody has that token.
            RpcError: whoever has it is refused, for that reason.
            MethodNotFound: there is no connection to remember it for.
        """
        proof = None if self._caller is None else self._caller.prove(token)
        if proof is None:
            raise MethodNotFound(data={"method": self.method, "hint": "not over this transport"})
        await proof

    def open_items(self, to: ReplyTo) -> None:
        """Have the result travel item by item, if there is a way to the caller."""
        if self._caller is not None:
            self.items = self._caller.open_items(to)
