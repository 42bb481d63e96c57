"""Whose a cancellation is: that of whoever runs us, or of something that a handler waited for."""

import math
import sys

import anyio


def is_stray(error: BaseException) -> bool:
    """Whether an exception is a cancellation that is not meant for the task that it is raised in.

    A future that a handler waits for may be cancelled; on asyncio that looks alike.
    """
    if not isinstance(error, anyio.get_cancelled_exc_class()):
        return False
    if anyio.current_effective_deadline() == -math.inf:
        return False
    asyncio = sys.modules.get("asyncio")  # which takes long to load, and is not for everybody
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return True
    task = asyncio.current_task()
    return task is None or not task.cancelling()


def failure_of(error: BaseException) -> RuntimeError:
    """What a stray cancellation is to the caller of the handler."""
    failure = RuntimeError("something that the handler waited for was cancelled")
    failure.__cause__ = error
    return failure
