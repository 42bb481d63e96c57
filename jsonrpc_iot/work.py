"""Calls that cannot be answered at once: those that wait, run in a thread or stand in a queue.

The dispatcher makes a `Work` for each of them. Whoever owns the connection runs it, in a task of
its choice, and may cancel it at any time, also before it has started.
"""

import math
from typing import Any

import anyio

from .context import Context
from .errors import Cancelled, DeadlineExceeded, RpcError
from .middleware import Call, Chain
from .reply import Replier, ReplyTo


class Work:
    """One call that is waiting to be run, or runs.

    Args:
        call: the method, params, id and handler.
        context: of this call.
        to: where the response goes.
        chain: runs the handler, with the middleware around it.
        replier: makes the response.
        timeout: seconds, `math.inf` for no limit.
    """

    def __init__(
        self,
        call: Call,
        context: Context,
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
        self._turn = context.turns.take() if call.handler.options.serial else None
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Stop the call; its response becomes -32003."""
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def refuse(self, error: RpcError) -> bytes | None:
        """The response to a call that is not going to be run."""
        self._leave()
        return self._fail(error)

    async def run(self) -> bytes | None:
        """Run the call and make its response, `None` where there is nothing to say."""
        try:
            with anyio.CancelScope() as self._scope:
                if self._timeout != math.inf:
                    self._scope.deadline = anyio.current_time() + self._timeout
                    self._context.deadline = self._scope.deadline
                if self._cancelled:
                    self._scope.cancel()
                if self._turn is not None:
                    await self._turn.come()
                return self._succeed(await self._chain.run(self.call, self._context))
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its answer
            return self._fail(error)
        finally:
            self._leave()
        return self._fail(Cancelled() if self._cancelled else DeadlineExceeded())

    def run_sync(self) -> bytes | None:
        """Run the call where there is no event loop, so that a handler cannot wait for anything."""
        coroutine = self._perform_directly()
        try:
            coroutine.send(None)
        except StopIteration as finished:
            return self._succeed(finished.value)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its answer
            return self._fail(error)
        finally:
            coroutine.close()
            self._leave()
        return self._fail(RuntimeError("the handler waits, and there is no event loop to wait on"))

    async def _perform_directly(self) -> Any:
        return await self._chain.run_directly(self.call, self._context)

    def _leave(self) -> None:
        if self._turn is not None:
            self._turn.leave()

    def _succeed(self, value: Any) -> bytes | None:
        may_hold_nan = self.call.handler.may_hold_nan or bool(self._chain.middleware)
        return self._replier.result(self.to, self.call.method, value, may_hold_nan=may_hold_nan)

    def _fail(self, error: Exception) -> bytes | None:
        return self._replier.error(self.to, self.call.method, error)


class Batch:
    """The responses to one batch, as they come in.

    Args:
        replier: makes the errors that take the place of responses that do not fit.
        limit: bytes that the channel carries, `None` for any number.

    Attributes:
        works: the entries that are still to be run; the response to each goes to `finish`.
    """

    def __init__(self, replier: Replier, limit: int | None) -> None:
        self.works: list[Work] = []
        self._replier = replier
        self._limit = limit
        self._replies: list[bytes] = []
        self._finished = 0

    def add(self, reply: bytes | None) -> None:
        """Take the response to an entry that needed no work, `None` for a notification's."""
        if reply is not None:
            self._replies.append(reply)

    def finish(self, reply: bytes | None) -> bytes | None:
        """Take the response to one of the works.

        Returns:
            The whole response when this was the last one and there is something to say.
        """
        self.add(reply)
        self._finished += 1
        return self.join() if self._finished == len(self.works) else None

    def join(self) -> bytes | None:
        """One message of all responses, `None` for a batch of notifications.

        Where they do not fit together, the largest become errors of their own.
        """
        if not self._replies:
            return None
        for index in sorted(range(len(self._replies)), key=self._size, reverse=True):
            if not self._exceeds():
                break
            self._replies[index] = self._replier.shorten(self._replies[index], self._limit)
        while self._exceeds() and self._replies:
            self._replies.pop()
            self._replier.dropped += 1
        return b"[" + b",".join(self._replies) + b"]" if self._replies else None

    def _size(self, index: int) -> int:
        return len(self._replies[index])

    def _exceeds(self) -> bool:
        return self._limit is not None and self._limit < 1 + sum(
            len(reply) + 1 for reply in self._replies
        )
