"""`udp://HOST[:8805]`: one JSON message in one datagram, which may be lost, doubled or late.

Source: the RPC protocol document, "RPC over UDP".
"""

import logging
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from math import inf
from typing import Annotated

import anyio
from anyio.abc import TaskGroup
from msgspec import Meta

from ...channel.clock import now
from ...channel.contract import Arrival, Channel, Listener, Serve
from ...channel.info import ChannelInfo
from ...channel.options import PacketOptions
from ...channel.url import Url, host_port
from ...errors import BindFailed, ConnectFailed
from ...protocol.limits import Limits
from ..batched import BatchedChannel
from .demux import LATE_SECONDS, Demux

logger = logging.getLogger("jsonrpc_iot.transports")

DEFAULT_PORT = 8805
MAX_MESSAGE = 1400
RETRY_SECONDS = 0.5

Address = tuple[str, int] | tuple[str, int, int, int]

_LARGEST_DATAGRAM = 65_535
_BUFFER_BYTES = 4 << 20
_PACKET_BYTES = 256  # what the kernel takes beside the data, at the least

# Linux, socket(7): when the kernel got a datagram, as a `timespec` of the system's time.
_HAS_TIMES = sys.platform == "linux"
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("@ll")
_ANCILLARY_BYTES = 64
_SWEEP_SECONDS = 5.0


class UdpOptions(PacketOptions, frozen=True):
    """Options of a `udp://` URL.

    Args:
        max: bytes of the largest datagram that is sent.
        reuse_port: several processes on this host share the port; serving only.
    """

    max: Annotated[int, Meta(gt=0)] = MAX_MESSAGE
    reuse_port: bool = False


class UdpChannel(BatchedChannel):
    """A socket that is connected to one address."""

    def __init__(self, raw: socket.socket, info: ChannelInfo) -> None:
        super().__init__()
        self._info = info
        self._raw = raw

    async def _next_batch(self) -> list[bytes]:
        while True:
            await _wait_readable(self._raw)
            if packets := [packet for packet, _ in read_packets(self._raw)]:
                return packets

    async def send(self, item: bytes) -> None:
        """Send one datagram; see `Channel.send`."""
        while True:
            try:
                self._raw.send(item)
                return
            except BlockingIOError:
                await anyio.wait_writable(self._raw)
            except ConnectionRefusedError:
                continue  # the answer to an earlier datagram; this one has not been tried yet
            except OSError as error:
                if self._raw.fileno() < 0:
                    raise anyio.ClosedResourceError from None
                logger.info("%s: a datagram was not sent: %s", self._info.peer, error)
                return

    async def aclose(self) -> None:
        """Close the socket."""
        _close(self._raw)


class UdpListener(Listener):
    """Serves the addresses that send to one socket.

    Args:
        raw: bound.
        url: what was asked for.
        options: those of the URL.
        limits: bounds on what peers may cost.

    Attributes:
        addresses: the one URL.
        is_exposed: whether other machines may reach it.
        lost: datagrams that the system did not take.
    """

    addresses: Sequence[str] = ()
    is_exposed = False
    is_shared = True  # all peers share the socket

    def __init__(self, raw: socket.socket, url: Url, options: UdpOptions, limits: Limits) -> None:
        self._raw = raw
        self._address = f"udp://{host_port(*raw.getsockname()[:2])}"
        self.addresses = [options.reached_at(self._address)]
        self.is_exposed = url.is_exposed
        self._demux: Demux[Address] = Demux(
            self._transmit,
            lambda peer: _describe(self._address, peer, options),
            max_peers=limits.peers,
        )
        self.lost = 0

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        async with anyio.create_task_group() as sweeping:
            sweeping.start_soon(self._sweep)
            read_at = -inf
            while True:
                await _wait_readable(self._raw)
                at = now()
                # What comes soon after the last look has not waited: no need to ask when it came.
                receive = _receive if at - read_at < LATE_SECONDS else _receive_dated
                packets, read_at = read_packets(self._raw, receive), at
                for channel in await self._demux.deliver(packets, at):
                    task_group.start_soon(handler, channel)

    async def aclose(self) -> None:
        """Close the socket."""
        _close(self._raw)

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(_SWEEP_SECONDS)
            await self._demux.expire(anyio.current_time())

    def _transmit(self, packet: bytes, address: Address) -> None:
        try:
            self._raw.sendto(packet, address)
        except OSError as error:
            self.lost += 1
            logger.debug("%s: a datagram to %s was not sent: %s", self._address, address, error)


