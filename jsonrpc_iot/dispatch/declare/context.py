"""What a handler may know about the call that it answers, and whom it may talk back to."""

from collections.abc import Container
from typing import Any, Protocol, TypeVar, overload

from msgspec import UNSET, UnsetType

from ...channel.info import ChannelInfo
from ...errors import Forbidden, TransportError, Unauthorized
from ...protocol.messages import Id
from ..turns import Lanes

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
    """

    __slots__ = ("_caller", "_lanes", "deadline", "id", "info", "method", "permissions")

    def __init__(
        self,
        caller: Caller | None = None,
        info: ChannelInfo | None = None,
        permissions: Container[str] | None = None,
    ) -> None:
        if isinstance(permissions, str):
            raise TypeError("permissions are a set of names; a text would hold all its parts")
        self._caller = caller
        self._lanes = Lanes()
        self.info = info
        self.permissions = permissions
        self.method = ""
        self.id: Id | UnsetType = UNSET
        self.deadline: float | None = None

    @property
    def caller(self) -> Caller:
        """The connection that the call came over.

        Raises:
            TransportError: there is none, or it has no way back.
        """
        if self._caller is None or (self.info is not None and not self.info.can_call_back):
            raise TransportError("this call came over no connection that leads back to its caller")
        return self._caller

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
