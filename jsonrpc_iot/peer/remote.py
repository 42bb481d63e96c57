"""Calls and streams as programs make them, over a connection that is there or will be."""

from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar, overload

from msgspec import UNSET, UnsetType

from ..dispatch.declare.context import Caller, Timeout
from ..dispatch.declare.stream import Stream
from ..protocol.items import FIRST_CREDIT
from .calls import Calls
from .spans import Spans, in_span
from .stream import RemoteStream

T = TypeVar("T")


class Remote(Caller):
    """What makes calls and takes streams, over a connection that may come later."""

    __slots__ = ()

    _spans: Spans | None = None
    """Takes note of what is called, where somebody wants to know."""

    @overload
    def stream(
        self, method: str, params: Any = None, *, timeout: Timeout = UNSET, window: int = ...
    ) -> Stream[Any]: ...
    @overload
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: type[T],
        timeout: Timeout = UNSET,
        window: int = ...,
    ) -> Stream[T]: ...
    def stream(
        self,
        method: str,
        params: Any = None,
        *,
        item: Any = Any,
        timeout: Timeout = UNSET,
        window: int = FIRST_CREDIT,
    ) -> Stream[Any]:
        """Call a method whose result is a list, and get the items as they come.

        Args:
            method: the name to call.
            params: as in `call`.
            item: the type that each item must have; it is decoded into it.
            timeout: seconds to wait for each item, `None` for ever; by default as in `call`.
            window: items that may be under way or wait here. More are faster over long ways.
        """
        seconds = self._seconds(timeout)
        return RemoteStream(
            self._find_calls, method, params, item, seconds, window, spans=self._spans_of(method)
        )

    def _in_span(self, method: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Have a call noted, where somebody wants to know."""
        spans = self._spans_of(method)
        return work if spans is None else in_span(spans, method, work)

    def _spans_of(self, method: str) -> Spans | None:
        """What takes note of such calls, which is no use for those of the protocol itself."""
        return None if self._spans is None or method.startswith("rpc.") else self._spans

    def _seconds(self, timeout: Timeout) -> float | None:
        """How long to wait."""
        return self._usual_timeout if isinstance(timeout, UnsetType) else timeout

    @property
    @abstractmethod
    def _usual_timeout(self) -> float | None:
        """Seconds to wait for what does not say."""

    @abstractmethod
    async def _find_calls(self, timeout: float | None) -> Calls:
        """The present connection, within that many seconds."""
