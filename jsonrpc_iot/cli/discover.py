"""`discover`: which devices there are. How they are found is the business of `_search`."""

import math
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import msgspec

from jsonrpc_iot.channel.tasks import task_group
from jsonrpc_iot.protocol.text import escape

from ._options import duration
from ._output import explain, is_terminal, print_json_line, print_text, table_of
from ._statistics import show_milliseconds
from .command.declare import Option

if TYPE_CHECKING:
    from rich.table import Table

    from jsonrpc_iot.transports.gatt import HeardDevice

    from ._search import Found, Report

Search = Callable[[], Coroutine[Any, Any, None]]


def discover(
    *,
    timeout: Annotated[float, duration("How long to look.")] = 3.0,
    json: Annotated[
        bool, Option("--json", help="Print one JSON object a line for each device.")
    ] = False,
    port: Annotated[
        int, Option(min=1, max=65_535, metavar="PORT", help="The port to ask at.")
    ] = 8805,
    target: Annotated[
        list[str] | None,
        Option(
            metavar="HOST", help="Ask this host alone, HOST or HOST:PORT; give it once for each."
        ),
    ] = None,
    ble: Annotated[
        bool, Option("--ble", help="Listen for devices that advertise over BLE as well.")
    ] = False,
    radio: Annotated[
        str | None,
        Option(
            metavar="TRANSPORT",
            help="Listen on this transport of bumble instead of the system's Bluetooth.",
        ),
    ] = None,
) -> None:
    """Find devices by asking for sys.info; any answer counts, an error too.

    Asks over UDP: the local network by broadcast and multicast, and this host.
    Lists this host's serial adapters first, where the extra uart is installed,
    and with --ble at last the devices that advertise the RPC service.
    """
    from ._ports import serial_ports
    from ._search import search_udp

    found: list[Found] = []
    heard: dict[str, HeardDevice] = {}
    in_lines = json or not is_terminal()

    def print_device(device: msgspec.Struct, text: str) -> None:
        if in_lines:
            print_json_line(msgspec.json.encode(device))
        else:
            print_text(escape(text))

    def print_found(device: "Found") -> None:
        found.append(device)
        print_json_line(msgspec.json.encode(device))

    for each in () if target else serial_ports():
        print_device(each, str(each))
    with nullcontext(print_found) if in_lines else _live_table(found) as report:
        searches: list[Search] = [partial(search_udp, target or (), port, report)]
        if ble or radio is not None:
            searches.append(_ble_search(radio, heard))
        anyio.run(_search, searches, timeout)
    for device in sorted(heard.values(), key=lambda device: -device.rssi):
        print_device(device, f"{device.url}  {device.name or ''}  {device.rssi} dBm")
    if not found and not heard:
        explain(
            "no devices answered; those that listen elsewhere need --target HOST or --port PORT"
        )


async def _search(searches: Sequence[Search], timeout: float) -> None:
    with anyio.move_on_after(timeout):
        async with task_group() as tasks:
            for search in searches:
                tasks.start_soon(search)


def _ble_search(radio: str | None, heard: "dict[str, HeardDevice]") -> Search:
    """What keeps each device as it was heard last, by address. Nobody connects to any."""
    from jsonrpc_iot.transports.gatt import scan

    def hear(device: "HeardDevice") -> None:
        heard[device.address] = device

    return partial(scan, "gatt://" if radio is None else f"gatt+bumble://{radio}", hear)


@contextmanager
def _live_table(found: "list[Found]") -> "Iterator[Report]":
    """What adds a device to those found, which are shown meanwhile and in the end."""
    from rich.console import Group
    from rich.live import Live
    from rich.spinner import Spinner

    spinner = Spinner("dots", "looking for devices")
    with Live(spinner, transient=False) as live:

        def report(device: "Found") -> None:
            found.append(device)
            live.update(Group(_table(found), spinner))

        try:
            yield report
        finally:
            live.update(_table(found) if found else "")


def _table(found: "Sequence[Found]") -> "Table":
    titles = ("address", "name", "version", "platform", "uptime", "round trip")
    return table_of(titles, map(_row, found))


def _row(device: "Found") -> tuple[str, ...]:
    error = "" if device.error is None else f"error {_problem(device.error)}"
    return (
        device.address,
        error if device.name is None else device.name,
        device.version or "",
        device.platform or "",
        _uptime(device.uptime),
        show_milliseconds(device.round_trip_ms),
    )


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
