"""`nova platform`: the server that NovaCloud devices connect to."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio

from jsonrpc_iot import BindFailed, UsageError
from jsonrpc_iot import serve as serve_at

from ._access import KeysOption, RequireKeyOption, access
from ._log import LogJsonOption, VerboseOption, start_log
from ._options import complete_bind
from ._output import print_text
from ._signals import until_signal
from .command.declare import Option

if TYPE_CHECKING:
    import ssl

    from jsonrpc_iot.novacloud import NovaPlatform

logger = logging.getLogger("jsonrpc_iot.cli")


def platform(
    *,
    db: Annotated[
        Path,
        Option(metavar="FILE", help="The SQLite file; made when it is not there."),
    ],
    host: Annotated[str, Option(metavar="HOST", help="Where to listen for devices.")] = "127.0.0.1",
    port: Annotated[
        int, Option(metavar="PORT", min=0, max=65535, help="0 takes a free port.")
    ] = 8100,
    manage: Annotated[
        list[str] | None,
        Option(
            metavar="URL",
            help="Where to serve the management methods; pipe://novacloud when left out. "
            "Give it once for each URL.",
            complete=complete_bind,
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        Option(metavar="FILE", help="A certificate, in PEM; devices connect with TLS then."),
    ] = None,
    key: Annotated[
        Path | None,
        Option(metavar="FILE", help="Its private key, where it is not in the same file."),
    ] = None,
    auto_define: Annotated[
        bool, Option("--auto-define", help="Define a sensor when its first value comes.")
    ] = False,
    keys: KeysOption = None,
    require_key: RequireKeyOption = False,
    verbose: VerboseOption = False,
    log_json: LogJsonOption = False,
) -> None:
    """Run a NovaCloud platform: devices connect to it, and management methods say what it knows.

    Prints "listening novacloud://HOST:PORT" and "listening URL" for each management URL, and stops
    on SIGINT or SIGTERM. As many files may be open as the system allows; the log says how many
    devices that is, with --verbose or where it is few. With --keys management needs the permissions
    nova:read, nova:command, which includes it, or nova:admin, which includes both; without, whoever
    reaches a management URL may do everything. SIGHUP has the keyring and certificates read again.
    """
    from jsonrpc_iot.novacloud import NovaPlatform, PlatformSettings, SqliteStore, StoreFailed
    from jsonrpc_iot.novacloud.errors import StoreInUse
    from jsonrpc_iot.novacloud.platform.descriptors import raise_limit

    start_log(verbose=verbose, as_json=log_json)
    raise_limit()
    urls, tls = manage or ["pipe://novacloud"], _tls(cert, key)
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
        anyio.run(_run, made, urls, who, load_again)
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
    load_again: Callable[[], object] | None,
) -> None:
    from jsonrpc_iot.novacloud import management

    def read_again() -> None:
        server.reload()
        if load_again is not None:
            load_again()

    async with (
        platform,
        serve_at(management(platform), *urls, **who) as server,
        until_signal(read_again if load_again or server.reads_files else None),
    ):
        for url in (*platform.urls, *server.urls):
            print_text(f"listening {url}")
        await anyio.sleep_forever()
