"""`--improv URL`: a device that is told of networks by Improv Wi-Fi."""

import os
import platform
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, TypeAlias
from urllib.parse import quote, urlsplit, urlunsplit

import anyio

from jsonrpc_iot import JsonRpcIotError, Url, UsageError

from ._output import Tracer, print_text
from .command.declare import Given, Offer, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonrpc_iot.services.improv import Improv
    from jsonrpc_iot.transports.serial.shared import SharedPort

    from ._wifi import Radio

_SCHEMES = ("uart", "uart+pty")
_EVERYWHERE = ("0.0.0.0", "::")  # in URLs that are told to others, it is replaced
_ELSEWHERE = ("192.0.2.1", 9)  # an address for documents, to which nothing is sent
_OF_BROWSERS = ("http://", "https://")


def _check(value: str) -> str | None:
    from jsonrpc_iot.services.improv.port import read_url

    try:
        read_url(value)
    except UsageError as error:
        return str(error)
    return None


def _complete(beginning: str, given: Given) -> "Iterator[Offer]":
    return (Offer(f"{scheme}://") for scheme in _SCHEMES)


ImprovOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--improv",
        metavar="URL",
        help="Be told of a network by Improv Wi-Fi at this serial port, such as "
        'uart:///dev/ttyGS0; with --wifi. The port may be one of --bind. Prints "improv URL".',
        check=_check,
        complete=_complete,
    ),
]


class Provisioning:
    """Being told of networks while a program serves.

    Args:
        url: of the serial port.
        bind: where the program serves; one of these may be that port, which both use then.
        radio: joins the networks; its block is entered in `within`.
        trace: whether to show the packets, without keys.

    Raises:
        UsageError: the port is in both, and not with the same options.
    """

    def __init__(self, url: str, bind: Sequence[str], radio: "Radio", *, trace: bool) -> None:
        self._url = url
        self._radio = radio
        self._trace = trace
        self._served: list[str] = []
        self._shared_url = _same_port(url, bind)

    @property
    def options(self) -> dict[str, object]:
        """Options of serving with it."""
        shared = {} if self._port is None else {"transports": {self._shared_url: self._port}}
        return {"within": self._within(), "on_listening": self._show, **shared}

    def urls(self) -> list[str]:
        """Where others reach what is served now, what a browser opens first."""
        found = [_reached(url) for url in self._served if urlsplit(url).hostname]
        return sorted(found, key=lambda url: not url.startswith(_OF_BROWSERS))

    @cached_property
    def _improv(self) -> "Improv":
        from jsonrpc_iot.services.improv import DeviceInfo, Improv
        from jsonrpc_iot.services.system import package_version

        name = platform.node() or "jsonrpc-iot"
        info = DeviceInfo("jsonrpc-iot", package_version(), platform.machine(), name)
        return Improv(self._radio.wifi, info, self.urls)

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
        from jsonrpc_iot.services.improv import serve_port

        tracer = Tracer(self._url) if self._trace else None
        failure: JsonRpcIotError | None = None
        async with (
            self._radio.block,
            self._improv as improv,
            anyio.create_task_group() as tasks,
        ):
            try:
                if self._port is None:
                    address = await tasks.start(serve_port, improv, self._url, tracer)
                    print_text(f"improv {address}")
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


def _reached(url: str) -> str:
    """The URL with the address of this machine, where it names none in particular."""
    parts = urlsplit(url)
    if parts.hostname not in _EVERYWHERE:
        return url
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(OSError):
        asking.connect(_ELSEWHERE)
        port = "" if parts.port is None else f":{parts.port}"
        return urlunsplit(parts._replace(netloc=f"{asking.getsockname()[0]}{port}"))
    return url
