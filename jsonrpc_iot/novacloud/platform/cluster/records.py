"""What another node knows of a device that is with it, and no record keeps: asked for by a hint."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count

import anyio
import msgspec

from ...bus.bus import Bus
from ...bus.subjects import is_subject, subject
from ..counts import DeviceRecord
from ..node.membership import Membership

_PATIENCE = 0.5

_decoder = msgspec.json.Decoder(DeviceRecord)


class Records:
    """Asks other nodes about devices, and answers them.

    Args:
        membership: this node's.
        bus: carries questions and answers; either may be lost.
        find: says what this node knows of a device that is with it.
    """

    def __init__(
        self, membership: Membership, bus: Bus, find: Callable[[str], DeviceRecord | None]
    ) -> None:
        self._membership = membership
        self._bus = bus
        self._find = find
        self._questions = count()

    async def ask(self, device_id: str) -> DeviceRecord | None:
        """What the node of a device has counted of it, `None` where none answers within 0.5 s."""
        answer = subject("told", str(self._membership.lease.number), str(next(self._questions)))
        with anyio.move_on_after(_PATIENCE):
            async with self._bus.subscribe(answer) as hints:
                self._bus.publish(subject("asked", device_id), answer.encode())
                async for hint in hints:
                    with suppress(msgspec.DecodeError):  # empty, or of a newer node
                        return _decoder.decode(hint.payload)
        return None

    async def run(self) -> None:
        """Answer, unless there is nobody else."""
        if self._membership.is_alone:
            return
        async with self._bus.subscribe("asked.*") as hints:
            async for hint in hints:
                answer = hint.payload.decode(errors="replace")
                record = self._find(hint.subject.rpartition(".")[2])
                if record is not None and answer.startswith("told.") and is_subject(answer):
                    self._bus.publish(answer, msgspec.json.encode(record))
