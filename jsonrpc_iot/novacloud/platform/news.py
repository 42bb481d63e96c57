"""Who wants to hear of which devices; without a wish everybody hears of all."""

from collections.abc import Collection, Sequence
from weakref import WeakValueDictionary

from jsonrpc_iot.protocol.patterns import Patterns

from ..store.registry import Registry


class Tagged(set[str]):
    """The ids of the devices that have a tag."""


class News:
    """What is being told at the moment, and which devices have the tags that somebody asked for.

    Args:
        store: knows the tags.

    Attributes:
        device_id: whom the event is about that is just being sent.
    """

    def __init__(self, store: Registry) -> None:
        self._store = store
        self._tagged: WeakValueDictionary[str, Tagged] = WeakValueDictionary()
        self.device_id = ""

    @property
    def looks_at_tags(self) -> bool:
        """Whether somebody wants to hear of the devices of a tag."""
        return bool(self._tagged)

    async def wish(
        self,
        kinds: Sequence[str],
        device_ids: Collection[str] | None,
        tags: Sequence[str] | None,
    ) -> "Wish":
        """A wish for events of some kinds, and of some devices or tags; of all without both.

        Raises:
            StoreFailed: who has the tags cannot be read.
        """
        if device_ids is None and tags is None:
            return Wish(self, kinds, None)
        groups: list[Collection[str]] = [frozenset(device_ids or ())]
        groups += [await self._with_tag(tag) for tag in tags or ()]
        return Wish(self, kinds, groups)

    def note_tags(self, device_id: str, tags: Collection[str]) -> None:
        """A device has these tags now."""
        for tag, ids in self._tagged.items():
            if tag in tags:
                ids.add(device_id)
            else:
                ids.discard(device_id)

    async def _with_tag(self, tag: str) -> Tagged:
        ids = self._tagged.get(tag)
        if ids is None:
            ids = self._tagged[tag] = Tagged()
            ids.update(each.device_id for each in await self._store.targets([], tag=tag))
        return ids


class Wish(Patterns):
    """Events of some kinds, of some devices.

    Args:
        news: says whom an event is about.
        kinds: names of events, and beginnings of names as in `device.*`.
        groups: the devices, `None` for all.
    """

    __slots__ = ("_groups", "_news")

    def __init__(
        self, news: News, kinds: Sequence[str], groups: Sequence[Collection[str]] | None
    ) -> None:
        super().__init__(kinds)
        self._news = news
        self._groups = groups

    def match(self, name: str) -> bool:
        """Whether the event that is just being sent is wanted."""
        if not super().match(name):
            return False
        about = self._news.device_id
        return self._groups is None or any(about in group for group in self._groups)
