"""The lists of `platform.stats`: those of one node, and those of several put together."""

from collections import Counter
from collections.abc import Sequence
from heapq import nlargest
from itertools import islice

from msgspec import Struct

from .counts import Counts, Ignored, Refused

_DEVICES = 16  # each takes up to 2 KiB
_IDS = 100


class Lists(Struct, omit_defaults=True):
    """Those devices that stand out.

    Args:
        busiest: the bytes of those that have sent most, most first.
        flapping: those whose connections replace each other.
        ignored: values that were not stored, by device.
        refused: the last attempt to authenticate by nobody that is known.
    """

    busiest: dict[str, int] = {}
    flapping: list[str] = []
    ignored: dict[str, Ignored] = {}
    refused: Refused | None = None

    def parts(self) -> list["Lists"]:
        """Lists that are these together, each with few devices."""
        each = [Lists(ignored={device_id: values}) for device_id, values in self.ignored.items()]
        return [Lists(self.busiest, refused=self.refused), Lists(flapping=self.flapping), *each]


def lists_of(counts: Counts, flapping: Sequence[str]) -> Lists:
    """Those of one node, the last ones where there are many.

    Args:
        counts: of the node.
        flapping: devices that are with it.
    """
    ignored = dict(islice(reversed(counts.ignored.items()), _DEVICES))
    return Lists(counts.busiest(_DEVICES), [*flapping[:_IDS]], ignored, counts.refused)


def together(lists: Sequence[Lists]) -> Lists:
    """Those of several nodes, or of the parts of their lists; where there are many, the largest."""
    busiest: Counter[str] = Counter()
    ignored: dict[str, Ignored] = {}
    for each in lists:
        busiest.update(each.busiest)
        for device_id, values in each.ignored.items():
            known = ignored.get(device_id)
            ignored[device_id] = values if known is None else known.with_those(values)
    if len(ignored) > _DEVICES:
        most = nlargest(_DEVICES, ignored.items(), lambda item: item[1].unknown + item[1].wrong)
        ignored = dict(most)
    ids = dict.fromkeys(device_id for each in lists for device_id in each.flapping)
    refused = [each.refused for each in lists if each.refused is not None]
    return Lists(
        dict(busiest.most_common(_DEVICES)),
        [*ids][:_IDS],
        ignored,
        max(refused, key=lambda each: each.at, default=None),
    )
