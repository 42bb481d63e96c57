"""Packets from many addresses over one link: a channel for each address, or for each seat.

A peer that is silent costs no task: once its channel has a receiver, packets are handed to that as
they come. Addresses are bounded, in all and for each network, forgotten after a while, and all that
is dropped is counted.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import anyio

from ...channel.arrival import Arrival
from ...channel.clock import now
from ...channel.contract import Listener, Receiver, ReceivingChannel
from ...channel.info import ChannelInfo
from ...protocol.budget import Budget, Share
from ...protocol.network import Places
from ...protocol.seal.crypto import Crypto
from ...protocol.seal.server import IDLE_SECONDS as SESSION_SECONDS
from ...protocol.seal.server import Seat, ServerSeal
from ...protocol.unproved import Doubts
from ...trust.principal import Principal
from .doubted import DoubtedChannel
from .gate import Gate, Keys, network_of

A = TypeVar("A", bound=Hashable)

IDLE_SECONDS = 60.0
LATE_SECONDS = 0.05
"""A packet that has waited longer in this program is told so to who receives it."""

_WAITING_BYTES = 1 << 18  # for each address
_WAITING_BYTES_IN_ALL = 1 << 24
_PACKET_BYTES = 1 << 7  # what a waiting packet takes beside its text


class Demux(Generic[A]):
    """The channels of one link.

    Args:
        transmit: sends a packet to an address, at once or not at all.
        describe: gives the facts about the channel to an address.
        max_peers: addresses that are remembered at once.
        idle_seconds: silence after which an address is forgotten.
        standing: addresses that have a channel from the start, and are never forgotten.
        network: gives an address's network; by default all are of one.
        wait_for_room: waits until the link takes more, where it can be full. Its channels then say
            that their `sends_need_receiver`.
        doubts: what unproved addresses share, where a sender can be forged.

    Attributes:
        refused: packets from new addresses when there were too many.
        dropped: packets that came faster than their channel's reader took them.
        waiting: room for packets that wait for their channel's reader.
    """

    def __init__(
        self,
        transmit: Callable[[bytes, A], None],
        describe: Callable[[A], ChannelInfo],
        *,
        max_peers: int,
        idle_seconds: float = IDLE_SECONDS,
        standing: Collection[A] = (),
        network: Callable[[A], str] = lambda address: "",
        wait_for_room: Callable[[], Awaitable[None]] | None = None,
        doubts: Doubts | None = None,
    ) -> None:
        self.transmit: Callable[[bytes, A | Seat], None] = transmit  # type: ignore[assignment]
        self.describe: Callable[[A | Seat], ChannelInfo] = describe  # type: ignore[assignment]
        self._link = transmit, describe
        self.gate: Gate[A] | None = None
        self.wait_for_room = wait_for_room
        self.doubts = doubts
        self.refused = 0
        self.dropped = 0
        self.waiting = Budget(0, _WAITING_BYTES_IN_ALL)
        self._max_peers = max_peers
        self._idle_seconds = idle_seconds
        self._standing = standing
        self._network = network
        self._places: Places[A | Seat] = Places()
        self._strangers: dict[A | Seat, None] = {}  # may have said nothing valid; oldest first
        self._channels: dict[A | Seat, DemuxChannel[A]] = {}

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def drops(self) -> Mapping[str, int]:
        """How many packets were dropped, by reason; see `channel.drops`."""
        sealed = {} if self.gate is None else self.gate.drops
        return {**sealed, "turned_away": self.refused, "too_fast": self.dropped}

    def seal_with(
        self, crypto: Crypto, keys: Keys, session_seconds: float = SESSION_SECONDS
    ) -> None:
        """Open sealed packets from now on, and have a channel for each seat.

        Args:
            crypto: the primitives.
            keys: finds the keys that open.
            session_seconds: silence after which a session is forgotten.
        """
        seal: ServerSeal[A, Principal] = ServerSeal(
            crypto, keys, max_sessions=self._max_peers, idle_seconds=session_seconds
        )
        self.gate = gate = Gate(seal, *self._link)
        self.transmit, self.describe = gate.transmit, gate.describe

    def open_standing(self) -> "list[DemuxChannel[A]]":
        """The channels that there are before any packet has come; those that are new."""
        new = []
        for address in self._standing:
            if address not in self._channels:
                channel = self._channels[address] = DemuxChannel(self, address)
                new.append(channel)
        return new

    def take(
        self, packets: "Sequence[tuple[bytes, A | Seat]]", read_at: float
    ) -> "Sequence[tuple[bytes, A | Seat]]":
        """Hand the packets of one address to its receiver, if nobody has to wait for that.

        Args:
            packets: with the address that each came from.
            read_at: when they were read, as the event loop counts.

        Returns:
            What is left for `deliver`.
        """
        if self.gate is not None:
            packets = self.gate.sort(packets, read_at)
        channel = self._channels.get(packets[0][1]) if packets else None
        if channel is None or channel.receiver is None:
            return packets
        address = channel.address
        if len(packets) > 1 and any(each != address for _, each in packets):
            return packets
        messages = [packets[0][0]] if len(packets) == 1 else [packet for packet, _ in packets]
        if isinstance(address, Seat) and not all(messages):
            return packets
        self._note_heard(channel, messages, read_at)
        return () if channel.receiver.take(messages) else packets

    async def deliver(
        self, packets: "Iterable[tuple[bytes, A | Seat]]", read_at: float
    ) -> "list[DemuxChannel[A]]":
        """Hand packets to the channels of their addresses.

        Args:
            packets: with the address that each came from.
            read_at: when they were read, as the event loop counts.

        Returns:
            Channels that are new.
        """
        new = []
        sorted_packets: dict[A | Seat, list[bytes]] = {}
        for packet, address in packets if self.gate is None else self.gate.sort(packets, read_at):
            waiting = sorted_packets.setdefault(address, [])
            if packet or not isinstance(address, Seat):
                waiting.append(packet)
        for address, messages in sorted_packets.items():
            channel = self._channels.get(address)
            if channel is None:
                channel = await self._new_channel(address)
                if channel is None:
                    self.refused += len(messages)
                    continue
                new.append(channel)
            self._note_heard(channel, messages, read_at)
            if not messages:
                continue
            waited = now() - read_at
            if waited > LATE_SECONDS:  # behind handlers of others that take their time
                await channel.deliver([Arrival.after(each, waited) for each in messages])
            else:
                await channel.deliver(messages)
        return new

    def _note_heard(self, channel: "DemuxChannel[A]", said: Sequence[bytes], at: float) -> None:
        place = channel.address
        self._places.touch(place)
        channel.heard_at = at
        if self.gate is not None and isinstance(place, Seat):
            channel.note_address(self.gate.seal.address(place), self.doubts)
        if channel.unproved is not None:
            channel.unproved.hear(sum(map(len, said)))

    async def _new_channel(self, place: A | Seat) -> "DemuxChannel[A] | None":
        """A channel for somebody who has none, `None` if there is no room for it."""
        is_seat = isinstance(place, Seat)
        if is_seat and self.principal(place) is None:
            return None  # its key is no more
        network = network_of(place) if isinstance(place, Seat) else self._network(place)
        if len(self._channels) >= self._max_peers and not await self._displace(network):
            return None
        channel = self._channels[place] = DemuxChannel(self, place)
        self._places.take(place, network)
        if not is_seat:
            self._strangers[place] = None
        return channel

    def principal(self, place: A | Seat) -> Principal | None:
        """Who has proved to be there."""
        if self.gate is None or not isinstance(place, Seat):
            return None
        return self.gate.seal.principal(place)

    async def expire(self, now: float) -> None:
        """Forget the addresses that have been silent for too long.

        Args:
            now: seconds.
        """
        if self.gate is not None:
            self.gate.seal.expire(now)
        for address, channel in tuple(self._channels.items()):
            if address in self._standing:
                continue
            silence = now - channel.heard_at
            if silence > self._idle_seconds and not channel.is_busy:
                await channel.aclose()

    def forget(self, address: A | Seat) -> None:
        """Remove a channel that is closed."""
        self._channels.pop(address, None)
        self._places.leave(address)
        self._strangers.pop(address, None)

    async def aclose(self) -> None:
        """Close all channels: the link is gone."""
        for channel in tuple(self._channels.values()):
            await channel.aclose()

    async def _displace(self, network: str) -> bool:
        """Forget an address to make room for one of that network; says whether there is any.

        It is one for which nothing is done and nothing is remembered; one that has never said
        anything valid goes first, since its address may be forged. If there is none, it is one that
        has proved nothing.
        """
        while self._strangers:
            stranger = self._channels[next(iter(self._strangers))]
            del self._strangers[stranger.address]
            if stranger.is_stranger and not stranger.is_busy:
                await stranger.aclose()
                return True
        rivals = [self._channels[each] for each in self._places.silent_rivals(network)]
        for rival in sorted(rivals, key=lambda each: each.is_needed):
            if not rival.is_needed or rival.is_doubtful:
                await rival.aclose()
                return True
        return False


class DemuxChannel(DoubtedChannel, ReceivingChannel, Generic[A]):
    """The packets from and to one address, or one seat.

    Attributes:
        address: at the other end, or its seat.
        receiver: is handed all packets as they come, `None` as long as they are received.
        heard_at: when a packet came last, in seconds.
    """

    def __init__(self, demux: Demux[A], address: A | Seat) -> None:
        super().__init__()
        self._info = demux.describe(address)
        self._demux = demux
        self.address = address
        self._packets: list[bytes] | None = None
        self._missed = 0
        self._share: Share | None = None  # of the room for waiting packets
        self.receiver: Receiver | None = None
        self._is_kept: Callable[[], bool] | None = None
        self._wake: anyio.Event | None = None
        self._closed = False
        self.heard_at = 0.0
        if not isinstance(address, Seat):
            self.doubt(demux.doubts)

    @property
    def principal(self) -> Principal | None:
        """See `Channel.principal`."""
        return self._demux.principal(self.address)

    @property
    def missed(self) -> int:
        """See `Channel.missed`."""
        return self._missed

    @property
    def is_busy(self) -> bool:
        """Whether whoever receives still works for the other end."""
        if self.receiver is not None:
            return self.receiver.is_busy
        return self._is_kept is not None and self._is_kept()

    @property
    def is_needed(self) -> bool:
        """Whether something would be lost with it: what runs, or what may be asked for again."""
        return self.is_busy or self.receiver is None or self.receiver.holds_replies

    @property
    def is_stranger(self) -> bool:
        """Whether the other end has never said anything valid."""
        return self.receiver is not None and self.receiver.is_stranger

    def keep_while(self, is_busy: Callable[[], bool]) -> None:
        """See `Channel.keep_while`; where a receiver is attached, that is asked."""
        self._is_kept = is_busy

    async def attach(self, receiver: Receiver) -> None:
        """Hand all packets to a receiver from now on; see `ReceivingChannel.attach`."""
        self.receiver = receiver
        while self._waiting or self._packets:
            await receiver.handle(await self.receive_batch())

    async def deliver(self, packets: list[bytes]) -> None:
        """Take packets from the link."""
        if self.receiver is not None:
            await self.receiver.handle(packets)
            return
        if self._packets is None:
            self._packets = []
        share = self._share = self._share or Share(self._demux.waiting, self._info.network)
        for packet in packets:
            size = len(packet) + _PACKET_BYTES
            if share.byte_count + size <= _WAITING_BYTES and share.take_bytes(size):
                self._packets.append(packet)
            else:
                self._missed += 1
                self._demux.dropped += 1
        if self._wake is not None:
            self._wake.set()

    async def _next_batch(self) -> list[bytes]:
        while not self._packets:
            if self._closed:
                raise anyio.ClosedResourceError
            self._wake = anyio.Event()
            await self._wake.wait()
        packets, self._packets = self._packets, None
        self._give_back()
        return packets

    def _give_back(self) -> None:
        if self._share is not None:
            self._share.give_back(byte_count=self._share.byte_count)
            self._share = None

    def send_now(self, messages: Sequence[bytes]) -> int:
        """Send packets, where nobody waits for a link that loses packets anyway."""
        if self._demux.wait_for_room is not None:
            return 0
        if self._closed:
            raise anyio.ClosedResourceError
        for message in messages:
            self._demux.transmit(message, self.address)
        return len(messages)

    async def send(self, item: bytes) -> None:
        """Send one packet."""
        if self._demux.wait_for_room is not None:
            await self._demux.wait_for_room()
        if self._closed:
            raise anyio.ClosedResourceError
        self._demux.transmit(item, self.address)

    async def aclose(self) -> None:
        """Forget the address."""
        if self._closed:
            return
        self._closed = True
        self._give_back()
        self._demux.forget(self.address)
        if self._wake is not None:
            self._wake.set()
        if self.receiver is not None:
            self.receiver.end()


class DemuxListener(Listener):
    """A listener whose channels share one link.

    Attributes:
        demux: sorts what comes.
    """

    demux: Demux[Any]

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Listener.drops`."""
        return self.demux.drops
