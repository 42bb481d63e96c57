"""Networks: what counts as one where places are shared out. It does no I/O."""

from collections.abc import Hashable, Iterator
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
        """Note that somebody has been heard of, and comes last among those of its network."""
        holders = self._networks[self._holders[holder]]
        del holders[holder]
        holders[holder] = None

    def newest_rival(self, network: str) -> K | None:
        """Who has to go for a newcomer: who came last to a network that has more places, if any.

        Args:
            network: the newcomer's.
        """
        if len(self._networks.get(network, ())) >= self._largest:
            return None
        other = next(iter(self._by_size[self._largest]))
        return next(reversed(self._networks[other]))

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
        if new:
            self._by_size.setdefault(new, {})[network] = None
        self._largest = max(self._largest, new)
        while self._largest and not self._by_size.get(self._largest):
            self._by_size.pop(self._largest, None)
            self._largest -= 1
