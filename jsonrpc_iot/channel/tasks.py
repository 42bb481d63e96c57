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
            try:
                yield tasks
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                if tasks.cancel_scope.cancel_called:  # a task may have failed before
                    raise
                failure = error  # not in the group, which trio would raise with a copy of it
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        cancelled = anyio.get_cancelled_exc_class()
        others = (each for each in group.exceptions if not isinstance(each, cancelled))
        failure = failure or next(others)
    if failure is not None:  # out of the `except`, lest the group be its context
        raise failure
