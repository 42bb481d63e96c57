"""What a handler may know about the call that it answers, and whom it may talk back to."""

from abc import ABC, abstractmethod
from collections.abc import Container, Coroutine
from typing import Any, TypeVar, overload

from msgspec import UNSET, UnsetType

from ...channel.info import ChannelInfo
from ...errors import Forbidden, TransportError, Unauthorized
from ...protocol.about import about
from ...protocol.messages import Id
from ...trust import audit
from ...trust.principal import Principal, Standing
from ..turns import Lanes

T = TypeVar("T")

Timeout = float | UnsetType | None
"""Seconds to wait, `None` for ever, `UNSET` for what is usual."""


class Caller(ABC):
    """What calls the other end of a connection."""

    __slots__ = ()

    @overload
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        timeout: Timeout = UNSET,
        idempotent: bool = False,
    ) -> Any: ...
    @overload
    async def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: type[T],
        timeout: Timeout = UNSET,
        idempotent: bool = False,
    ) -> T: ...
    def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: Any = Any,
        timeout: Timeout = UNSET,
        idempotent: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        """Call a method of the other end and wait for its result.

        Args:
            method: the name to call.
            params: an object (dict, Struct, dataclass) or an array (list, tuple) of params.
            result: the type that the result must have; it is decoded into it.
            timeout: seconds to wait, `None` for ever; by default those of the client, else 10.
            idempotent: calling twice does no harm, so the request may be sent again: to any peer
                that does not answer, and by a client that reconnects.

        Raises:
            RpcError: the other end answered with an error; of the class of its code.
            CallTimeout: no answer came in time. Where the other end understands, it is told to
                stop. Or the call was not sent, because others were open for so long, and the
                channel takes no more at once; the text says so.
            ChannelClosed: the channel is closed, or closed before the answer came.
            MessageTooLarge: the request does not fit the channel; nothing was sent.
            MalformedResponse: the answer is no response, or its result is not of the type.
            Unencodable: the codec has no form for the params.
            UsageError: the params are neither an object nor an array.
            TransportError: the channel has no way back to its client.
        """
        return self._call(method, params, result, timeout, idempotent)

    @abstractmethod
    def _call(
        self, method: str, params: Any, result: Any, timeout: Timeout, idempotent: bool
    ) -> Coroutine[Any, Any, Any]:
        """Call a method; see `call`."""

    @abstractmethod
    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification to the other end.

        Raises:
            CallTimeout: a client that reconnects is not connected again in time.
            ChannelClosed: the channel is closed.
            MessageTooLarge: the notification does not fit the channel.
            Unencodable: the codec has no form for the params.
            UsageError: the params are neither an object nor an array.
            TransportError: the channel has no way back to its client.
        """


class Context(Caller):
    """One call's surroundings. A parameter annotated `Context` receives it.

    Args:
        caller: the connection that the call came over, `None` outside of one.
        info: the facts about the connection's channel.
        permissions: what the caller may do; `None` for a stranger.
        principal: who the caller has proved to be, instead of its permissions alone.

    Raises:
        TypeError: the permissions are one text.

    Attributes:
        method: the name that was called.
        id: the request's id, `UNSET` for a notification.
        deadline: when the caller stops waiting, as `anyio.current_time()` counts, or `None`.
        traceparent: the trace that the call belongs to, as in W3C Trace Context, or `None`.
    """

    __slots__ = (
        "_caller",
        "_lanes",
        "_standing",
        "deadline",
        "id",
        "info",
        "method",
        "traceparent",
    )

    def __init__(
        self,
        caller: Caller | None = None,
        info: ChannelInfo | None = None,
        permissions: Container[str] | None = None,
        *,
        principal: Principal | None = None,
    ) -> None:
        if principal is None and permissions is not None:
            principal = Principal("" if info is None else info.peer, permissions)
        self._standing = Standing(principal)
        self._caller = caller
        self._lanes = Lanes()
        self.info = info
        self.method = ""
        self.id: Id | UnsetType = UNSET
        self.deadline: float | None = None
        self.traceparent: str | None = None

    @property
    def caller(self) -> Caller:
        """The connection that the call came over.

        Raises:
            TransportError: there is none, or it has no way back.
        """
        if self._caller is None or (self.info is not None and not self.info.can_call_back):
            raise TransportError("this call came over no connection that leads back to its caller")
        return self._caller

    @property
    def principal(self) -> Principal | None:
        """Who the caller has proved to be, as things are now; `None` for a stranger."""
        return self._standing.principal

    @property
    def permissions(self) -> Container[str] | None:
        """What the caller may do, as things are now; `None` for a stranger.

        A `*` among them stands for all, which `permits` knows.
        """
        principal = self._standing.principal
        return None if principal is None else principal.permissions

    @property
    def is_streamed(self) -> bool:
        """Whether the caller gets the result item by item, and so never more than fits."""
        return False

    def permits(self, permission: str | None) -> bool:
        """Whether the caller has a permission; everybody may do what needs none."""
        return self._standing.permits(permission)

    def demand(self, permission: str) -> None:
        """Refuse the call unless the caller has a permission.

        Raises:
            Unauthorized: the caller is a stranger.
            Forbidden: the caller lacks it.
        """
        self._demand(permission, self.method)

    def _demand(self, permission: str, method: str) -> None:
        principal = self._standing.principal
        if principal is not None and principal.permits(permission):
            return
        audit.refused_call(self._peer, method, permission, principal)
        if principal is None:
            raise Unauthorized
        raise Forbidden(data={"requires": str(permission)})

    @property
    def _peer(self) -> str:
        """The other end, as logs name it."""
        return "somebody" if self.info is None else self.info.peer

    def _about(self, method: str) -> dict[str, str]:
        """What a log line about a call of a method says of it, as `extra`."""
        principal = self._standing.principal
        peer = None if self.info is None else self.info.peer
        return about(peer, method, None if principal is None else principal.name)

    async def _call(
        self, method: str, params: Any, result: Any, timeout: Timeout, idempotent: bool
    ) -> Any:
        return await self.caller.call(
            method, params, result=result, timeout=timeout, idempotent=idempotent
        )

    async def notify(self, method: str, params: Any = None) -> None:
        """Send a notification to the other end; see `Client.notify`."""
        await self.caller.notify(method, params)
