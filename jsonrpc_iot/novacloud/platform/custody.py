"""Whose commands this node decides about."""

from collections.abc import Collection

from ..store.command_log import Holder


class Custody:
    """The devices about whose commands this node decides: those that are with it, or all.

    Args:
        is_alone: no other node shares the record, so it is all of them.
    """

    def __init__(self, *, is_alone: bool = True) -> None:
        self.is_alone = is_alone
        self._holders: dict[str, Holder] = {}

    @property
    def device_ids(self) -> Collection[str]:
        """The devices that are with this node, as far as they have been taken."""
        return self._holders.keys()

    def has(self, device_id: str) -> bool:
        """Whether this node decides about a device's commands."""
        return self.is_alone or device_id in self._holders

    def holder(self, device_id: str) -> Holder | None:
        """As what it does so, `None` where it need not say."""
        return self._holders.get(device_id)

    def take(self, device_id: str, holder: Holder) -> None:
        """Decide about a device from now on."""
        self._holders[device_id] = holder

    def give_up(self, device_id: str) -> None:
        """Decide about it no more."""
        self._holders.pop(device_id, None)
