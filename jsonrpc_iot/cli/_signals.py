"""Signals that end a command which goes on until somebody stops it."""

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup, TaskStatus

from jsonrpc_iot.channel.tasks import task_group


@asynccontextmanager
async def until_signal(
    on_hangup: Callable[[], object] | None = None,
    before_end: Callable[[], Awaitable[object]] | None = None,
) -> AsyncIterator[TaskGroup]:
    """Run the block until it ends or, where these can be received, until SIGINT or SIGTERM.

    Yields a task group whose tasks end with the block.

    Args:
        on_hangup: is called at each SIGHUP, which otherwise ends the process.
        before_end: is done at SIGTERM before the block ends; a second signal does not wait for it.
    """
    async with task_group() as tasks:
        if sys.platform != "win32":
            await tasks.start(_cancel_on_signal, tasks.cancel_scope, before_end)
            if on_hangup is not None:
                await tasks.start(_call_on_hangup, on_hangup)
        yield tasks
        tasks.cancel_scope.cancel()


async def _cancel_on_signal(
    scope: anyio.CancelScope,
    before_end: Callable[[], Awaitable[object]] | None,
    *,
    task_status: TaskStatus[None],
) -> None:
    async def end() -> None:
        if before_end is not None:
            await before_end()
        scope.cancel()

    is_first = True
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async with anyio.create_task_group() as tasks:
            async for number in signals:
                if number == signal.SIGTERM and is_first:
                    tasks.start_soon(end)
                else:
                    scope.cancel()
                is_first = False


async def _call_on_hangup(
    on_hangup: Callable[[], object], *, task_status: TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            on_hangup()
