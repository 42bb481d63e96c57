"""Calls that cannot be answered at once: those that wait, run in a thread or stand in a queue.

The dispatcher makes a `PendingCall` for each of them. Whoever owns the connection runs it, in a
task of its choice, and may cancel it at any time, also before it has started.
"""

import math
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import anyio
from msgspec import UNSET, UnsetType

from ...channel.clock import now
from ...errors import Cancelled, DeadlineExceeded, RpcError
from ..handler import Begun, Later
from ..response import Replier, ReplyTo
from ..turns import Hold, Turn
from .cancellation import failure_of, is_stray
from .context import CallContext
from .item_sender import ItemSender
from .middleware import Call, Chain

_LISTS = (list, tuple, set, frozenset)


NewScope: TypeAlias = Callable[[float], AbstractContextManager[anyio.CancelScope]]
"""Opens a cancel scope with a deadline, as the event loop counts."""


def new_scope(deadline: float) -> anyio.CancelScope:
    """Open a scope for one call alone; see `NewScope`."""
    return anyio.CancelScope(deadline=deadline)


def shorter(one: float | UnsetType | None, other: float | UnsetType | None) -> float:
    """The shorter of two times in seconds, `math.inf` if neither is given."""
    one = math.inf if one is None or one is UNSET else one
    other = math.inf if other is None or other is UNSET else other
    return min(one, other)


class PendingCall:
    """One call that is waiting to be run, or runs.

    Args:
        call: the method, params, id and handler.
        context: of this call.
        to: where the response goes.
        chain: runs the handler, with the middleware around it.
        replier: makes the response.
        timeout: seconds, `math.inf` for no limit.

    Attributes:
        later: what there is to run of a call that began without a task, and needs one after all.
    """

    def __init__(
        self,
        call: Call,
        context: CallContext,
        to: ReplyTo,
        chain: Chain,
        replier: Replier,
        timeout: float,
    ) -> None:
        self.call = call
        self.to = to
        self._context = context
        self._chain = chain
        self._replier = replier
        self._timeout = timeout
        self._turn = self._take_turn()
        if self._turn is not None:
            context.hold = Hold(self._turn.leave)
        self._began_at: float | None = None
        self._scope: anyio.CancelScope | None = None
        self._cancelled: RpcError | None = None
        self._begun: Begun | None = None
        self.later: Later | None = None
        self._done: Callable[[bytes | None], object] | None = None

    def cancel(self, reason: RpcError | None = None) -> None:
        """Stop the call; its response becomes -32003, or what the reason says."""
        self._cancelled = reason or Cancelled()
        if self._scope is not None:
            self._scope.cancel()
        elif self._begun is not None:
            self._begun.cancel()
            self._settle(self._cancelled)

    @property
    def calls(self) -> "Sequence[PendingCall]":
        """Itself: alone it is run and finished like a `Batch`."""
        return (self,)

    is_finished = True

    def finish(self, pending: "PendingCall", reply: bytes | None) -> bytes | None:
        """Take the response; see `Batch.finish`."""
        return reply

    @property
    def items(self) -> ItemSender | None:
        """What sends the result item by item, `None` where it travels whole."""
        return self._context.items

    def refuse(self, error: RpcError) -> bytes | None:
        """The response to a call that is not going to be run."""
        self.leave()
        return self._fail(error)

    def leave(self) -> None:
        """Give up the place in the queue, if the call still has it; it is not run any more."""
        hold, self._context.hold = self._context.hold, None
        if hold is not None:
            hold.let_go()

    def start_clock(self, now: float) -> None:
        """Count the time limit from now on, also while other handlers keep this one waiting.

        Args:
            now: the event loop's time.
        """
        self._began_at = now

    def start(self, done: Callable[[bytes | None], object]) -> bool:
        """Run the call without a task, if that can be; says whether it does.

        Args:
            done: is called with the response, or when there is something to be run `later`.
        """
        begin = self.call.handler.begin
        if begin is None or self._chain.middleware or self.items is not None or self._cancelled:
            return False
        if self._timeout != math.inf:
            self._began_at = self._began_at or now()
            self._context.deadline = self._timeout + self._began_at
        self._done = done
        self._begun = begin(self.call.params, self._context, self._settle)
        if self._begun is None:
            self._done = None
        return self._begun is not None

    def _settle(self, outcome: Any) -> None:
        self._begun = None
        done, self._done = self._done, None
        if done is not None and type(outcome) is Later:
            self.later = outcome
            done(None)
        elif done is not None:
            is_failure = isinstance(outcome, Exception)
            done(self._fail(outcome) if is_failure else self._succeed(outcome))

    async def run(self, new_scope: NewScope = new_scope) -> bytes | None:
        """Run the call and make its response, `None` where there is nothing to say.

        Args:
            new_scope: opens the scope in which it runs.
        """
        if self._cancelled is not None:
            return self.refuse(self._cancelled)
        deadline = math.inf
        if self._timeout != math.inf:
            at = now()
            deadline = self._timeout + (at if self._began_at is None else self._began_at)
            if deadline <= at:
                return self.refuse(DeadlineExceeded())
            self._context.deadline = deadline
        try:
            with new_scope(deadline) as self._scope:
                return await self._perform()
        finally:
            self._scope = None
        return self._fail(self._reason())

    def _reason(self) -> RpcError:
        return self._cancelled or DeadlineExceeded()

    def run_alone(self) -> Coroutine[Any, Any, bytes | None]:
        """Run the call where nobody may `cancel` it, which without a time limit costs no scope."""
        return self._perform() if self._timeout == math.inf else self.run()

    async def _perform(self) -> bytes | None:
        try:
            if self._turn is not None:
                await self._turn.come()
            if self.later is not None:
                return self._succeed(await self.later.run())
            value = await self._chain.run(self.call, self._context)
            if self.items is not None and isinstance(value, _LISTS):
                value = await self.items.send_all(value)
            return self._succeed(value)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its answer
            return self._fail(error)
        except BaseException as error:
            if not is_stray(error):
                raise
            return self._fail(failure_of(error))
        finally:
            self.leave()

    def run_sync(self) -> bytes | None:
        """Run the call where there is no event loop, so that a handler cannot wait for anything."""
        coroutine = self._perform_directly()
        try:
            coroutine.send(None)
            coroutine.close()
        except StopIteration as finished:
            return self._succeed(finished.value)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its answer
            return self._fail(error)
        finally:
            self.leave()
        return self._fail(RuntimeError("the handler waits, and there is no event loop to wait on"))

    async def _perform_directly(self) -> Any:
        return await self._chain.run_directly(self.call, self._context)

    def _take_turn(self) -> Turn | None:
        if self.call.handler.options.serial:
            return self._context.lanes.serial.take()
        # A plain function runs in its turn also with middleware around it.
        plain = not self.call.handler.waits and self.items is None
        return self._context.lanes.plain.take() if plain else None

    def _succeed(self, value: Any) -> bytes | None:
        may_hold_nan = self.call.handler.may_hold_nan or bool(self._chain.middleware)
        kind = self.call.handler.result_type if self.items is None else Any
        return self._replier.result(
            self.to, self.call.method, value, may_hold_nan=may_hold_nan, kind=kind
        )

    def _fail(self, error: Exception) -> bytes | None:
        return self._replier.error(self.to, self.call.method, error)
