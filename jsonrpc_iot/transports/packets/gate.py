"""Where sealed packets are opened on their way to the channels of a link, and messages sealed.

A channel is kept for each seat then, whichever addresses its packets come from; packets that are
not sealed go on to the channels of their addresses.

Source: the trust page, section 2.
"""

from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Generic, TypeVar

from msgspec import structs

from ...channel.arrival import Arrival
from ...channel.info import ChannelInfo
from ...protocol.seal.packets import BINARY, DATA_OVERHEAD
from ...protocol.seal.server import Seat, ServerSeal
from ...trust.keys import SharedKey
from ...trust.principal import Principal

A = TypeVar("A", bound=Hashable)
Keys = Callable[[bytes], SharedKey | None]
"""Finds the key of an id, `None` where there is none, or no more."""


class Gate(Generic[A]):
    """Sealed packets of one link.

    Args:
        seal: the sessions.
        transmit: sends a packet to an address, at once or not at all.
        describe: gives the facts about the channel to an address.

    Attributes:
        seal: as above, with counts of what was dropped.
        unsent: messages to seats of which no session is left.
    """

    def __init__(
        self,
        seal: ServerSeal[A, Principal],
        transmit: Callable[[bytes, A], None],
        describe: Callable[[A], ChannelInfo],
    ) -> None:
        self.seal = seal
        self.unsent = 0
        self._transmit = transmit
        self._describe = describe

    @property
    def drops(self) -> dict[str, int]:
        """How many packets were dropped, by reason; see `channel.drops`."""
        drops = self.seal.drops
        drops["no_session"] += self.unsent
        return drops

    def sort(
        self, packets: "Iterable[tuple[bytes, A | Seat]]", now: float
    ) -> "list[tuple[bytes, A | Seat]]":
        """Open what is sealed, and answer what is no message.

        Args:
            packets: with the address that each came from; those of a seat are open already.
            now: seconds.

        Returns:
            Messages, with their seats, or with the addresses of those that were not sealed. One for
            a seat is empty where its client has only proved that it is there.
        """
        found: list[tuple[bytes, A | Seat]] = []
        for packet, address in packets:
            if isinstance(address, Seat) or not BINARY.is_packet(packet):
                found.append((packet, address))
                continue
            taken = self.seal.take(packet, address, now)
            if isinstance(taken, bytes):
                self._transmit(taken, address)
            elif taken is not None:
                found.append((_as_it_came(packet, taken[1]), taken[0]))
        return found

    def transmit(self, message: bytes, place: "A | Seat") -> None:
        """Send a message, sealed if it is for a seat."""
        if not isinstance(place, Seat):
            self._transmit(message, place)
        elif (found := self.seal.seal(place, message)) is not None:
            self._transmit(*found)
        else:
            self.unsent += 1

    def describe(self, place: "A | Seat") -> ChannelInfo:
        """The facts about a channel.

        Raises:
            LookupError: no session is left of the seat.
        """
        if not isinstance(place, Seat):
            return self._describe(place)
        address = self.seal.address(place)
        if address is None:
            raise LookupError(place)
        info = self._describe(address)
        largest = info.max_message
        return structs.replace(
            info,
            network=network_of(place),
            max_message=None if largest is None else largest - DATA_OVERHEAD,
            is_sealed=True,
            is_private=True,
            hears_broadcasts=True,
        )


def network_of(seat: Seat) -> str:
    """What shares its places with a seat: all who have the same key."""
    return _network_of(seat.principal)


@lru_cache(256)  # one text for all their channels
def _network_of(principal: str) -> str:
    return f"key of {principal}"


def _as_it_came(packet: bytes, message: bytes) -> bytes:
    """A message of which as much is known as of the packet that it was in."""
    if not isinstance(packet, Arrival):
        return message
    arrived = Arrival.after(message, packet.waited)
    arrived.is_repeat = packet.is_repeat
    return arrived
