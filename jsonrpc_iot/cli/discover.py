"""`discover`: which devices there are, as `jsonrpc_iot.discover` finds them."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import anyio
import msgspec

import jsonrpc_iot
from jsonrpc_iot import Found, MissingExtra
from jsonrpc_iot.transports.mdns.link import require as require_mdns
from jsonrpc_iot.transports.serial.adapters import require as require_serial

from ._log import is_quiet
from ._options import duration
from ._output import explain, is_terminal, print_json_line, table_of
from ._statistics import show_milliseconds
from .command.declare import Option

if TYPE_CHECKING:
    from rich.table import Table

Report = Callable[[Found], object]
Via: TypeAlias = Literal["udp", "serial", "ble", "mdns"]


def discover(
    *,
    timeout: Annotated[float, duration("How long to look.")] = 3.0,
    watch: Annotated[bool, Option("--watch", help="Go on looking until Ctrl-C.")] = False,
    json: Annotated[
        bool, Option("--json", help="Print one JSON object a line for each device.")
    ] = False,
    via: Annotated[
        list[Via] | None,
        Option(help="Look in this way alone; give it once for each."),
    ] = None,
    port: Annotated[
        int, Option(min=1, max=65_535, metavar="PORT", help="The port to ask at over UDP.")
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
    interface: Annotated[
        list[str] | None,
        Option(
            metavar="ADDRESS",
            help="Speak mDNS on the interface of this address alone; give it once for each.",
        ),
    ] = None,
) -> None:
    """Find devices, and print each at once; any answer counts, an error too.

    Asks for sys.info over UDP: the local network by broadcast and multicast, and this host. Hears
    of servers that announce themselves by mDNS, where the extra mdns is installed, and lists this
    host's serial adapters, where the extra uart is; with --ble also devices that advertise the RPC
    service.
    """
    options: dict[str, Any] = {
        "targets": target or (),
        "port": port,
        "radio": "gatt://" if radio is None else f"gatt+bumble://{radio}",
        "interfaces": interface or (),
    }
    if target and not via:
        via = ["udp"]
    if ble or radio is not None:
        options["also"] = ["ble"]
    found: list[Found] = []
    seconds = math.inf if watch else timeout
    with _lines(found) if json or not is_terminal() else _live_table(found) as report:
        anyio.run(partial(_look, via or (), seconds, report, **options))
    if not found:
        explain(
            "no devices answered; those that listen elsewhere need --target HOST or --port PORT"
        )


async def _look(via: Sequence[Via], seconds: float, report: Report, **options: Any) -> None:
    for way, require in () if via else (("serial", require_serial), ("mdns", require_mdns)):
        try:
            require("discover")
        except MissingExtra as missing:
            if not is_quiet():
                explain(f"no look by {way}: {missing}")
    devices = jsonrpc_iot.discover(*via, **options)
    with anyio.move_on_after(seconds):
        async with aclosing(devices):
            async for device in devices:
                report(device)


@contextmanager
def _lines(found: list[Found]) -> Iterator[Report]:
    """What adds a device to those found, and prints it on a line."""

    def report(device: Found) -> None:
        found.append(device)
        line = {"url": device.url, "name": device.name, "via": device.via, **device.info}
        print_json_line(msgspec.json.encode(line))

    yield report


@contextmanager
def _live_table(found: list[Found]) -> Iterator[Report]:
    """What adds a device to those found, which are shown meanwhile and in the end."""
    from rich.console import Group
    from rich.live import Live
    from rich.spinner import Spinner

    spinner = Spinner("dots", "looking for devices")
    with Live(spinner, transient=False) as live:

        def report(device: Found) -> None:
            found.append(device)
            live.update(Group(_table(found), spinner))

        try:
            yield report
        finally:
            live.update(_table(found) if found else "")


def _table(found: Sequence[Found]) -> "Table":
    titles = ("url", "name", "version", "platform", "uptime", "signal")
    return table_of(titles, map(_row, found))


def _row(device: Found) -> tuple[str, ...]:
    name, info = device.name or "", device.info
    match device.via:
        case "serial":
            ids = "" if info["vid"] is None else f"{info['vid']:04x}:{info['pid'] or 0:04x}"
            return device.url, info["description"], "", ids, "", ""
        case "ble":
            return device.url, name, "", "", "", f"{info['rssi']} dBm"
        case "mdns":
            return device.url, name, "", info["host"], "", ""
    return (
        device.url,
        name if info["error"] is None else f"error {_problem(info['error'])}",
        info["version"] or "",
        info["platform"] or "",
        _uptime(info["uptime"]),
        show_milliseconds(info["round_trip_ms"]),
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
