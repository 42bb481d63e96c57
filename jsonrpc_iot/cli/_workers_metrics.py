"""The metrics of several workers in one place: one asks the others, each on a socket of its own."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from jsonrpc_iot import Dispatcher, JsonRpcIotError, Server, connect, serve

if TYPE_CHECKING:
    from jsonrpc_iot.novacloud.platform.metrics import Block, Metrics

_PATIENCE = 2.0  # less than those who ask for metrics have


def telling_metrics(
    metrics: "Metrics", folder: Path, number: int
) -> AbstractAsyncContextManager[Server]:
    """Have others ask for a worker's metrics while the block runs.

    Args:
        metrics: its own.
        folder: for the sockets of all; nobody else may reach it.
        number: of the worker.
    """
    methods = Dispatcher()
    methods.method("blocks")(metrics.blocks)
    return serve(methods, _url(folder, number))


def metrics_of(folder: Path, numbers: Sequence[int]) -> Callable[[], Awaitable[list["Block"]]]:
    """What asks workers for their metrics; those that do not answer are left out."""

    async def ask(number: int, found: list["Block"]) -> None:
        try:
            async with connect(_url(folder, number)) as client:
                found += await client.call("blocks", result=list[tuple[str, str]])
        except JsonRpcIotError:  # it is just being started again
            return

    async def ask_all() -> list["Block"]:
        found: list[list[Block]] = [[] for _ in numbers]
        with anyio.move_on_after(_PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number, blocks in zip(numbers, found, strict=True):
                    tasks.start_soon(ask, number, blocks)
        return [block for blocks in found for block in blocks]

    return ask_all


def _url(folder: Path, number: int) -> str:
    return f"unix://{folder}/{number}.sock"
