"""Task groups that end with one error."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from jsonrpc_iot.channel.tasks import task_group

pytestmark = pytest.mark.anyio


async def fail(error: Exception) -> None:
    raise error


async def run(block: Callable[[], Awaitable[None]], *errors: Exception) -> None:
    """A block beside tasks that fail, and one that goes on for ever."""
    async with task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        for error in errors:
            tasks.start_soon(fail, error)
        await block()


async def test_the_error_of_the_block_comes_as_it_is() -> None:
    error = ValueError("block")
    error.__cause__ = cause = OSError("why")
    with pytest.raises(ValueError, match="block") as raised:
        await run(lambda: fail(error))
    assert raised.value is error
    assert error.__cause__ is cause
    assert error.__context__ is None


async def test_the_error_of_a_task_comes_as_it_is() -> None:
    error = ValueError("task")
    with pytest.raises(ValueError, match="task") as raised:
        await run(anyio.sleep_forever, error)
    assert raised.value is error


async def test_of_several_errors_one_comes() -> None:
    with pytest.raises(ValueError, match="one of"):
        await run(anyio.sleep_forever, ValueError("one of two"), ValueError("one of them"))


async def test_a_group_of_the_block_stays_one() -> None:
    with pytest.raises(ExceptionGroup, match="its own"):
        await run(lambda: fail(ExceptionGroup("its own", [ValueError()])))


async def test_an_error_is_not_lost_where_all_is_cancelled() -> None:
    async def fail_late() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("late")

    with anyio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(ValueError, match="late"):
            await run(fail_late)


async def test_cancellation_passes() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run(anyio.sleep_forever)
    assert scope.cancelled_caught
