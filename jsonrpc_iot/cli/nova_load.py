"""`nova load`: many devices at once, to see what a NovaCloud platform bears."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import msgspec

from jsonrpc_iot import ConnectFailed, UsageError

from ._nova import CaOption, HostOption, PortOption, TlsOption, tls_context
from ._options import JsonOption, duration
from ._output import is_terminal, print_json, print_text
from ._statistics import show_milliseconds
from .command.declare import Option

if TYPE_CHECKING:
    from ._nova_load import Load, LoadReport


def load(
    *,
    keys: Annotated[
        Path,
        Option(metavar="FILE", help="A line for each device: its id, a space, its key; or JSON."),
    ],
    devices: Annotated[
        int | None, Option(min=1, metavar="N", help="How many; all in the file by default.")
    ] = None,
    rate: Annotated[float, duration("Reports per second of each.", "R")] = 1.0,
    duration: Annotated[float, duration("How long to go on.")] = 10.0,
    connecting: Annotated[
        int, Option(min=1, metavar="N", help="Devices that connect at a time.")
    ] = 100,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8100,
    tls: TlsOption = False,
    ca: CaOption = None,
    json: JsonOption = False,
) -> None:
    """Load a NovaCloud platform with many devices, and show how fast it stores what they report.

    Times and losses are known of platforms that acknowledge. Each device reports "temperature". If
    no device can connect, the exit code is that of a failed connection.
    """
    from ._nova_load import Load, read_keys, report_of

    known = read_keys(keys)
    if devices is not None and devices > len(known):
        raise UsageError(f"--devices {devices}: {keys} has only {len(known)}")
    chosen = known[:devices]
    state = Load(rate, duration)
    with _progress(state, round(len(chosen) * rate * duration)):
        anyio.run(state.run, chosen, host, port, tls_context(tls=tls, ca=ca), connecting)
    if not state.connected:
        raise ConnectFailed(f"novacloud://{host}:{port}: {state.reason}")
    _show(report_of(state, len(chosen)), as_json=json or not is_terminal())


def _show(report: "LoadReport", *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.json.encode(report))
        return
    print_text(
        f"{report.connected} of {report.devices} devices, {report.failed} failed\n"
        f"{report.reports} reports, {report.reports_per_second:,.0f}/s, "
        f"{'unknown' if report.lost is None else report.lost} lost\n"
        f"p50 {show_milliseconds(report.p50)}, p99 {show_milliseconds(report.p99)}, "
        f"max {show_milliseconds(report.max)}"
    )


@contextmanager
def _progress(state: "Load", total: int) -> Iterator[None]:
    """Show a bar on standard error while the block runs, where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(TextColumn("{task.fields[state]}"), BarColumn(), auto_refresh=False)
    task = bar.add_task("", total=total, state="")

    def render() -> Progress:
        text = f"{state.connected:,} devices, {state.sent:,} reports, {state.failed:,} failed"
        bar.update(task, completed=state.sent, state=text)
        return bar

    with Live(
        get_renderable=render,
        console=Console(stderr=True),
        refresh_per_second=5,
        transient=True,
    ):
        yield
