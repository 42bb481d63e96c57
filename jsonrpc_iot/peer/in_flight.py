"""Requests that take turns, on a link where only so many of one end may be open at once."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from ..dispatch.turns import Turn, Turns
from ..errors import CallTimeout, JsonRpcIotError


class InFlight:
    """The turns of the requests of one end, in order of arrival.

    Args:
        limit: how many may be open at once.
    """

    __slots__ = ("_closed", "_limit", "_turns")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turns = Turns()
        self._closed: Callable[[], JsonRpcIotError] | None = None

    async def take(self, method: str, timeout: float | None) -> Turn:
        """Wait until a request may leave.

        Args:
            method: the name that is to be called.
            timeout: seconds to wait, `None` for ever.

        Returns:
            What has to be left when the request is answered or given up.

        Raises:
            CallTimeout: others were open for so long.
            JsonRpcIotError: the reason that `end` was given.
        """
        turn = self._turns.take(self._limit)
        try:
            with anyio.move_on_after(timeout):
                if self._closed is None:
                    await turn.come()
                if self._closed is not None:
                    raise self._closed()
                return turn
            raise not_sent(method, timeout)
        except BaseException:
            turn.leave()
            raise

    @asynccontextmanager
    async def turn(self, method: str, timeout: float | None) -> AsyncIterator[float | None]:
        """Hold a turn in the block, which gets the seconds that are left; see `take`."""
        begun = anyio.current_time()
        turn = await self.take(method, timeout)
        try:
            waited = anyio.current_time() - begun
            yield None if timeout is None else max(0.0, timeout - waited)
        finally:
            turn.leave()

    def end(self, reason: Callable[[], JsonRpcIotError]) -> None:
        """Give nobody a turn any more; who waits gets an error of its own."""
        self._closed = reason
        self._turns.wake_all()


def not_sent(method: str, timeout: float | None) -> CallTimeout:
    """The error of a call whose time was over before its turn came."""
    seconds = round(timeout or 0, 3)
    return CallTimeout(f"{method}: not sent within {seconds:g} s, while other calls were open")
