"""Signals that end a command which goes on until somebody stops it."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup, TaskStatus

from jsonrpc_iot.channel.tasks import task_group


@asynccontextmanager
async def until_signal() -> AsyncIterator[TaskGroup]:
    """Run the block until it ends or, where these can be received, until SIGINT or SIGTERM.

    Yields a task group whose tasks end with the block.
    """
    async with task_group() as tasks:
        if sys.platform != "win32":
            await tasks.start(_cancel_on_signal, tasks.cancel_scope)
        yield tasks
        tasks.cancel_scope.cancel()


async def _cancel_on_signal(scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
