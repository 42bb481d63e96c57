"""One process of `nova platform`, from its store to its end."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from msgspec import Struct

from jsonrpc_iot import BindFailed, ConnectFailed, Server, UsageError
from jsonrpc_iot import serve as serve_at

from ._access import access
from ._nova_files import PlatformFiles
from ._nova_metrics import metrics_url, serving_metrics
from ._nova_record import record_and_bus
from ._output import explain
from ._signals import until_signal
from ._workers_metrics import OtherWorkers, telling_metrics

if TYPE_CHECKING:
    from jsonrpc_iot.channel.contract import Listener
    from jsonrpc_iot.channel.url import Url
    from jsonrpc_iot.novacloud import NovaPlatform


class Ready(Struct):
    """What a platform says when it has begun.

    Args:
        urls: what is to be shown of where it listens.
        reads_files: on SIGHUP, which would end it otherwise.
    """

    urls: Sequence[str]
    reads_files: bool


class Worker(Struct, frozen=True):
    """Which of several processes one is.

    Args:
        number: from 0.
        names: of the nodes of all.
        folder: for the sockets by which they ask each other.
    """

    number: int
    names: Sequence[str]
    folder: Path


class Plan(Struct, frozen=True, kw_only=True):
    """What the command line says of a platform.

    Args:
        db: where its record is.
        bus: by what nodes wake each other.
        node: its name.
        host: where it listens for devices.
        port: likewise.
        proxied: devices come through a proxy.
        urls: where it is managed.
        console: browsers get a page there.
        metrics: where it tells its metrics.
        files: certificates and settings.
        keys: the keyring's file.
        require_key: keep strangers out of the management.
        drain: seconds to let devices go.
        worker: which one it is, where several do the same.
    """

    db: str
    bus: str | None
    node: str | None
    host: str
    port: int
    proxied: bool
    urls: Sequence[str]
    console: bool
    metrics: str | None
    files: PlatformFiles
    keys: Path | None
    require_key: bool
    drain: float
    worker: Worker | None = None

    @property
    def beside(self) -> Collection[str]:
        """The nodes that end together with it."""
        return () if self.worker is None else self.worker.names

    @property
    def is_first(self) -> bool:
        """Whether it has what there is but once: management and metrics."""
        return self.worker is None or self.worker.number == 0

    def make(self) -> "NovaPlatform":
        """The platform.

        Raises:
            UsageError: options do not fit each other, or a file cannot be read.
            MissingExtra: a package is not installed.
            StoreFailed: the URL of the record makes no sense.
        """
        from jsonrpc_iot.novacloud import NovaPlatform

        store, bus = record_and_bus(self.db, self.bus, self.node)
        return NovaPlatform(
            store,
            host=self.host,
            port=self.port,
            tls=self.files.tls(),
            certificates=self.files.has_authority,
            proxied=self.proxied,
            reuse_port=self.worker is not None,
            settings=self.files.settings(),
            bus=bus,
            node=self.node,
        )


def run_platform(plan: Plan, on_ready: Callable[[Ready], None]) -> None:
    """Run a platform until SIGINT or SIGTERM.

    Args:
        plan: what it is like.
        on_ready: is told when it has begun.

    Raises:
        JsonRpcIotError: it cannot begin, or not go on.
    """
    from jsonrpc_iot.novacloud import StoreFailed
    from jsonrpc_iot.novacloud.errors import NameTaken, StoreInUse

    platform = plan.make()
    who = access(plan.keys, plan.require_key, plan.urls) if plan.is_first else {}
    who["console"] = plan.console
    try:
        anyio.run(_run, platform, plan, who, on_ready)
    except NameTaken as error:
        raise BindFailed(f"--node: {error.message}") from None
    except StoreInUse as error:
        raise BindFailed(f"--db: {error.message}") from None
    except StoreFailed as error:
        kind = ConnectFailed if "://" in plan.db else UsageError
        raise kind(f"--db: {error.message}") from None


async def _run(
    platform: "NovaPlatform",
    plan: Plan,
    who: dict[str, Any],
    on_ready: Callable[[Ready], None],
) -> None:
    from jsonrpc_iot.novacloud import management

    listeners: list[Server | Listener] = []

    def read_again() -> None:
        for each in listeners:
            each.reload()
        plan.files.read_again(platform)

    async def let_go() -> None:
        if await platform.cluster.has_others(plan.beside):
            from jsonrpc_iot.novacloud.platform.drain import drain

            await drain(platform, plan.drain, _tell_left)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform)
        shown = [*platform.urls]
        if plan.is_first:
            methods = management(platform)
            server = await stack.enter_async_context(serve_at(methods, *plan.urls, **who))
            listeners.append(server)
            platform.cluster.events.has_listeners = lambda: any(server.all_peers())
            shown += server.urls
        else:
            platform.cluster.events.has_listeners = lambda: False
        if plan.metrics is not None:
            url = metrics_url(plan.metrics)
            shown += await _tell_metrics(platform, plan, url, stack, listeners)
        reads_files = plan.files.has_any or any(each.reads_files for each in listeners)
        on_hangup = read_again if reads_files else None
        await stack.enter_async_context(until_signal(on_hangup, let_go))
        on_ready(Ready(shown, reads_files))
        await anyio.sleep_forever()


async def _tell_metrics(
    platform: "NovaPlatform",
    plan: Plan,
    url: "Url",
    stack: AsyncExitStack,
    listeners: "list[Server | Listener]",
) -> Sequence[str]:
    """Serve the metrics until the stack is closed; returns where, if that is for everybody."""
    from jsonrpc_iot.novacloud.platform.metrics import Metrics

    metrics, worker = Metrics(platform), plan.worker
    if worker is not None:
        name = worker.names[worker.number]
        if not plan.is_first:
            metrics = Metrics(platform, name)
            await stack.enter_async_context(telling_metrics(metrics, worker.folder, worker.number))
            return ()
        metrics = Metrics(platform, name, OtherWorkers(worker.folder, worker.names))
    listener = await stack.enter_async_context(serving_metrics(url, metrics))
    listeners.append(listener)
    return listener.addresses


def _tell_left(devices: int) -> None:
    explain(f"letting devices go, {devices} are left; a second signal ends this at once")
