"""`--improv URL`: a device that is told of networks by Improv Wi-Fi."""

import platform
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import anyio

from jsonrpc_iot import JsonRpcIotError, UsageError

from ._output import Tracer, print_text
from .command.declare import Given, Offer, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        'uart:///dev/ttyGS0; with --wifi. Prints "improv URL".',
        check=_check,
        complete=_complete,
    ),
]


class Provisioning:
    """Being told of networks while a program serves.

    Args:
        url: of the serial port.
        trace: whether to show the packets, without keys.
    """

    def __init__(self, url: str, *, trace: bool) -> None:
        self._url = url
        self._trace = trace
        self._served: list[str] = []

    def note(self, url: str) -> None:
        """Tell of an address that accepts traffic, once the device is on a network."""
        self._served.append(url)

    def urls(self) -> list[str]:
        """Where others reach what is served now, what a browser opens first."""
        found = [_reached(url) for url in self._served if urlsplit(url).hostname]
        return sorted(found, key=lambda url: not url.startswith(_OF_BROWSERS))

    @asynccontextmanager
    async def within(self, radio: "Radio") -> AsyncIterator[None]:
        """The block in which the device is told of networks.

        Args:
            radio: joins them; its own block is entered too.
        """
        from jsonrpc_iot.services.improv import DeviceInfo, Improv, serve_port
        from jsonrpc_iot.services.system import package_version

        name = platform.node() or "jsonrpc-iot"
        info = DeviceInfo("jsonrpc-iot", package_version(), platform.machine(), name)
        tracer = Tracer(self._url) if self._trace else None
        failure: JsonRpcIotError | None = None
        async with (
            radio.block,
            Improv(radio.wifi, info, self.urls) as improv,
            anyio.create_task_group() as tasks,
        ):
            try:
                print_text(f"improv {await tasks.start(serve_port, improv, self._url, tracer)}")
                yield
            except JsonRpcIotError as error:  # by itself, and not as one of a group
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure


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
