"""`nova platform`: the server that NovaCloud devices connect to."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import anyio

from jsonrpc_iot import BindFailed, Server, UsageError
from jsonrpc_iot import serve as serve_at

from ._access import KeysOption, RequireKeyOption, access
from ._log import LogJsonOption, VerboseOption, start_log
from ._nova_metrics import metrics_url, serving_metrics
from ._options import complete_bind
from ._output import print_text
from ._signals import until_signal
from .command.declare import Option

if TYPE_CHECKING:
    import ssl

    from jsonrpc_iot.channel.contract import Listener
    from jsonrpc_iot.channel.url import Url
    from jsonrpc_iot.novacloud import NovaPlatform

logger = logging.getLogger("jsonrpc_iot.cli")

DbOption: TypeAlias = Annotated[
    Path, Option(metavar="FILE", help="The SQLite file; made when it is not there.")
]
ListenHostOption: TypeAlias = Annotated[
    str, Option(metavar="HOST", help="Where to listen for devices.")
]
ListenPortOption: TypeAlias = Annotated[
    int, Option(metavar="PORT", min=0, max=65535, help="0 takes a free port.")
]
ManageOption: TypeAlias = Annotated[
    list[str] | None,
    Option(
        metavar="URL",
        help="Where to serve the management methods; pipe://novacloud when left out. "
        "Give it once for each URL.",
        complete=complete_bind,
    ),
]
MetricsOption: TypeAlias = Annotated[
    str | None,
    Option(
        metavar="URL",
        help="An http:// or https:// address, such as http://127.0.0.1:9100, where "
        "GET /metrics has numbers for Prometheus, and GET /ready is 200 or 503.",
    ),
]
CertOption: TypeAlias = Annotated[
    Path | None,
    Option(metavar="FILE", help="A certificate, in PEM; devices connect with TLS then."),
]
KeyOption: TypeAlias = Annotated[
    Path | None,
    Option(metavar="FILE", help="Its private key, where it is not in the same file."),
]
AutoDefineOption: TypeAlias = Annotated[
    bool, Option("--auto-define", help="Define a sensor when its first value comes.")
]


def platform(
    *,
    db: DbOption,
    host: ListenHostOption = "127.0.0.1",
    port: ListenPortOption = 8100,
    manage: ManageOption = None,
    metrics: MetricsOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    auto_define: AutoDefineOption = False,
    keys: KeysOption = None,
    require_key: RequireKeyOption = False,
    verbose: VerboseOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Run a NovaCloud platform: devices connect to it, and management methods say what it knows.

    Prints "listening novacloud://HOST:PORT" and "listening URL" for each management URL and that of
    --metrics, and stops on SIGINT or SIGTERM. As many files may be open as the system allows; the
    log says how many devices that is, with --verbose or where it is few. With --keys management
    needs the permissions nova:read, nova:command, which includes it, or nova:admin, which includes
    both; without, whoever reaches a management URL may do everything. SIGHUP has the keyring and
    certificates read again.
    """
    from jsonrpc_iot.novacloud import NovaPlatform, PlatformSettings, SqliteStore, StoreFailed
    from jsonrpc_iot.novacloud.errors import StoreInUse
    from jsonrpc_iot.novacloud.platform.descriptors import raise_limit

    start_log(verbose=verbose, as_json=log_json)
    raise_limit()
    urls, tls = manage or ["pipe://novacloud"], _tls(cert, key)
    where = None if metrics is None else metrics_url(metrics)
    who = access(keys, require_key, urls)
    made = NovaPlatform(
        SqliteStore(db),
        host=host,
        port=port,
        tls=tls,
        settings=PlatformSettings(auto_define=auto_define),
    )
    try:
        load_again = None if tls is None or cert is None else partial(_load_again, tls, cert, key)
        anyio.run(_run, made, urls, who, where, load_again)
    except StoreInUse as error:
        raise BindFailed(f"--db: {error.message}") from None
    except StoreFailed as error:
        raise UsageError(f"--db: {error.message}") from None


def _tls(cert: Path | None, key: Path | None) -> "ssl.SSLContext | None":
    import ssl

    if cert is None:
        if key is not None:
            raise UsageError("--key is of use with --cert alone")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:
        raise UsageError(f"--cert: {error.strerror or error}") from None
    return context


def _load_again(tls: "ssl.SSLContext", cert: Path, key: Path | None) -> None:
    """Have new connections of devices begin with the certificate that is in the file now."""
    try:
        _tls(cert, key)  # half of a pair would spoil the one that is in use
        tls.load_cert_chain(cert, key)
    except (UsageError, OSError) as error:
        logger.error("%s; the certificate stays as it was", error)


async def _run(
    platform: "NovaPlatform",
    urls: list[str],
    who: dict[str, Any],
    metrics: "Url | None",
    load_again: Callable[[], object] | None,
) -> None:
    from jsonrpc_iot.novacloud import management

    listeners: list[Server | Listener] = []

    def read_again() -> None:
        for each in listeners:
            each.reload()
        if load_again is not None:
            load_again()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform)
        methods = management(platform)
        server = await stack.enter_async_context(serve_at(methods, *urls, **who))
        listeners.append(server)
        shown = [*platform.urls, *server.urls]
        if metrics is not None:
            listener = await stack.enter_async_context(serving_metrics(metrics, platform))
            listeners.append(listener)
            shown += listener.addresses
        reads_files = load_again or any(each.reads_files for each in listeners)
        await stack.enter_async_context(until_signal(read_again if reads_files else None))
        for url in shown:
            print_text(f"listening {url}")
        await anyio.sleep_forever()
