"""What all peers of a server may hold together, shared out so that none keeps the others out."""

_PEER = 4
_NETWORK = 2


class _Held:
    """What somebody holds, or what is left."""

    __slots__ = ("entries", "reply_bytes")

    def __init__(self, entries: int = 0, reply_bytes: int = 0) -> None:
        self.entries = entries
        self.reply_bytes = reply_bytes


class Budget(_Held):
    """Room for what may be asked for again on channels that lose messages.

    Args:
        entries: requests that are remembered.
        reply_bytes: bytes of stored responses and items.

    Attributes:
        entries: how many are left.
        reply_bytes: how many are left.
    """

    __slots__ = ("networks",)

    def __init__(self, entries: int, reply_bytes: int) -> None:
        super().__init__(entries, reply_bytes)
        self.networks: dict[str, _Held] = {}


class Share(_Held):
    """What one peer holds of a budget.

    It gets at most a quarter of what others leave, and all peers of its network together half.

    Args:
        budget: of all.
        network: where the peer is, empty where it is on its own.

    Attributes:
        entries: how many it holds.
        reply_bytes: how many it holds.
    """

    __slots__ = ("_budget", "_network")

    def __init__(self, budget: Budget, network: str = "") -> None:
        super().__init__()
        self._budget = budget
        self._network = network

    def take_entry(self) -> bool:
        """Hold one more request; says whether it may."""
        left, network = self._budget.entries, self._of_network
        fits = self.entries < (left + self.entries) / _PEER and (
            network is None or network.entries < (left + network.entries) / _NETWORK
        )
        if fits:
            self._add(1, 0)
        return fits

    def take_bytes(self, size: int) -> bool:
        """Hold so many bytes more; says whether it may."""
        left, network = self._budget.reply_bytes, self._of_network
        mine = self.reply_bytes
        fits = mine + size <= (left + mine) / _PEER and (
            network is None or network.reply_bytes + size <= (left + network.reply_bytes) / _NETWORK
        )
        if fits:
            self._add(0, size)
        return fits

    def give_back(self, entries: int = 0, reply_bytes: int = 0) -> None:
        """Hold less."""
        self._add(-entries, -reply_bytes)

    @property
    def _of_network(self) -> _Held | None:
        """What its network holds, if others are in it."""
        if not self._network:
            return None
        return self._budget.networks.get(self._network) or _NOTHING

    def _add(self, entries: int, reply_bytes: int) -> None:
        self.entries += entries
        self.reply_bytes += reply_bytes
        self._budget.entries -= entries
        self._budget.reply_bytes -= reply_bytes
        if not self._network:
            return
        networks = self._budget.networks
        held = networks.setdefault(self._network, _Held())
        held.entries += entries
        held.reply_bytes += reply_bytes
        if not held.entries and not held.reply_bytes:
            del networks[self._network]


_NOTHING = _Held()
