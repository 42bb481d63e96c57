"""The connections to what a dispatcher forwards to, kept for as long as it is served."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.abc import TaskStatus

from ..channel.tasks import task_group
from ..client.client import Client
from ..client.connecting import connect
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.forward import Forward


@asynccontextmanager
async def keep_forwards(dispatcher: Dispatcher) -> AsyncIterator[None]:
    """Keep them while the block runs, and emit what is heard from there under the prefix."""

    async def keep(
        prefix: str, forward: Forward, where: str | Client, *, task_status: TaskStatus[None]
    ) -> None:
        if isinstance(where, Client):
            await listen(prefix, forward, where, task_status)
            return
        async with connect(where, reconnect=True) as client:
            previous = forward.target
            forward.target = client
            try:
                await listen(prefix, forward, client, task_status)
            finally:
                forward.target = previous

    async def listen(
        prefix: str, forward: Forward, client: Client, task_status: TaskStatus[None]
    ) -> None:
        requires = forward.options.requires
        async with client.notifications() as notifications:
            task_status.started()
            async for each in notifications:
                if not forward.offers(each.method) or each.method.startswith("rpc."):
                    continue
                dispatcher.emit(f"{prefix}.{each.method}", each.params, requires=requires)

    async with task_group() as tasks:
        for prefix, forward, where in dispatcher.forwarded:
            await tasks.start(keep, prefix, forward, where)
        yield
        tasks.cancel_scope.cancel()
