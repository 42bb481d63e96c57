"""`nova platform`: the server that NovaCloud devices connect to."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import anyio

from jsonrpc_iot import BindFailed, ConnectFailed, Server, UsageError
from jsonrpc_iot import serve as serve_at

from ._access import KeysOption, RequireKeyOption, access
from ._log import LogJsonOption, VerboseOption, start_log
from ._nova_files import PlatformFiles
from ._nova_metrics import metrics_url, serving_metrics
from ._nova_record import BusOption, DbOption, DrainOption, NodeOption, record_and_bus
from ._options import complete_bind
from ._output import explain, print_text
from ._signals import until_signal
from .command.declare import Option

if TYPE_CHECKING:
    from jsonrpc_iot.channel.contract import Listener
    from jsonrpc_iot.channel.url import Url
    from jsonrpc_iot.novacloud import NovaPlatform

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
    bus: BusOption = None,
    node: NodeOption = None,
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
    drain: DrainOption = 10.0,
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

    Several nodes, on one machine or many, serve the same devices with one PostgreSQL as their --db.
    On SIGTERM such a node lets its devices go within --drain seconds, so that they spread over the
    others; a second one ends it at once.
    """
    from jsonrpc_iot.novacloud import NovaPlatform, StoreFailed
    from jsonrpc_iot.novacloud.errors import NameTaken, StoreInUse
    from jsonrpc_iot.novacloud.platform.descriptors import raise_limit

    start_log(verbose=verbose, as_json=log_json)
    raise_limit()
    files = PlatformFiles(cert=cert, key=key, ca=ca, settings=settings, auto_define=auto_define)
    urls = manage or ["pipe://novacloud"]
    where = None if metrics is None else metrics_url(metrics)
    store, chosen_bus = record_and_bus(db, bus, node)
    made = NovaPlatform(
        store,
        host=host,
        port=port,
        tls=files.tls(),
        certificates=ca is not None,
        proxied=proxy_protocol,
        settings=files.settings(),
        bus=chosen_bus,
        node=node,
    )
    try:
        anyio.run(_run, made, urls, access(keys, require_key, urls), where, files, drain)
    except NameTaken as error:
        raise BindFailed(f"--node: {error.message}") from None
    except StoreInUse as error:
        raise BindFailed(f"--db: {error.message}") from None
    except StoreFailed as error:
        kind = ConnectFailed if "://" in db else UsageError
        raise kind(f"--db: {error.message}") from None


async def _run(
    platform: "NovaPlatform",
    urls: list[str],
    who: dict[str, Any],
    metrics: "Url | None",
    files: PlatformFiles,
    seconds: float,
) -> None:
    from jsonrpc_iot.novacloud import management
    from jsonrpc_iot.novacloud.platform.drain import drain

    listeners: list[Server | Listener] = []

    def read_again() -> None:
        for each in listeners:
            each.reload()
        files.read_again(platform)

    async def let_go() -> None:
        if await platform.cluster.has_others():
            await drain(platform, seconds, _tell_left)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform)
        methods = management(platform)
        server = await stack.enter_async_context(serve_at(methods, *urls, **who))
        listeners.append(server)
        platform.cluster.events.has_listeners = lambda: any(server.all_peers())
        shown = [*platform.urls, *server.urls]
        if metrics is not None:
            listener = await stack.enter_async_context(serving_metrics(metrics, platform))
            listeners.append(listener)
            shown += listener.addresses
        reads_files = files.has_any or any(each.reads_files for each in listeners)
        on_hangup = read_again if reads_files else None
        await stack.enter_async_context(until_signal(on_hangup, let_go))
        for url in shown:
            print_text(f"listening {url}")
        await anyio.sleep_forever()


def _tell_left(devices: int) -> None:
    explain(f"letting devices go, {devices} are left; a second signal ends this at once")
