"""`nova platform`: the server that NovaCloud devices connect to."""

from pathlib import Path
from typing import Annotated, TypeAlias

from ._access import KeysOption, RequireKeyOption
from ._log import show_warnings
from ._nova_files import PlatformFiles
from ._nova_metrics import metrics_url
from ._nova_record import BusOption, DbOption, DrainOption, NodeOption, WorkersOption
from ._nova_run import Plan, Ready, run_platform
from ._nova_workers import run_workers
from ._options import ConsoleOption, complete_bind
from ._output import print_text
from .command.declare import Option

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
    workers: WorkersOption = 1,
    host: ListenHostOption = "127.0.0.1",
    port: ListenPortOption = 8100,
    manage: ManageOption = None,
    console: ConsoleOption = False,
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
) -> int:
    """Run a NovaCloud platform: devices connect to it, and management methods say what it knows.

    Prints "listening novacloud://HOST:PORT" and "listening URL" for each management URL and that of
    --metrics, and stops on SIGINT or SIGTERM. As many files may be open as the system allows; the
    log says how many devices that is, with --verbose or where it is few. With --keys management
    needs the permissions nova:read, nova:command, which includes it, or nova:admin, which includes
    both; without, whoever reaches a management URL may do everything. SIGHUP has the keyring, the
    certificates and the settings read again; where a file is broken, all stays as it was.

    Several nodes, on one machine or many, serve the same devices with one PostgreSQL as their --db.
    On SIGTERM such a node lets its devices go within --drain seconds, so that they spread over the
    others; a second one ends it at once. With --workers there are that many such nodes, NAME-1 and
    so on, as processes that share the port. The first one serves management and the metrics, which
    have a label for the node. One that dies is started again.
    """
    from jsonrpc_iot.novacloud.platform.descriptors import raise_limit

    show_warnings()
    raise_limit()
    if metrics is not None:
        metrics_url(metrics)  # to complain before anything else is done
    plan = Plan(
        db=db,
        bus=bus,
        node=node,
        host=host,
        port=port,
        proxied=proxy_protocol,
        urls=manage or ["pipe://novacloud"],
        console=console,
        metrics=metrics,
        files=PlatformFiles(cert=cert, key=key, ca=ca, settings=settings, auto_define=auto_define),
        keys=keys,
        require_key=require_key,
        drain=drain,
    )
    if workers == 1:
        run_platform(plan, _show)
        return 0
    return run_workers(plan, workers)


def _show(ready: Ready) -> None:
    for url in ready.urls:
        print_text(f"listening {url}")
