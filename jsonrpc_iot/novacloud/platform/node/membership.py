"""Being a node: a lease of the record, renewed in time; without one, no device is spoken to.

The node measures its time from the moment at which it asked for it, by a clock of its own, and ends
it a little sooner than the record does. So when others take it for dead, it has fallen silent.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

import anyio
from msgspec import Struct

from ...clock import TimeOfDay, elapsed
from ...errors import NameTaken, StoreFailed
from ...store.nodes import Buried, Lease, Nodes
from .term import Term

logger = logging.getLogger("jsonrpc_iot.novacloud")

_RENEW_SECONDS = 1.5
_MARGIN_SECONDS = 0.5
_RETRY_SECONDS = 0.25
_LOOK_SECONDS = 0.5  # between looks at whether a name is free
_STEADY_SECONDS = 0.05  # clocks that differ less are not set
_FAR_SECONDS = 1.0


class Told(Struct, frozen=True, kw_only=True):
    """Whom a membership tells of what.

    Args:
        figures: says how many devices the node serves, and what it has counted.
        over: the lease is over: all connections have to be closed.
        left: what the node had is nobody's any more; whether it was the one to see to that.
        buried: devices of nodes that have died are nobody's any more.
    """

    figures: Callable[[], tuple[int, Mapping[str, int]]]
    over: Callable[[], object]
    left: Callable[[bool], object]
    buried: Callable[[Sequence[Buried]], object]


class Membership:
    """A node's place among the others.

    Args:
        nodes: of the record.
        name: of the node.
        version: of the program.
        time_of_day: is kept at the record's time.
        told: who is told of what.

    Attributes:
        lease: what the node has, or had last.
        term: until when the lease holds.
        problem: why there is no lease, or it is in danger; `""` while all is well.
    """

    lease: Lease

    def __init__(
        self, nodes: Nodes, name: str, version: str, time_of_day: TimeOfDay, told: Told
    ) -> None:
        self._nodes = nodes
        self._name = name
        self._version = version
        self._time = time_of_day
        self._told = told
        self._is_far = False
        self.term = Term()
        self.problem = ""

    @property
    def is_alone(self) -> bool:
        """Whether there can be no other node."""
        return math.isinf(self.lease.seconds)

    async def enter(self) -> None:
        """Become a node. One of that name that has died lately is waited for, and buried.

        Raises:
            NameTaken: a node of that name lives.
            StoreFailed: the record takes no node.
        """
        until: float | None = None
        while True:
            asked, at = elapsed(), time.time()
            try:
                self.lease = await self._nodes.enter(self._name, self._version)
            except NameTaken as error:
                if until is not None and error.until > until:
                    raise  # somebody has renewed it
                until = error.until
                await anyio.sleep(_LOOK_SECONDS)
                await self.bury()
            else:
                self._note(asked, at, self.lease.now)
                return

    async def bury(self) -> None:
        """End the presence of the devices of nodes that have died.

        Raises:
            StoreFailed: it cannot be known who has.
        """
        if buried := await self._nodes.bury():
            self._told.buried(buried)

    async def run(self) -> None:
        """Renew the lease in time, and come anew when it is over."""
        if self.is_alone:
            return
        while True:
            await self._stay()
            self.term.until = -math.inf
            self.problem = self.problem or "the node was stopped for too long"
            logger.error("the lease is over, devices have to come again: %s", self.problem)
            self._told.over()
            await self._come_again()

    async def leave(self) -> None:
        """Be a node no more.

        Raises:
            StoreFailed: the others will notice it when the lease is over.
        """
        self.term.until = -math.inf
        self._told.left(await self._nodes.leave(self.lease))

    async def _stay(self) -> None:
        """Renew the lease as long as there is one."""
        pause = _RENEW_SECONDS
        while not self.term.is_over:
            await anyio.sleep(min(pause, self.term.left))
            pause = _RETRY_SECONDS
            with anyio.move_on_after(self.term.left):
                try:
                    if not await self._renew():
                        self.problem = "the others have taken the node for dead"
                        return
                    pause = _RENEW_SECONDS
                except StoreFailed as error:
                    self._complain(error)

    async def _renew(self) -> bool:
        """Renew the lease, unless it is over by the record's clock."""
        asked, at = elapsed(), time.time()
        now = await self._nodes.renew(self.lease, *self._told.figures())
        if now is not None:
            self._note(asked, at, now)
        return now is not None

    async def _come_again(self) -> None:
        has_left = False
        while True:
            try:
                if not has_left:
                    await self.leave()
                    has_left = True
                await self.enter()
            except StoreFailed as error:
                self._complain(error)
                await anyio.sleep(_RETRY_SECONDS)
            else:
                logger.warning("the node has a lease again")
                return

    def _complain(self, error: StoreFailed) -> None:
        """Log what stands in the way, once."""
        if self.problem != error.message:
            self.problem = error.message
            logger.error("the lease of the node: %s", error.message)

    def _note(self, asked: float, at: float, now: float) -> None:
        """Take note of a lease, and of the record's clock.

        Args:
            asked: when it was asked for, by `elapsed`.
            at: when it was asked for, by this machine's time of day.
            now: the record's time in between.
        """
        self.term.until = asked + self.lease.seconds - _MARGIN_SECONDS
        self.problem = ""
        if self.is_alone:
            return
        error = (elapsed() - asked) / 2
        offset = now - at - error
        if abs(offset - self._time.offset) > error + _STEADY_SECONDS:
            self._time.offset = offset
        is_far = abs(offset) - error > _FAR_SECONDS
        if is_far and not self._is_far:
            where = "ahead of" if offset < 0 else "behind"
            logger.warning("this clock is %.1f s %s the database's", abs(offset), where)
        self._is_far = is_far
