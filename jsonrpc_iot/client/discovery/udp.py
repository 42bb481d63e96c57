"""Looking for devices over UDP: whoever is there is asked for `sys.info`."""

import random
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import cache
from ipaddress import ip_address
from typing import Any

import anyio
import msgspec

from ...channel.url import Url, host_port
from ...errors import ConnectFailed
from ...transports.packets.datagrams import Address, read_packets, receive
from ...transports.packets.udp import resolve
from .found import MOST, Found, Report

METHOD = "sys.info"

# Requests may get lost; asking three times finds almost everybody.
_ROUNDS = 3
_ROUND_SECONDS = 0.4
# Who goes on looking asks again for those that were switched on meanwhile.
_PAUSE_SECONDS = 10.0
_LONGEST_UPTIME = 1e12
_BROADCAST = "255.255.255.255"
_ALL_HOSTS = "224.0.0.1"
_ALL_NODES = "ff02::1"
_THIS_HOST = ("127.0.0.1", "::1")


@asynccontextmanager
async def open_udp(targets: Sequence[str], port: int) -> "AsyncIterator[UdpWay]":
    """Ask over UDP while the block runs: by broadcast and multicast, and this host.

    Args:
        targets: hosts to ask instead, each with a port or without.
        port: the one of hosts without.

    Raises:
        ConnectFailed: a target's name is not known.
        InvalidUrl: a target is none.
    """
    with ExitStack() as stack:
        sockets: dict[int, socket.socket] = {
            family: raw for family in _FAMILIES if (raw := _open(stack, family))
        }
        addresses = [await _resolve(target, port) for target in targets]
        yield UdpWay(sockets, addresses, port)


class UdpWay:
    """Asks three times at once, since requests get lost, and then now and then.

    Args:
        sockets: to ask with, by their family.
        targets: families and addresses to ask, none for whoever is near.
        port: the one that whoever is near is asked at.
    """

    def __init__(
        self,
        sockets: dict[int, socket.socket],
        targets: Sequence[tuple[int, Address]],
        port: int,
    ) -> None:
        self._sockets = sockets
        self._targets = targets
        self._port = port
        self._first_id = random.randint(1, 1 << 30)
        self._rounds = 0
        self._asked_at: dict[int, float] = {}  # by id, of the last rounds
        self._seen: set[object] = set()

    async def look(self, report: Report) -> None:
        """Report each device that answers."""
        async with anyio.create_task_group() as tasks:
            for raw in self._sockets.values():
                tasks.start_soon(self._listen, raw, report)
            while True:
                await anyio.sleep_until(self._next_round)
                self._ask()

    @property
    def _next_round(self) -> float:
        if not self._asked_at:
            return 0.0
        pause = _ROUND_SECONDS if self._rounds % _ROUNDS else _PAUSE_SECONDS
        return max(self._asked_at.values()) + pause

    def _ask(self) -> None:
        number = self._first_id + self._rounds
        message = msgspec.json.encode({"method": METHOD, "id": number})
        self._rounds += 1
        self._asked_at[number] = anyio.current_time()
        self._asked_at.pop(number - _ROUNDS, None)
        for family, address in self._targets or _near(self._port):
            with suppress(KeyError, OSError):  # not every host has all that
                self._sockets[family].sendto(message, address)

    async def _listen(self, raw: socket.socket, report: Report) -> None:
        while True:
            await anyio.wait_readable(raw)
            for packet, address in read_packets(raw, receive):
                self._take(packet, address, report)

    def _take(self, packet: bytes, address: Address, report: Report) -> None:
        try:
            answer = msgspec.json.decode(packet, type=_Answer)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return
        if answer.result is msgspec.UNSET and answer.error is msgspec.UNSET:
            return
        number = answer.id if isinstance(answer.id, int) else max(self._asked_at, default=0)
        if number not in self._asked_at:
            return
        place = host_port(_shown_host(address), address[1])
        found = _found(place, answer, anyio.current_time() - self._asked_at[number])
        # This host has many addresses, and answers from any.
        who = (address[1], found.name) if _is_here(address[0]) else place
        if who not in self._seen and place not in self._seen:
            if len(self._seen) >= MOST:
                self._seen.clear()
            self._seen |= {who, place}
            report(found)


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
    info = {
        "address": place,
        "version": text("version"),
        "platform": text("platform"),
        "uptime": None if uptime is None else float(uptime),
        "round_trip_ms": round(1000 * seconds, 3),
        "error": answer.error if isinstance(answer.error, dict) else None,
    }
    return Found(url=f"udp://{place}", name=text("name"), via="udp", info=info)


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
