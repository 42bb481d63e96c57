"""What happens to the devices of all nodes, for whoever listens at one of them."""

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
import msgspec

from jsonrpc_iot import BoundEvent

from ...bus.bus import Bus
from ...bus.subjects import subject
from ...bus.subscribers import MISSED, Hint
from ..node.membership import Membership

logger = logging.getLogger("jsonrpc_iot.novacloud")

_WANT_SECONDS = 1.0  # between hints that somebody listens
_WANTED_SECONDS = 5.0  # for which one of them counts


class SharedEvents:
    """Tells this node's listeners of all devices, and other nodes of this node's.

    Others are told only while they have listeners.

    Args:
        membership: this node's.
        bus: carries events.
        events: of this node's devices, which are told others.

    Attributes:
        has_listeners: says whether anybody hears what this node's listeners are told.
        is_wanted: whether other nodes have listeners.
    """

    def __init__(self, membership: Membership, bus: Bus, events: Sequence[BoundEvent[Any]]) -> None:
        self._membership = membership
        self._bus = bus
        self._decoders: dict[str, msgspec.json.Decoder[tuple[int, Any]]] = {}
        for event in events:
            kind: Any = tuple.__class_getitem__((int, event.kind))
            self._decoders[event.name] = msgspec.json.Decoder(kind)
        self._events = events
        self._listeners: list[Callable[[str, Any], object]] = []
        self._wanted_until = -math.inf
        self.is_wanted = False
        self.has_listeners: Callable[[], bool] = lambda: True

    def listen(self, listener: Callable[[str, Any], object]) -> None:
        """Have a function called with the name and the value of each event of any node."""
        self._listeners.append(listener)
        for event in self._events:
            event.subscribe(partial(listener, event.name))

    def _publish(self, name: str, value: Any) -> None:
        """Tell other nodes an event of one of this node's devices."""
        if self.is_wanted:
            payload = msgspec.json.encode((self._membership.lease.number, value))
            self._bus.publish(f"events.{name}.{subject(value.device_id)}", payload)

    async def run(self) -> None:
        """Hear what other nodes tell, and whether they listen, unless there is nobody else."""
        if self._membership.is_alone:
            return
        for event in self._events:
            event.subscribe(partial(self._publish, event.name))
        self._note_want()  # until it is known whether anybody listens
        async with anyio.create_task_group() as tasks:
            for run in (self._hear_events, self._hear_wants, self._keep_wanting):
                tasks.start_soon(run)

    async def _hear_events(self) -> None:
        async with self._bus.subscribe("events.>") as hints:
            async for hint in hints:
                own = b"[%d," % self._membership.lease.number
                if hint.payload and not hint.payload.startswith(own):
                    self._take(hint)

    def _take(self, hint: Hint) -> None:
        name = hint.subject.partition(".")[2].rpartition(".")[0]
        decoder = self._decoders.get(name)
        if decoder is None:  # of a newer node
            return
        try:
            _, value = decoder.decode(hint.payload)
        except msgspec.DecodeError:
            logger.warning("a hint makes no sense: %s", hint.subject)
            return
        for listener in self._listeners:
            listener(name, value)

    async def _hear_wants(self) -> None:
        async with self._bus.subscribe("wants.*") as hints:
            async for hint in hints:
                number = str(self._membership.lease.number)
                if hint is not MISSED and hint.subject != subject("wants", number):
                    self._note_want()

    def _note_want(self) -> None:
        self.is_wanted = True
        self._wanted_until = anyio.current_time() + _WANTED_SECONDS

    async def _keep_wanting(self) -> None:
        while True:
            if self._listeners and self.has_listeners():
                number = self._membership.lease.number
                self._bus.publish(subject("wants", str(number)))
            self.is_wanted = anyio.current_time() < self._wanted_until
            await anyio.sleep(_WANT_SECONDS)
