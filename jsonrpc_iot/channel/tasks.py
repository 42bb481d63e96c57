"""Task groups that fail like a function: with one error, not with a group of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """An anyio task group out of which the first failure, of the block or a task, comes as it is.

    Those that come while the others are being cancelled are lost.
    """
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        cancelled = anyio.get_cancelled_exc_class()
        failure = next(each for each in group.exceptions if not isinstance(each, cancelled))
    if failure is not None:  # out of the `except`, lest the group be its context
        raise failure
