"""Datagrams as the system hands them over: when it got them, and which address was asked."""

import socket
import struct
import sys
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

import anyio

from ...channel.arrival import Arrival
from .demux import LATE_SECONDS

Address = tuple[str, int] | tuple[str, int, int, int]
Peer = tuple[Address, bytes]
"""Whom to answer, and from where, as `source_of` takes it; empty where there is one choice."""
From = TypeVar("From")

_LARGEST_DATAGRAM = 65_535
BUFFER_BYTES = 4 << 20
_PACKET_BYTES = 256  # what the kernel takes beside the data, at the least

# Linux, ip(7) and ipv6(7): the address that a datagram was sent to, and is to be answered from.
_IP_PKTINFO = 8
_IPV6_PKTINFO = 50
_IPV6_RECVPKTINFO = 49
_INFO = struct.Struct("@i4s4s")
_INFO6 = struct.Struct("@16si")

# Linux, socket(7): when the kernel got a datagram, as a `timespec` of the system's time.
_HAS_TIMES = sys.platform == "linux"
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("@ll")
_ANCILLARY_BYTES = 128


def prepare(raw: socket.socket) -> bool:
    """Have the system tell of each datagram when it got it, and which address was asked.

    Args:
        raw: bound.

    Returns:
        Whether it is bound to every address, so that it matters which one was asked.
    """
    if not _HAS_TIMES:
        return False
    raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    match raw.getsockname()[0]:
        case "::":
            raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        case "0.0.0.0":
            raw.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        case _:
            return False
    return True


def receive(raw: socket.socket) -> tuple[bytes, Address]:
    """Get a datagram."""
    return raw.recvfrom(_LARGEST_DATAGRAM)


def receive_connected(raw: socket.socket) -> tuple[bytes, None]:
    """Get a datagram of the one address that a socket is connected to."""
    return raw.recv(_LARGEST_DATAGRAM), None


def receive_plain(raw: socket.socket) -> tuple[bytes, Peer]:
    """Get a datagram of which it does not matter when it came, and which address it asked."""
    data, address = raw.recvfrom(_LARGEST_DATAGRAM)
    return data, (address, b"")


def read_packets(
    raw: socket.socket,
    get: Callable[[socket.socket], tuple[bytes, From]],
) -> list[tuple[bytes, From]]:
    """All that a socket has for us, as far as one receive buffer holds it.

    Who was held up sees by that what has been cancelled meanwhile, before he begins it.

    Args:
        raw: does not block.
        get: gets one datagram.

    Raises:
        anyio.ClosedResourceError: the socket is closed.
    """
    packets: list[tuple[bytes, From]] = []
    room = BUFFER_BYTES
    while room > 0:
        try:
            packet = get(raw)
        except BlockingIOError:
            break
        except ConnectionError:
            continue  # nobody got one of our datagrams: on this link a loss like any other
        except OSError as error:
            raise anyio.ClosedResourceError from error
        packets.append(packet)
        room -= len(packet[0]) + _PACKET_BYTES
    return packets


def receive_dated(raw: socket.socket, longest: float) -> tuple[bytes, Peer]:
    """Get a datagram; one that the kernel has held for a while as an `Arrival`.

    Args:
        raw: tells of each datagram when it came; see `prepare`.
        longest: seconds that none can have waited for more, also if the system's time was set.
    """
    if not _HAS_TIMES:
        return receive_plain(raw)
    data, ancillary, _, address = raw.recvmsg(_LARGEST_DATAGRAM, _ANCILLARY_BYTES)
    asked = b""
    for level, kind, value in ancillary:
        if (level, kind) in _ASKED:
            asked = _ASKED[level, kind](value)
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIME.unpack(value)
            waited = min(longest, time.time() - seconds - nanoseconds / 1e9)
            if waited > LATE_SECONDS:
                data = Arrival.after(data, waited)
    return data, (address, asked)


def _asked_ipv4(value: bytes) -> bytes:
    """From an `in_pktinfo`, one for the answer: on any way, from our address of that network."""
    _, ours, _ = _INFO.unpack(value)
    return _INFO.pack(0, ours, bytes(4))


def _asked_ipv6(value: bytes) -> bytes:
    """From an `in6_pktinfo`, one for the answer; nothing can be answered from a group's address."""
    asked, interface = _INFO6.unpack(value)
    found = ip_address(asked)
    if found.is_multicast:
        return b""
    return _INFO6.pack(asked, interface if found.is_link_local else 0)


_ASKED: dict[tuple[int, int], Callable[[bytes], bytes]] = {
    (socket.IPPROTO_IP, _IP_PKTINFO): _asked_ipv4,
    (socket.IPPROTO_IPV6, _IPV6_PKTINFO): _asked_ipv6,
}


def source_of(info: bytes) -> tuple[int, int, bytes]:
    """The ancillary data that has a datagram leave from an address."""
    if len(info) == _INFO.size:
        return socket.IPPROTO_IP, _IP_PKTINFO, info
    return socket.IPPROTO_IPV6, _IPV6_PKTINFO, info
