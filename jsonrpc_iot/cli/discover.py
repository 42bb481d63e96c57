"""`discover`: which devices there are. How they are found is the business of `_search`."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import anyio
import msgspec
import typer

from ._options import seconds
from ._output import escape, explain, is_terminal, print_json_line, print_text
from ._statistics import show_milliseconds

if TYPE_CHECKING:
    from rich.table import Table

    from ._search import Found, Report, Search, Where


def discover(
    *,
    timeout: Annotated[
        float, typer.Option(callback=seconds, metavar="SECONDS", help="How long to look.")
    ] = 3.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each device.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=1, max=65_535, metavar="PORT", help="The port to ask at.")
    ] = 8805,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="HOST",
            help="Ask this host alone, HOST or HOST:PORT; give it once for each.",
            show_default=False,
        ),
    ] = None,
    ble: Annotated[
        bool, typer.Option("--ble", help="Listen for devices that advertise over BLE as well.")
    ] = False,
    radio: Annotated[
        str | None,
        typer.Option(
            metavar="TRANSPORT",
            help="Listen on this transport of bumble instead of the system's Bluetooth.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find devices by asking for sys.info; any answer counts, an error too.

    Asks over UDP: the local network by broadcast and multicast, and this host.
    Lists this host's serial adapters first, where the extra uart is installed,
    and with --ble at last the devices that advertise the RPC service.
    """
    from ._bluetooth import BleSearch
    from ._ports import serial_ports
    from ._search import Where

    bluetooth = BleSearch(radio)
    also = (bluetooth.search,) if ble or radio is not None else ()
    where = Where(target or (), port)
    found: list[Found] = []
    ports = [] if where.targets else serial_ports()
    if json or not is_terminal():

        def print_line(device: "Found") -> None:
            found.append(device)
            print_json_line(msgspec.json.encode(device))

        for each in ports:
            print_json_line(msgspec.json.encode(each))
        anyio.run(_search, where, timeout, print_line, also)
        for heard in bluetooth.devices:
            print_json_line(msgspec.json.encode(heard))
    else:
        for each in ports:
            ids = "" if each.vid is None else f"  {each.vid:04x}:{each.pid or 0:04x}"
            print_text(escape(f"{each.serial}  {each.description}{ids}"))
        _search_live(where, timeout, found, also)
        for heard in bluetooth.devices:
            print_text(escape(f"{heard.url}  {heard.name or ''}  {heard.rssi} dBm"))
    if not found and not bluetooth.heard:
        explain(
            "no devices answered; those that listen elsewhere need --target HOST or --port PORT"
        )


async def _search(
    where: "Where", timeout: float, report: "Report", also: "Sequence[Search]"
) -> None:
    from ._search import SEARCHES

    failure: Exception | None = None

    async def look(search: "Search") -> None:
        nonlocal failure
        try:
            await search(where, report)
        except Exception as error:  # noqa: BLE001  # goes on below, not in a group
            failure = error
            tasks.cancel_scope.cancel()

    with anyio.move_on_after(timeout):
        async with anyio.create_task_group() as tasks:
            for search in (*SEARCHES, *also):
                tasks.start_soon(look, search)
    if failure is not None:
        raise failure


def _search_live(
    where: "Where", timeout: float, found: "list[Found]", also: "Sequence[Search]"
) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.spinner import Spinner

    spinner = Spinner("dots", "looking for devices")
    with Live(spinner, transient=False) as live:

        def show(device: "Found") -> None:
            found.append(device)
            live.update(Group(_table(found), spinner))

        try:
            anyio.run(_search, where, timeout, show, also)
        finally:
            live.update(_table(found) if found else "")


def _table(found: "Sequence[Found]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("address", "name", "version", "platform", "uptime", "round trip"):
        table.add_column(title, overflow="fold")
    for device in found:
        error = "" if device.error is None else f"error {_problem(device.error)}"
        cells = (
            device.address,
            error if device.name is None else device.name,
            device.version or "",
            device.platform or "",
            _uptime(device.uptime),
            show_milliseconds(device.round_trip_ms),
        )
        table.add_row(*(Text(escape(cell)) for cell in cells))
    return table


def _problem(error: dict[str, object]) -> str:
    return f"{error.get('code', '')} {error.get('message', '')}".strip()


def _uptime(value: float | None) -> str:
    """A time for people to read."""
    if value is None or not math.isfinite(value):
        return ""
    minutes, second = divmod(int(value), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = ((days, "d"), (hour, "h"), (minute, "min"), (second, "s"))
    return " ".join([f"{number} {unit}" for number, unit in parts if number][:2]) or "0 s"
