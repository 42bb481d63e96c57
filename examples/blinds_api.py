# Made by jsonrpc-iot 0.1.0 from tcp://192.168.1.20. Make it again instead of changing it.
# ruff: noqa
"""JSON-RPC 0.1.0: what it does."""

from __future__ import annotations

from abc import ABC, abstractmethod

from msgspec import Struct

from jsonrpc_iot import Event, Stream, method, notification, service


class Position(Struct):
    """How far the blind is open.

    Args:
        open: 0 to 100
    """

    open: int
    moving: bool = False


@service("blinds")
class Blinds(ABC):
    """The methods and events `blinds.…`."""

    moved = Event[Position]()

    @method
    @abstractmethod
    def follow(self, open: int, step: int = 25) -> Stream[Position]:
        """Move in steps, and tell of each.

        Args:
            open: 0 to 100
        """

    @method(idempotent=True, timeout=30.0)
    @abstractmethod
    async def move(self, open: int = 100) -> Position:
        """Move, and answer when it is there.

        Args:
            open: 0 to 100
        """

    @method(idempotent=True)
    @abstractmethod
    async def position(self) -> Position: ...

    @notification
    @abstractmethod
    async def stop(self) -> None: ...
