"""`nova platform --workers`: a platform as several processes on one port."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from socket import gethostname
from urllib.parse import urlsplit, urlunsplit

import anyio
from msgspec.structs import replace

from jsonrpc_iot import UsageError
from jsonrpc_iot.channel.url import Url

from ._access import access
from ._log import name_log
from ._nova_record import SCHEMES
from ._nova_run import Plan, Ready, Worker, run_platform


def run_workers(plan: Plan, count: int) -> int:
    """Run workers until SIGINT or SIGTERM.

    Args:
        plan: what they are like.
        count: how many.

    Returns:
        The exit code.

    Raises:
        JsonRpcIotError: they cannot begin.
    """
    from jsonrpc_iot.novacloud.platform.entrance import free_port

    if not plan.db.startswith(SCHEMES):
        raise UsageError("--workers needs --db postgresql://…: one process alone has a SQLite file")
    if sys.platform != "linux":
        raise UsageError("--workers needs Linux, which shares a port out among processes")
    plan.make()  # to complain once
    access(plan.keys, plan.require_key, plan.urls)
    port = anyio.run(free_port, plan.host, plan.port)
    urls = [_with_port(url) for url in plan.urls]
    metrics = None if plan.metrics is None else _with_port(plan.metrics)
    from ._workers import Workers

    name = plan.node or gethostname()
    names = [f"{name}-{number}" for number in range(1, count + 1)]
    with tempfile.TemporaryDirectory(prefix="jsonrpc-iot-", ignore_cleanup_errors=True) as folder:
        each = replace(plan, port=port, urls=urls, metrics=metrics)
        return Workers(names, partial(_work, each, names, Path(folder))).run()


def _with_port(url: str) -> str:
    """A URL that says the same port to each worker that is started, also where any would do."""
    from jsonrpc_iot.novacloud.platform.entrance import free_port

    Url.parse(url)
    parts = urlsplit(url)
    if not parts.hostname or parts.port != 0:
        return url
    port = anyio.run(free_port, parts.hostname, 0)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))


def _work(
    plan: Plan,
    names: Sequence[str],
    folder: Path,
    number: int,
    on_ready: Callable[[Ready], None],
) -> None:
    name_log(names[number])
    run_platform(replace(plan, node=names[number], worker=Worker(number, names, folder)), on_ready)
