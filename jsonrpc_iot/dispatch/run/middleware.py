"""Code around each call: metrics, tracing, access control.

Chains are built when handlers and middleware are registered, not when a call comes in.
"""

from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct, UnsetType

from ...errors import TooLarge
from ...protocol.messages import Id
from ..declare.context import Context
from ..handler import Handler
from .context import CallContext
from .threads import run_in_thread


class Call(Struct, frozen=True):
    """One call as middleware sees it.

    Args:
        method: the full name.
        params: the decoded parameters, an attribute each.
        id: the request's id, `UNSET` for a notification.
        handler: what answers in the end.
    """

    method: str
    params: Struct
    id: Id | UnsetType
    handler: Handler


Next = Callable[[Call, Context], Awaitable[Any]]
"""The rest of the chain: the next middleware, in the end the handler."""

Middleware = Callable[[Call, Context, Next], Awaitable[Any]]
"""Looks at a call, refuses it, changes its result, or never calls `next` at all."""


class Chain:
    """Middleware around handlers.

    Args:
        middleware: outermost first.

    Attributes:
        run: runs a call and returns the handler's result.
        run_directly: the same where there is no event loop, so without threads.
    """

    def __init__(self, middleware: tuple[Middleware, ...] = ()) -> None:
        self.middleware = middleware
        self.run: Next = _handle
        self.run_directly: Next = _handle_directly
        for layer in reversed(middleware):
            self.run = _link(layer, self.run)
            self.run_directly = _link(layer, self.run_directly)


def _link(layer: Middleware, following: Next) -> Next:
    def call_next(call: Call, context: Context) -> Awaitable[Any]:
        return layer(call, context, following)

    return call_next


def _handle(call: Call, context: Context) -> Awaitable[Any]:
    if call.handler.options.thread:
        hold = context.hold if isinstance(context, CallContext) else None
        return run_in_thread(partial(call.handler.call, call.params, context), hold)
    return _handle_directly(call, context)


def _handle_directly(call: Call, context: Context) -> Awaitable[Any]:
    if call.handler.is_coroutine:
        outcome: Awaitable[Any] = call.handler.call(call.params, context)
        return outcome
    return _handle_otherwise(call, context)


async def _handle_otherwise(call: Call, context: Context) -> Any:
    outcome = call.handler.call(call.params, context)
    if not call.handler.is_generator:
        return outcome
    async with aclosing(outcome) as items:
        if isinstance(context, CallContext) and context.items is not None:
            return await context.items.send_all(items)
        return await _gathered(items, context)


async def _gathered(items: AsyncIterable[Any], context: Context) -> list[Any]:
    """All items, as long as they may fit the channel.

    Raises:
        TooLarge: they do not, and no more of them were taken than show it.
    """
    limit = None if context.info is None else context.info.max_message
    found, size = [], 0
    async for item in items:
        found.append(item)
        if limit is not None:
            try:
                size += len(msgspec.json.encode(item))
            except (TypeError, ValueError):  # said where the answer is encoded
                limit = None
                continue
            if size > limit:
                raise TooLarge(data={"size": size, "limit": limit})
    return found
