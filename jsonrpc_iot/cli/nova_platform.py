"""`nova platform`: the server that NovaCloud devices connect to."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import anyio

from jsonrpc_iot import BindFailed, Server, UsageError
from jsonrpc_iot import serve as serve_at

from ._access import KeysOption, RequireKeyOption, access
from ._log import LogJsonOption, VerboseOption, start_log
from ._nova_files import PlatformFiles
from ._nova_metrics import metrics_url, serving_metrics
from ._options import complete_bind
from ._output import print_text
from ._signals import until_signal
from .command.declare import Option

if TYPE_CHECKING:
    from jsonrpc_iot.channel.contract import Listener
    from jsonrpc_iot.channel.url import Url
    from jsonrpc_iot.novacloud import NovaPlatform

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
CaOption: TypeAlias = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Whose certificates devices have, in PEM, perhaps with lists of those that are "
        "revoked: devices prove who they are by a certificate then, whose common name is their id.",
    ),
]
ProxyProtocolOption: TypeAlias = Annotated[
    bool,
    Option(
        "--proxy-protocol",
        help="Devices come through a proxy that says whose a connection is (PROXY protocol, "
        "version 2). It is believed, so nobody else may reach the port.",
    ),
]
SettingsOption: TypeAlias = Annotated[
    Path | None,
    Option(metavar="FILE", help="Limits and times: TOML with the fields of PlatformSettings."),
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
    ca: CaOption = None,
    proxy_protocol: ProxyProtocolOption = False,
    settings: SettingsOption = None,
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
    both; without, whoever reaches a management URL may do everything. SIGHUP has the keyring, the
    certificates and the settings read again; where a file is broken, all stays as it was.
    """
    from jsonrpc_iot.novacloud import NovaPlatform, SqliteStore, StoreFailed
    from jsonrpc_iot.novacloud.errors import StoreInUse
    from jsonrpc_iot.novacloud.platform.descriptors import raise_limit

    start_log(verbose=verbose, as_json=log_json)
    raise_limit()
    files = PlatformFiles(cert=cert, key=key, ca=ca, settings=settings, auto_define=auto_define)
    urls = manage or ["pipe://novacloud"]
    where = None if metrics is None else metrics_url(metrics)
    made = NovaPlatform(
        SqliteStore(db),
        host=host,
        port=port,
        tls=files.tls(),
        certificates=ca is not None,
        proxied=proxy_protocol,
        settings=files.settings(),
    )
    try:
        anyio.run(_run, made, urls, access(keys, require_key, urls), where, files)
    except StoreInUse as error:
        raise BindFailed(f"--db: {error.message}") from None
    except StoreFailed as error:
        raise UsageError(f"--db: {error.message}") from None


async def _run(
    platform: "NovaPlatform",
    urls: list[str],
    who: dict[str, Any],
    metrics: "Url | None",
    files: PlatformFiles,
) -> None:
    from jsonrpc_iot.novacloud import management

    listeners: list[Server | Listener] = []

    def read_again() -> None:
        for each in listeners:
            each.reload()
        files.read_again(platform)

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
        reads_files = files.has_any or any(each.reads_files for each in listeners)
        await stack.enter_async_context(until_signal(read_again if reads_files else None))
        for url in shown:
            print_text(f"listening {url}")
        await anyio.sleep_forever()
