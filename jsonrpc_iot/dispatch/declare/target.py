"""What calls can be handed on to, as a client is."""

from collections.abc import Awaitable
from typing import Any, Protocol

from ...channel.info import ChannelInfo
from .stream import Stream

CALL_SECONDS = 30.0
"""How long the other end may take for a call whose caller does not say."""


class Target(Protocol):
    """The other end that calls are handed on to; an open `Client` is one."""

    @property
    def info(self) -> ChannelInfo:
        """The facts about the way there; raises `ChannelClosed` while there is none."""

    def call(
        self,
        method: str,
        params: Any = None,
        *,
        result: Any,
        timeout: float | None,
        idempotent: bool = False,
    ) -> Awaitable[Any]:
        """Call a method; see `Client.call`."""

    def notify(self, method: str, params: Any = None) -> Awaitable[None]:
        """Send a notification; see `Client.notify`."""

    def stream(
        self, method: str, params: Any = None, *, item: Any, timeout: float | None
    ) -> Stream[Any]:
        """Call a method for its items; see `Client.stream`."""
