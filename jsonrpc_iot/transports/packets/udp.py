"""`udp://HOST[:8805]`: one JSON message in one datagram, which may be lost, doubled or late.

Source: the RPC protocol document, "RPC over UDP".
"""

import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from math import inf
from typing import Annotated

import anyio
from anyio.abc import TaskGroup
from msgspec import Meta

from ...channel.clock import clock
from ...channel.contract import Channel, Listener, Serve, Take
from ...channel.info import ChannelInfo
from ...channel.options import PacketOptions
from ...channel.url import Url, place_of
from ...errors import BindFailed, ConnectFailed
from ...protocol.about import about
from ...protocol.limits import Limits
from ...protocol.network import network_of
from ...protocol.seal.server import Seat
from ...protocol.unproved import Doubts
from ..batched import BatchedChannel
from ..readable import Readable
from .datagrams import (
    BUFFER_BYTES,
    Address,
    Peer,
    prepare,
    read_packets,
    receive_connected,
    receive_dated,
    receive_plain,
    source_of,
)
from .demux import LATE_SECONDS, Demux, DemuxListener

logger = logging.getLogger("jsonrpc_iot.transports")

DEFAULT_PORT = 8805
MAX_MESSAGE = 1400
RETRY_SECONDS = 0.5


# How long a client's datagrams may fail to leave, or none come while its address is gone.
_LASTING_SECONDS = 1.0

_SWEEP_SECONDS = 5.0


_Read = tuple[Sequence[tuple[bytes, Peer | Seat]], float]
"""Packets with the address that each came from, or its seat, and when they were looked at."""


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
        self._readable = Readable(raw.fileno(), lambda: read_packets(raw, receive_connected))
        self._failing_since: float | None = None
        self._now = clock()
        self._checked_at = self._now()
        self._has_heard = True
        self._end = ""

    def offer_to(self, take: Take) -> None:
        """See `Channel.offer_to`."""

        def take_packets(
            packets: list[tuple[bytes, None]],
        ) -> list[tuple[bytes, None]] | None:
            self._has_heard |= bool(packets)
            is_taken = not packets or take([packet for packet, _ in packets])
            return None if is_taken else packets

        self._readable.take = take_packets

    async def _next_batch(self) -> list[bytes]:
        while True:
            try:
                packets = await self._readable.next()
            except anyio.ClosedResourceError:
                if self._end:
                    raise anyio.BrokenResourceError(self._end) from None
                raise
            if packets:
                self._has_heard = True
                return [packet for packet, _ in packets]

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send datagrams; see `Channel.send_now`.

        Some get lost, and nobody hears of it. But when none leaves for a second, or this end's
        address is no longer the host's, the channel ends: another one may find a way.
        """
        if self._end:
            raise anyio.BrokenResourceError(self._end)
        self._check_address()
        for sent, message in enumerate(messages):
            try:
                self._transmit(message)
            except BlockingIOError:
                return sent
        return len(messages)

    async def send(self, item: bytes) -> None:
        """Send one datagram; see `send_now`."""
        while not self.send_now((item,)):
            await anyio.wait_writable(self._raw)

    def _transmit(self, message: bytes) -> None:
        while True:
            try:
                self._raw.send(message)
            except BlockingIOError:
                raise
            except ConnectionRefusedError:
                continue  # the answer to an earlier datagram; this one has not been tried yet
            except OSError as error:
                self._note_failure(error)
            else:
                self._failing_since = None
            return

    def _note_failure(self, error: OSError) -> None:
        if self._raw.fileno() < 0:
            raise anyio.ClosedResourceError from None
        logger.info(
            "%s: a datagram was not sent: %s", self._info.peer, error, extra=about(self._info.peer)
        )
        if self._failing_since is None:
            self._failing_since = self._now()
        elif self._now() - self._failing_since > _LASTING_SECONDS:
            self._fail(f"nothing can be sent: {error.strerror or error}")

    def _check_address(self) -> None:
        """End the channel if its own address is gone: then no answer can come."""
        at = self._now()
        if at - self._checked_at < _LASTING_SECONDS:
            return
        self._checked_at = at
        if not self._has_heard and self._raw.fileno() >= 0:
            here = self._raw.getsockname()
            with socket.socket(self._raw.family, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((here[0], 0, *here[2:]))
                except OSError as error:
                    self._fail(f"the address {here[0]} is gone: {error.strerror or error}")
                    raise anyio.BrokenResourceError(self._end) from None
        self._has_heard = False

    def _fail(self, reason: str) -> None:
        self._end = reason
        self._close()

    async def aclose(self) -> None:
        """Close the socket."""
        self._close()

    def _close(self) -> None:
        self._readable.close()
        self._raw.close()


class UdpListener(DemuxListener):
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
        self._is_wild = prepare(raw)
        self._readable = Readable(raw.fileno(), self._read)
        self._now = clock()
        self._read_at = -inf
        self._address = f"udp://{place_of(raw.getsockname())}"
        self.addresses = [options.reached_at(self._address)]
        self.is_exposed = url.is_exposed
        self.demux: Demux[Peer] = Demux(
            self._transmit,
            lambda peer: _describe(self._address, peer[0], options),
            max_peers=limits.peers,
            network=lambda peer: network_of(peer[0][0]),
            doubts=Doubts(limits),
        )
        self._readable.take = self._take
        self.lost = 0

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Listener.drops`."""
        return {**super().drops, "not_sent": self.lost}

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        async with anyio.create_task_group() as sweeping:
            sweeping.start_soon(self._sweep)
            while True:
                packets, at = await self._readable.next()
                for channel in await self.demux.deliver(packets, at):
                    task_group.start_soon(handler, channel)

    async def aclose(self) -> None:
        """Close the socket."""
        self._readable.close()
        self._raw.close()

    def _read(self) -> _Read:
        """What has come, and when that was looked at."""
        at = self._now()
        passed, self._read_at = at - self._read_at, at
        # What comes soon after the last look has not waited: no need to ask when it came.
        is_dated = self._is_wild or passed >= LATE_SECONDS
        get = partial(receive_dated, longest=passed) if is_dated else receive_plain
        return read_packets(self._raw, get), at

    def _take(self, read: _Read) -> _Read | None:
        packets, at = read
        left = self.demux.take(packets, at)
        return (left, at) if left else None

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(_SWEEP_SECONDS)
            await self.demux.expire(self._now())

    def _transmit(self, packet: bytes, peer: Peer) -> None:
        address, source = peer
        try:
            if source:
                self._raw.sendmsg([packet], [source_of(source)], 0, address)
            else:
                self._raw.sendto(packet, address)
        except OSError as error:
            self.lost += 1
            logger.debug("%s: a datagram to %s was not sent: %s", self._address, address, error)


