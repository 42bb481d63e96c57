"""Signals that end a command which goes on until somebody stops it."""

import signal
import sys

import anyio
from anyio.abc import TaskStatus


async def cancel_on_signal(
    scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Cancel a scope at each SIGINT or SIGTERM; where these cannot be received, do nothing."""
    if sys.platform == "win32":
        task_status.started()
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
