"""What a handler may know about the call that it answers, and whom it may talk back to."""

from collections.abc import Container, Sequence
from typing import Any, Protocol, TypeVar, overload

from msgspec import UNSET, UnsetType

from .channel import ChannelInfo
from .errors import Forbidden, TransportError, Unauthorized
from .items import ItemSender
from .protocol.messages import Id
from .reply import ReplyTo
from .threads import Hold
from .turns import Turns

T = TypeVar("T")


class Caller(Protocol):
    """The other end of a connection, as handlers see it."""

    @overload
    async def call(
        self, method: str, params: Any = None, *, timeout: float | None = ...
    ) -> Any: ...
    @overload
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: type[T],
        timeout: float | None = ...,
    ) -> T: ...

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification to the other end."""

    def cancel(self, id: Id) -> None:
        """Cancel the other end's running calls of that id."""

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Give the streams of that id credit, and send items again that were lost."""

    def open_items(self, to: ReplyTo) -> ItemSender | None:
        """What sends the items of a result to the other end, `None` if there is no way."""


class Context:
    """One call's surroundings. A parameter annotated `Context` receives it.

    Args:
        caller: the connection that the call came over, `None` outside of one.
        info: the facts about the connection's channel.
        permissions: what the caller may do; `None` for a caller that nobody authenticated.

    Raises:
        TypeError: the permissions are one text.

    Attributes:
        method: the name that was called.
        id: the request's id, `UNSET` for a notification.
        deadline: when the caller stops waiting, as `anyio.current_time()` counts, or `None`.
        items: sends the result item by item, `None` where it travels whole.
        hold: keeps the call's turn, `None` where it has none.
        turns: the order of the peer's serial calls.
        plain_turns: the order of its calls of plain functions, where those have to wait.
    """

    __slots__ = (
        "_caller",
        "deadline",
        "hold",
        "id",
        "info",
        "items",
        "method",
        "permissions",
        "plain_turns",
        "turns",
    )

    def __init__(
        self,
        caller: Caller | None = None,
        info: ChannelInfo | None = None,
        permissions: Container[str] | None = None,
    ) -> None:
        if isinstance(permissions, str):
            raise TypeError("permissions are a set of names; a text would hold all its parts")
        self._caller = caller
        self.info = info
        self.permissions = permissions
        self.method = ""
        self.id: Id | UnsetType = UNSET
        self.deadline: float | None = None
        self.items: ItemSender | None = None
        self.hold: Hold | None = None
        self.turns = Turns()
        self.plain_turns = Turns()

    def for_call(self, method: str, id: Id | UnsetType) -> "Context":
        """The context of one call over the same connection."""
        context = Context.__new__(Context)
        context._caller = self._caller
        context.info = self.info
        context.permissions = self.permissions
        context.turns = self.turns
        context.plain_turns = self.plain_turns
        context.method = method
        context.id = id
        context.deadline = None
        context.items = None
        context.hold = None
        return context

    @property
    def caller(self) -> Caller:
        """The connection that the call came over.

        Raises:
            TransportError: there is none, or it has no way back.
        """
        if self._caller is None or (self.info is not None and not self.info.can_call_back):
            raise TransportError("this call came over no connection that leads back to its caller")
        return self._caller

    def cancel(self, id: Id) -> None:
        """Cancel the caller's running calls of that id; this needs no way back."""
        if self._caller is not None:
            self._caller.cancel(id)

    def more(self, id: Id, upto: int, missing: Sequence[int]) -> None:
        """Give the caller's streams of that id credit, and send items again that were lost."""
        if self._caller is not None:
            self._caller.more(id, upto, missing)

    def open_items(self, to: ReplyTo) -> None:
        """Have the result travel item by item, if there is a way to the caller."""
        if self._caller is not None:
            self.items = self._caller.open_items(to)

    def demand(self, permission: str) -> None:
        """Refuse the call unless the caller has a permission.

        Raises:
            Unauthorized: nobody authenticated the caller.
            Forbidden: the caller lacks it.
        """
        if self.permissions is None:
            raise Unauthorized
        if permission not in self.permissions:
            raise Forbidden(data={"requires": permission})

    @overload
    async def call(
        self, method: str, params: Any = None, *, timeout: float | None = 10.0
    ) -> Any: ...
    @overload
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: type[T],
        timeout: float | None = 10.0,
    ) -> T: ...
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: Any = Any,
        timeout: float | None = 10.0,
    ) -> Any:
        """Call a method of the other end; see `Client.call`."""
        return await self.caller.call(method, params, result=result, timeout=timeout)

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification to the other end; see `Client.notify`."""
        await self.caller.notify(method, params)
