"""What a window blind does: the one file that device and caller share."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Annotated

from msgspec import Meta, Struct

from jsonrpc_iot import Event, method, notification, service

Percent = Annotated[int, Meta(ge=0, le=100)]


class Position(Struct):
    """How far the blind is open."""

    open: Percent
    moving: bool = False


@service("blinds")
class Blinds(ABC):
    """Over the wire: `blinds.move`, `blinds.position`, `blinds.follow`, `blinds.stop`."""

    moved = Event[Position]()

    @method(idempotent=True, timeout=30.0)
    @abstractmethod
    async def move(self, open: Percent = 100) -> Position:
        """Move, and answer when it is there."""

    @method(idempotent=True)
    @abstractmethod
    async def position(self) -> Position: ...

    @method
    @abstractmethod
    def follow(self, open: Percent, *, step: int = 25) -> AsyncIterator[Position]:
        """Move in steps, and tell of each."""

    @notification
    @abstractmethod
    async def stop(self) -> None: ...