async def connect(url: Url, limits: Limits) -> Channel:
    """Open a socket to a server; whether one is there shows when it answers."""
    options = url.read_options(UdpOptions)
    family, address = await resolve(url, ConnectFailed)
    raw = socket.socket(family, socket.SOCK_DGRAM)
    try:
        raw.setblocking(False)
        raw.connect(address)
    except OSError as error:
        raw.close()
        raise ConnectFailed(f"{url}: {error.strerror or error}") from error
    info = _describe(f"udp://{host_port(*raw.getsockname()[:2])}", address, options)
    return UdpChannel(raw, info)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind a port; a multicast address is joined."""
    options = url.read_options(UdpOptions)
    family, address = await resolve(url, BindFailed)
    raw = socket.socket(family, socket.SOCK_DGRAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if _HAS_TIMES:
            raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if options.reuse_port:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        raw.bind(address)
        _join(raw, family, address[0])
    except (OSError, AttributeError) as error:
        raw.close()
        raise BindFailed(f"{url}: {getattr(error, 'strerror', None) or error}") from error
    return UdpListener(raw, url, options, limits)


Packet = tuple[bytes, Address]


def _receive(raw: socket.socket) -> Packet:
    return raw.recvfrom(_LARGEST_DATAGRAM)


def read_packets(
    raw: socket.socket, receive: Callable[[socket.socket], Packet] = _receive
) -> list[Packet]:
    """All that a socket has for us, as far as one receive buffer holds it.

    Who was held up sees by that what has been cancelled meanwhile, before he begins it.

    Args:
        raw: does not block.
        receive: gets one datagram.

    Raises:
        anyio.ClosedResourceError: the socket is closed.
    """
    packets: list[Packet] = []
    room = _BUFFER_BYTES
    while room > 0:
        try:
            packet = receive(raw)
        except BlockingIOError:
            break
        except ConnectionError:
            continue  # nobody got one of our datagrams: on this link a loss like any other
        except OSError as error:
            raise anyio.ClosedResourceError from error
        packets.append(packet)
        room -= len(packet[0]) + _PACKET_BYTES
    return packets


def _receive_dated(raw: socket.socket) -> Packet:
    """Get a datagram; one that the kernel has held for a while as an `Arrival`."""
    if not _HAS_TIMES:
        return _receive(raw)
    data, ancillary, _, address = raw.recvmsg(_LARGEST_DATAGRAM, _ANCILLARY_BYTES)
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIME.unpack(value)
            waited = time.time() - seconds - nanoseconds / 1e9
            if waited > LATE_SECONDS:
                data = Arrival.after(data, waited)
    return data, address


def _describe(local: str, peer: Address, options: UdpOptions) -> ChannelInfo:
    return ChannelInfo(
        transport="udp",
        local=local,
        peer=f"udp://{host_port(*peer[:2])}",
        max_message=options.max,
        reliable=False,
        has_twins=options.reuse_port,
        retry_seconds=RETRY_SECONDS,
        codec=options.codec,
    )


def _close(raw: socket.socket) -> None:
    if raw.fileno() >= 0:
        anyio.notify_closing(raw)
        raw.close()


async def _wait_readable(raw: socket.socket) -> None:
    if raw.fileno() < 0:
        raise anyio.ClosedResourceError
    await anyio.wait_readable(raw)


async def resolve(
    url: Url, failure: type[BindFailed | ConnectFailed], default_port: int = DEFAULT_PORT
) -> tuple[int, Address]:
    """The family and address of a URL's host.

    Args:
        url: names a host, and no path.
        failure: what to raise where nobody knows the host.
        default_port: the port of a URL without.

    Raises:
        InvalidUrl: there is no host or there is a path, or no host can have such a name.
    """
    url.forbid_path()
    if not url.host:
        raise url.error(f"a host is missing, as in udp://127.0.0.1:{DEFAULT_PORT}")
    port = default_port if url.port is None else url.port
    try:
        found = await anyio.getaddrinfo(url.host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise failure(f"{url}: {error.strerror or error}") from error
    except UnicodeError:
        raise url.error("no host has such a name") from None
    family, *_, address = found[0]
    return family, address


def _join(raw: socket.socket, family: int, host: str) -> None:
    try:
        group = ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not group.is_multicast:
        return
    if family == socket.AF_INET:
        membership = group.packed + socket.INADDR_ANY.to_bytes(4, "big")
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    else:
        membership = group.packed + (0).to_bytes(4, sys.byteorder)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
