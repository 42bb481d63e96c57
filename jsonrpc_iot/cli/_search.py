"""Looking for devices over UDP: whoever is there is asked for `sys.info`."""

import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from ipaddress import ip_address
from typing import Any

import anyio
import msgspec

from jsonrpc_iot import ConnectFailed
from jsonrpc_iot.channel.url import Url, host_port
from jsonrpc_iot.transports.packets.datagrams import Address, read_packets, receive
from jsonrpc_iot.transports.packets.udp import resolve

METHOD = "sys.info"

# Requests may get lost; asking three times finds almost everybody.
_ROUNDS = 3
_ROUND_SECONDS = 0.4
_LONGEST_UPTIME = 1e12
_BROADCAST = "255.255.255.255"
_ALL_HOSTS = "224.0.0.1"
_ALL_NODES = "ff02::1"
_THIS_HOST = ("127.0.0.1", "::1")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A device that answered; what it did not say is `None`.

    Args:
        url: where it can be called.
        address: the same for people.
        name: what it calls itself.
        version: that of its software.
        platform: what it runs on.
        uptime: seconds since it started.
        round_trip_ms: milliseconds that its answer took.
        error: the error that it answered with.
    """

    url: str
    address: str
    name: str | None = None
    version: str | None = None
    platform: str | None = None
    uptime: float | None = None
    round_trip_ms: float
    error: dict[str, Any] | None = None


Report = Callable[[Found], object]


async def search_udp(targets: Sequence[str], port: int, report: Report) -> None:
    """Ask over UDP: by broadcast and multicast, and this host, or the targets alone.

    Goes on until it is cancelled.

    Args:
        targets: hosts to ask, each with a port or without; none for whoever is near.
        port: the one of hosts without.
        report: is called with each device that answers.

    Raises:
        ConnectFailed: a target's name is not known.
        InvalidUrl: a target is none.
    """
    with ExitStack() as stack:
        sockets: dict[int, socket.socket] = {
            family: raw for family in _FAMILIES if (raw := _open(stack, family))
        }
        addresses = [await _resolve(target, port) for target in targets] or [*_near(port)]
        search = _UdpSearch(sockets, addresses, report)
        async with anyio.create_task_group() as tasks:
            for raw in sockets.values():
                tasks.start_soon(search.listen, raw)
            await search.ask()


class _UdpSearch:
    def __init__(
        self,
        sockets: dict[int, socket.socket],
        addresses: Sequence[tuple[int, Address]],
        report: Report,
    ) -> None:
        self._sockets = sockets
        self._addresses = addresses
        self._report = report
        self._first_id = random.randint(1, 1 << 30)
        self._asked_at: list[float] = []
        self._seen: set[object] = set()

    async def ask(self) -> None:
        for number in range(_ROUNDS):
            message = msgspec.json.encode({"method": METHOD, "id": self._first_id + number})
            self._asked_at.append(anyio.current_time())
            for family, address in self._addresses:
                with suppress(KeyError, OSError):  # not every host has all that
                    self._sockets[family].sendto(message, address)
            await anyio.sleep(_ROUND_SECONDS)

    async def listen(self, raw: socket.socket) -> None:
        while True:
            await anyio.wait_readable(raw)
            for packet, address in read_packets(raw, receive):
                self._take(packet, address)

    def _take(self, packet: bytes, address: Address) -> None:
        try:
            answer = msgspec.json.decode(packet, type=_Answer)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return
        if answer.result is msgspec.UNSET and answer.error is msgspec.UNSET:
            return
        number = (
            answer.id - self._first_id if isinstance(answer.id, int) else len(self._asked_at) - 1
        )
        if not 0 <= number < len(self._asked_at):
            return
        place = host_port(_shown_host(address), address[1])
        found = _found(place, answer, anyio.current_time() - self._asked_at[number])
        # This host has many addresses, and answers from any.
        who = (address[1], found.name) if _is_here(address[0]) else place
        if who not in self._seen and place not in self._seen:
            self._seen |= {who, place}
            self._report(found)


class _Answer(msgspec.Struct):
    id: Any = None
    result: Any = msgspec.UNSET
    error: Any = msgspec.UNSET


def _found(place: str, answer: _Answer, seconds: float) -> Found:
    told = answer.result if isinstance(answer.result, dict) else {}

    def text(name: str) -> str | None:
        value = told.get(name)
        return value if isinstance(value, str) else None

    uptime = told.get("uptime")
    if not isinstance(uptime, int | float) or not 0 <= uptime < _LONGEST_UPTIME:
        uptime = None
    return Found(
        url=f"udp://{place}",
        address=place,
        name=text("name"),
        version=text("version"),
        platform=text("platform"),
        uptime=None if uptime is None else float(uptime),
        round_trip_ms=round(1000 * seconds, 3),
        error=answer.error if isinstance(answer.error, dict) else None,
    )


_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _open(stack: ExitStack, family: int) -> socket.socket | None:
    try:
        raw = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        raw.setblocking(False)
        raw.bind(("", 0))
        if family == socket.AF_INET:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    except OSError:
        return None
    return raw


def _near(port: int) -> Iterator[tuple[int, Address]]:
    """Whoever hears us."""
    for host in _THIS_HOST:
        yield (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, port)
    yield socket.AF_INET, (_BROADCAST, port)
    yield socket.AF_INET, (_ALL_HOSTS, port)
    if hasattr(socket, "if_nameindex"):
        for index, _ in socket.if_nameindex():
            yield socket.AF_INET6, (_ALL_NODES, port, 0, index)


async def _resolve(target: str, port: int) -> tuple[int, Address]:
    with suppress(ValueError):
        target = f"[{target}]" if ip_address(target).version == 6 else target
    url = Url.parse(target if "://" in target else f"udp://{target}")
    if url.scheme != "udp" or not url.host or url.options:
        raise url.error("a target is HOST or HOST:PORT")
    return await resolve(url, ConnectFailed, port)


def _shown_host(address: Address) -> str:
    """The host with the interface where that is part of the address."""
    host = address[0]
    if len(address) == 4 and address[3] and "%" not in host:
        with suppress(OSError):
            return f"{host}%{socket.if_indextoname(address[3])}"
    return host


@cache
def _is_here(host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
