"""Networks: what counts as one where places are shared out. It does no I/O."""

from collections.abc import Callable, Hashable, Iterator
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_CANDIDATES = 8


def network_of(host: str) -> str:
    """The network of an address: IPv6 gives each customer 2^64 of them, IPv4 hardly one.

    Args:
        host: an address, with or without a zone, or a name, which stands for itself.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))


class Places(Generic[K]):
    """Who holds the places of a listener, by network, so that no network keeps others out.

    Everything takes the same short time, however many there are.
    """

    __slots__ = ("_by_size", "_holders", "_largest", "_networks")

    def __init__(self) -> None:
        self._holders: dict[K, str] = {}
        self._networks: dict[str, dict[K, None]] = {}
        self._by_size: dict[int, dict[str, None]] = {}  # who has held that many for longest first
        self._largest = 0

    def __len__(self) -> int:
        return len(self._holders)

    def __contains__(self, holder: object) -> bool:
        return holder in self._holders

    def take(self, holder: K, network: str) -> None:
        """Give somebody a place."""
        self._holders[holder] = network
        holders = self._networks.setdefault(network, {})
        holders[holder] = None
        self._note_size(network, len(holders) - 1, len(holders))

    def leave(self, holder: K) -> None:
        """Take the place back, if there is one."""
        network = self._holders.pop(holder, None)
        if network is not None:
            holders = self._networks[network]
            del holders[holder]
            self._note_size(network, len(holders) + 1, len(holders))
            if not holders:
                del self._networks[network]

    def touch(self, holder: K) -> None:
        """Note that somebody has been heard of; who has a place is last then in its network."""
        network = self._holders.get(holder)
        if network is not None:
            holders = self._networks[network]
            del holders[holder]
            holders[holder] = None

    @property
    def greediest(self) -> str | None:
        """The network that has most places, `None` where nobody has any."""
        return next(iter(self._by_size[self._largest])) if self._largest else None

    def newest_rival(self, network: str) -> K | None:
        """Who has to go for a newcomer: who came last to a network that has more places, if any.

        It still has as many after that. Else two networks would throw each other out for ever.

        Args:
            network: the newcomer's.
        """
        if len(self._networks.get(network, ())) + 1 >= self._largest:
            return None
        assert self.greediest is not None
        return next(reversed(self._networks[self.greediest]))

    def silent_rivals(self, network: str) -> Iterator[K]:
        """Some of those who may have to go for a newcomer, silent ones first.

        They are of networks that have more places than the newcomer's, else of its own.

        Args:
            network: the newcomer's.
        """
        others = [network]
        if len(self._networks.get(network, ())) < self._largest:
            others = list(islice(self._by_size[self._largest], _CANDIDATES))
        for other in others:
            yield from tuple(islice(self._networks.get(other, ()), _CANDIDATES))

    def _note_size(self, network: str, old: int, new: int) -> None:
        if old:
            del self._by_size[old][network]
            if not self._by_size[old]:
                del self._by_size[old]
        if new:
            self._by_size.setdefault(new, {})[network] = None
        self._largest = max(self._largest, new)
        while self._largest and self._largest not in self._by_size:
            self._largest -= 1


class Seats(Generic[K]):
    """So many places for connections. When all are taken, who has more gives way to who has fewer.

    Args:
        limit: places.
        end: ends whoever has to go.
        tell: is told once that a network takes all places, and once that there are too many.

    Attributes:
        limit: as above; it may be changed.
        displaced: how many had to go for one of a network that had fewer.
        turned_away: how many came when there was no place for their network.
    """

    def __init__(
        self,
        limit: int,
        end: Callable[[K], object],
        tell: Callable[[str], object] = lambda problem: None,
    ) -> None:
        self.limit = limit
        self._end = end
        self._tell = tell
        self._places: Places[K] = Places()
        self.displaced = 0
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._places)

    @property
    def drops(self) -> dict[str, int]:
        """These by reason; see `channel.drops`."""
        return {"displaced": self.displaced, "turned_away": self.turned_away}

    @property
    def are_taken(self) -> bool:
        """Whether nobody can come in without another one's going."""
        return len(self._places) >= self.limit

    @property
    def greediest(self) -> str | None:
        """The network that has most places, `None` where nobody has any."""
        return self._places.greediest

    def take(self, holder: K, network: str) -> bool:
        """Give a newcomer a place; says whether there is one."""
        if self.are_taken:
            rival = self._places.newest_rival(network)
            if rival is None:
                if not self.turned_away:
                    self._tell(f"over {self.limit} peers")
                self.turned_away += 1
                return False
            if not self.displaced:
                self._tell("one network takes all places")
            self.displaced += 1
            self._places.leave(rival)
            self._end(rival)
        self._places.take(holder, network)
        return True

    def leave(self, holder: K) -> None:
        """Take the place back, if there is one."""
        self._places.leave(holder)
