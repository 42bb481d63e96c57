"""What all peers of a server may hold together, shared out so that none keeps the others out."""

_NETWORK = 2


class _Held:
    """What somebody holds, or what is left."""

    __slots__ = ("byte_count", "entries")

    def __init__(self, entries: int = 0, byte_count: int = 0) -> None:
        self.entries = entries
        self.byte_count = byte_count


class Budget(_Held):
    """Room for what a server holds for its peers.

    Args:
        entries: how much it holds in number, such as requests that are remembered.
        byte_count: how much it holds in bytes, such as stored responses.

    Attributes:
        entries: how many are left.
        byte_count: how many are left.
    """

    __slots__ = ("networks",)

    def __init__(self, entries: int, byte_count: int) -> None:
        super().__init__(entries, byte_count)
        self.networks: dict[str, _Held] = {}


class Share(_Held):
    """What one peer holds of a budget.

    It gets at most a part of what others leave, and all peers of its network together half.

    Args:
        budget: of all.
        network: where the peer is, empty where it is on its own.
        part: a quarter by default, `1` for no bound of its own.

    Attributes:
        entries: how many it holds.
        byte_count: how many it holds.
    """

    __slots__ = ("_budget", "_network", "_part")

    def __init__(self, budget: Budget, network: str = "", part: float = 1 / 4) -> None:
        super().__init__()
        self._part = part
        self._budget = budget
        self._network = network

    def take_entry(self) -> bool:
        """Hold one more request; says whether it may."""
        budget, network = self._budget, self._network
        left = budget.entries
        held = (budget.networks.get(network) or _NOTHING) if network else None
        fits = self.entries < (left + self.entries) * self._part and (
            held is None or held.entries < (left + held.entries) / _NETWORK
        )
        if fits:
            self._add(1, 0)
        return fits

    def take_bytes(self, size: int) -> bool:
        """Hold so many bytes more; says whether it may."""
        budget, network, mine = self._budget, self._network, self.byte_count
        left = budget.byte_count
        held = (budget.networks.get(network) or _NOTHING) if network else None
        fits = mine + size <= (left + mine) * self._part and (
            held is None or held.byte_count + size <= (left + held.byte_count) / _NETWORK
        )
        if fits:
            self._add(0, size)
        return fits

    def give_back(self, entries: int = 0, byte_count: int = 0) -> None:
        """Hold less."""
        self._add(-entries, -byte_count)

    def _add(self, entries: int, byte_count: int) -> None:
        budget = self._budget
        self.entries += entries
        self.byte_count += byte_count
        budget.entries -= entries
        budget.byte_count -= byte_count
        if not self._network:
            return
        networks = budget.networks
        held = networks.get(self._network)
        if held is None:
            held = networks[self._network] = _Held()
        held.entries += entries
        held.byte_count += byte_count
        if not held.entries and not held.byte_count:
            del networks[self._network]


_NOTHING = _Held()