def read_url(url: Url) -> UdpOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return url.read_options(UdpOptions)


async def connect(url: Url, limits: Limits) -> Channel:
    """Open a socket to a server; whether one is there shows when it answers."""
    options = read_url(url)
    family, address = await resolve(url, ConnectFailed)
    raw = socket.socket(family, socket.SOCK_DGRAM)
    try:
        raw.setblocking(False)
        raw.connect(address)
    except OSError as error:
        raw.close()
        raise ConnectFailed(f"{url}: {error.strerror or error}") from error
    info = _describe(f"udp://{place_of(raw.getsockname())}", address, options)
    return UdpChannel(raw, info)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind a port; a multicast address is joined."""
    options = url.read_options(UdpOptions)
    family, address = await resolve(url, BindFailed)
    raw = socket.socket(family, socket.SOCK_DGRAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        if options.reuse_port:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        raw.bind(address)
        _join(raw, family, address[0])
    except (OSError, AttributeError) as error:
        raw.close()
        raise BindFailed(f"{url}: {getattr(error, 'strerror', None) or error}") from error
    return UdpListener(raw, url, options, limits)


def _describe(local: str, peer: Address, options: UdpOptions) -> ChannelInfo:
    return ChannelInfo(
        transport="udp",
        local=local,
        peer=f"udp://{place_of(peer)}",
        network=network_of(peer[0]),
        max_message=options.max,
        reliable=False,
        has_echoes=True,
        has_twins=options.reuse_port,
        retry_seconds=RETRY_SECONDS,
        codec=options.codec,
    )


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
    host, zone, number = str(address[0]).partition("%")
    if not zone and "%" in url.host:  # uvloop leaves it out
        zone, number = "%", _interface(url, failure)
    return family, (host, port, 0, int(number)) if zone else address


def _interface(url: Url, failure: type[BindFailed | ConnectFailed]) -> str:
    """The number of the interface that the zone of a URL's host names."""
    name = url.host.partition("%")[2]
    if name.isdecimal():
        return name
    try:
        return str(socket.if_nametoindex(name))
    except OSError as error:
        raise failure(f"{url}: {error.strerror or error}") from error


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
