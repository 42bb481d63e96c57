"""Middleware, and handlers of every kind to put it around."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from jsonrpc_iot import Call, Context, Dispatcher, Middleware, Next

from ._messages import SECRET

Log = list[str]
Send = Callable[[Dispatcher, bytes], Awaitable[bytes | None]]

KINDS = ["plain", "coroutine", "threaded", "in_turn", "items"]


def device(log: Log) -> Dispatcher:
    """Handlers of every kind."""
    dispatcher = Dispatcher()

    @dispatcher.method
    def plain(level: int = 1) -> int:
        log.append(f"plain {level}")
        return level

    @dispatcher.method
    async def coroutine(level: int = 1) -> int:
        log.append(f"coroutine {level}")
        return level

    @dispatcher.method(thread=True)
    def threaded(level: int = 1) -> int:
        log.append(f"threaded {level}")
        return level

    @dispatcher.method(serial=True)
    def in_turn(level: int = 1) -> int:
        log.append(f"in_turn {level}")
        return level

    @dispatcher.method
    async def items(level: int = 1) -> AsyncIterator[int]:
        log.append(f"items {level}")
        yield level

    @dispatcher.method
    def fail() -> None:
        raise LookupError(SECRET)

    @dispatcher.notification
    def report(level: int) -> None:
        log.append(f"report {level}")

    return dispatcher


def logging_layer(log: Log, name: str) -> Middleware:
    async def layer(call: Call, context: Context, next: Next) -> Any:
        log.append(f"{name} in")
        result = await next(call, context)
        log.append(f"{name} out")
        return result

    return layer
