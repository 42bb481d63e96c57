"""The command line: `app` is the program, with one file per group of commands.

Commands raise what they fail with; `_run` alone knows which exit code that is. What comes from a
device is printed through `_output`, which escapes it.
"""

from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from ._output import explain, prepare_streams, print_text
from ._run import USAGE, guarded
from .bench import bench
from .call import call, listen, notify
from .demo import demo
from .describe import describe
from .discover import discover
from .monitor import monitor
from .nova_device import device
from .nova_load import load
from .nova_platform import platform
from .ping import ping
from .serve import serve, simulate

NAME = "jsonrpc-iot"

app = typer.Typer(
    name=NAME,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "URLs look like tcp://192.168.1.20:8805, pipe://lamp or unix:///run/lamp.sock. "
        "Exit codes: 0 success; 1 the other end answered with an error, which is on standard error "
        "as JSON; 2 wrong usage; 3 the connection failed, or a message is too large for it; "
        "124 the time ran out."
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from jsonrpc_iot.services.system import package_version

        print_text(f"{NAME} {package_version()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Call, serve and watch JSON-RPC devices over any transport."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


for command in (
    call,
    notify,
    listen,
    describe,
    ping,
    bench,
    discover,
    monitor,
    serve,
    simulate,
    demo,
):
    app.command()(guarded(command))

nova = typer.Typer(
    name="nova", help="NovaCloud TCP: a platform, and devices for it.", rich_markup_mode=None
)
nova.command()(guarded(platform))
nova.command()(guarded(device))
nova.command()(guarded(load))
app.add_typer(nova)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the process by default.

    Returns:
        The exit code.
    """
    prepare_streams()
    try:
        code = get_command(app).main(arguments, prog_name=NAME, standalone_mode=False)
    except typer.TyperException as error:
        explain(f"{' '.join(error.format_message().split())} (--help shows the usage)")
        return USAGE
    return code or 0
