"""`--improv URL`: a device that is told of networks by Improv Wi-Fi."""

import os
import platform
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import quote, urlsplit, urlunsplit

import anyio

from jsonrpc_iot import JsonRpcIotError, Url, UsageError

from ._output import Tracer, print_text
from ._presence import Attendant, Presence
from .command.declare import Given, Offer, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonrpc_iot.services.improv import Improv
    from jsonrpc_iot.transports.serial.shared import SharedPort

    from ._wifi import Radio

_SCHEMES = ("uart", "uart+pty", "gatt", "gatt+bumble")
_ELSEWHERE = {
    "0.0.0.0": (socket.AF_INET, "192.0.2.1"),
    "::": (socket.AF_INET6, "2001:db8::1"),
}
"""By what stands for all addresses: one for documents, to which nothing is sent."""
_NEARBY = ("gatt", "gatt+bumble", "memory", "pipe")  # schemes that are on no network
_OF_BROWSERS = ("http://", "https://")


def _check(value: str) -> str | None:
    from jsonrpc_iot.services.improv.port import read_url
    from jsonrpc_iot.transports.gatt.served import read_options

    try:
        if _is_bluetooth(value):
            read_options(Url.parse(value))
        else:
            read_url(value)
    except UsageError as error:
        return str(error)
    return None


def _is_bluetooth(url: str) -> bool:
    return Url.parse(url).scheme in ("gatt", "gatt+bumble")


def _check_adapter(improv: str, bind: Sequence[str]) -> None:
    """Refuse an adapter that bumble would have to open for each of the two.

    Raises:
        UsageError: it is one that only one can open.
    """
    from jsonrpc_iot.transports.gatt.served import is_one_radio

    if any(is_one_radio(Url.parse(improv), Url.parse(each)) for each in bind):
        raise UsageError(
            f"{improv}: bumble drives this adapter for --bind, and takes it for one of the two; "
            "give another adapter, or leave it to BlueZ, which serves both: gatt://?name=NAME"
        )


def _complete(beginning: str, given: Given) -> "Iterator[Offer]":
    return (Offer(f"{scheme}://") for scheme in _SCHEMES)


ImprovOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--improv",
        metavar="URL",
        help="Be told of a network by Improv Wi-Fi: over Bluetooth LE, as in gatt://?name=lamp, or "
        "at a serial port, as in uart:///dev/ttyGS0, which may be one of --bind. Prints "
        '"improv URL".',
        check=_check,
        complete=_complete,
    ),
]


class Provisioning:
    """Being told of networks while a program serves.

    Args:
        url: of the serial port, or of the Bluetooth device to be.
        bind: where the program serves; one of these may be that port, which both use then.
        radio: joins the networks; its block is entered in `within`.
        presence: what it does with people near it.
        name: what it is called; the machine's by default.
        trace: whether to show the packets, without keys.

    Raises:
        UsageError: the port is in both, and not with the same options; or a Bluetooth adapter would
            have to be opened twice.
    """

    def __init__(
        self,
        url: str,
        bind: Sequence[str],
        radio: "Radio",
        presence: Presence,
        name: str = "",
        *,
        trace: bool,
    ) -> None:
        _check_adapter(url, bind)
        self._url = url
        self._radio = radio
        self._presence = presence
        self._name = name or platform.node() or "jsonrpc-iot"
        self._trace = trace
        self._served: list[str] = []
        self._shared_url = "" if _is_bluetooth(url) else _same_port(url, bind)

    @property
    def options(self) -> dict[str, Any]:
        """Options of serving with it."""
        shared = {} if self._port is None else {"transports": {self._shared_url: self._port}}
        return {"within": self._within(), "on_listening": self._show, **shared}

    def urls(self) -> list[str]:
        """Where others reach what is served now, what a browser opens first."""
        found = [_reached(url) for url in self._served if _is_on_network(url)]
        return sorted(filter(None, found), key=lambda url: not url.startswith(_OF_BROWSERS))

    @cached_property
    def _improv(self) -> "Improv":
        from jsonrpc_iot.services.improv import DeviceInfo, Improv
        from jsonrpc_iot.services.system import package_version

        info = DeviceInfo("jsonrpc-iot", package_version(), platform.machine(), self._name)
        return Improv(
            self._radio.wifi,
            info,
            self.urls,
            identify=self._attendant.identify if self._presence.command else None,
            wants_button=self._presence.wants_button,
        )

    @cached_property
    def _attendant(self) -> Attendant:
        return Attendant(self._presence.command)

    @cached_property
    def _port(self) -> "SharedPort | None":
        from jsonrpc_iot.services.improv import share_port

        return share_port(self._improv) if self._shared_url else None

    def _show(self, url: str) -> None:
        """Tell of an address that accepts traffic."""
        self._served.append(url)
        address = url.partition("?")[0]
        if self._port and address in {each.partition("?")[0] for each in self._port.addresses}:
            print_text(f"improv {_port_alone(url)}")
        print_text(f"listening {url}")

    @asynccontextmanager
    async def _within(self) -> AsyncIterator[None]:
        """The block in which the device is told of networks."""
        from jsonrpc_iot.services.improv import serve_bluetooth, serve_port

        serve = serve_bluetooth if _is_bluetooth(self._url) else serve_port
        tracer = Tracer(self._url) if self._trace else None
        failure: JsonRpcIotError | None = None
        async with (
            self._radio.block,
            self._improv as improv,
            anyio.create_task_group() as tasks,
        ):
            try:
                if self._port is None:
                    address = await tasks.start(serve, improv, self._url, tracer)
                    print_text(f"improv {address}")
                tasks.start_soon(self._attendant.run, improv)
                yield
            except JsonRpcIotError as error:  # by itself, and not as one of a group
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure


def _same_port(url: str, bind: Sequence[str]) -> str:
    """Which of the URLs is that port; empty for none.

    Raises:
        UsageError: one is, with other options.
    """
    wanted = Url.parse(url)
    for text in bind:
        found = Url.parse(text)
        if _port_of(found) == _port_of(wanted):
            if any(found.options.get(name) != value for name, value in wanted.options.items()):
                raise UsageError("--improv and --bind name one port: give its options in --bind")
            return text
    return ""


def _port_of(url: Url) -> tuple[str, ...]:
    """What two URLs of the same port have in common, whatever goes over it."""
    scheme, _, pty = url.scheme.partition("+")
    kind = "serial" if scheme in ("uart", "tuya-dp") else scheme
    return kind, pty, url.host, os.path.realpath(url.path) if not url.host else url.path


def _port_alone(url: str) -> str:
    """The URL of the same port without what concerns messages alone."""
    parsed = Url.parse(url)
    rate = parsed.options.get("baudrate")
    return f"uart://{parsed.host}{quote(parsed.path)}" + (f"?baudrate={rate}" if rate else "")


def _is_on_network(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and parts.scheme not in _NEARBY


def _reached(url: str) -> str:
    """The URL with the address of this machine, where it names none in particular.

    That is the one that packets to the Internet would have; without a way there it is nothing.
    """
    parts = urlsplit(url)
    if parts.hostname not in _ELSEWHERE:
        return url
    family, elsewhere = _ELSEWHERE[parts.hostname]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((elsewhere, 9))
            address = asking.getsockname()[0]
    except OSError:
        return ""
    host = f"[{address}]" if family is socket.AF_INET6 else address
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=host + port))
