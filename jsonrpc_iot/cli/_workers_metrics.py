"""The metrics of several workers in one place: one asks the others, each on a socket of its own."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

from jsonrpc_iot import Dispatcher, JsonRpcIotError, Server, connect, serve

if TYPE_CHECKING:
    from jsonrpc_iot.novacloud.platform.metrics import Block, Metrics

T = TypeVar("T")

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
    methods.method("health")(metrics.health)
    return serve(methods, _url(folder, number))


class OtherWorkers:
    """Asks all workers but the first.

    Args:
        folder: has the sockets of all.
        names: of all.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = names

    async def blocks(self) -> list["Block"]:
        """Their metrics; those that do not answer are left out."""
        found = await self._ask("blocks", list[tuple[str, str]])
        return [block for blocks in found if blocks is not None for block in blocks]

    async def health(self) -> dict[str, str]:
        """By their names, `ok` or what is wrong with them."""
        from jsonrpc_iot.novacloud.platform.health import Health

        found = await self._ask("health", Health)
        return {
            name: "it does not answer" if health is None else health.problem or "ok"
            for name, health in zip(self._names[1:], found, strict=True)
        }

    async def _ask(self, method: str, kind: type[T]) -> list[T | None]:
        """What each says, `None` for one that does not answer."""
        found: list[T | None] = [None] * (len(self._names) - 1)

        async def ask(place: int) -> None:
            with suppress(JsonRpcIotError):  # it is just being started again
                async with connect(_url(self._folder, place + 1)) as client:
                    found[place] = await client.call(method, result=kind)

        with anyio.move_on_after(_PATIENCE):
            async with anyio.create_task_group() as tasks:
                for place in range(len(found)):
                    tasks.start_soon(ask, place)
        return found


def _url(folder: Path, number: int) -> str:
    return f"unix://{folder}/{number}.sock"
