"""Who is told of what comes over a link."""

import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable

import anyio
import anyio.lowlevel

from ..channel.changes import Change
from ..errors import MalformedFrame
from ..protocol.tuya.datapoints import DataPoint, Unit
from ..protocol.tuya.frame import Frame

logger = logging.getLogger("jsonrpc_iot.tuya")

_WAITING_EVENTS = 256

FrameHandler = Callable[[Frame], Awaitable[object] | object]
DataPointHandler = Callable[[DataPoint], Awaitable[object] | object]
Event = Callable[[], Awaitable[object] | object]


class Handlers:
    """The handlers of one link, which its line tells of what comes (see `TakesFrames`).

    They run one after the other, in the order of what came.

    Attributes:
        commands: handlers of frames, by command.
        datapoints: handlers of DataPoints, by id.
        dropped: events that came while too many others waited.
        malformed: units that were no DataPoints.
    """

    def __init__(self) -> None:
        self.commands: defaultdict[int, list[FrameHandler]] = defaultdict(list)
        self.datapoints: dict[int, DataPointHandler] = {}
        self.dropped = 0
        self.malformed = 0
        self._events: deque[Event] = deque()
        self._news = Change()

    def take_frame(self, frame: Frame) -> None:
        if frame.command in self.commands:
            for handler in self.commands[frame.command]:
                self.put(partial(handler, frame))

    def is_for(self, unit: Unit) -> bool:
        return unit.id in self.datapoints

    def take_unit(self, unit: Unit) -> bool:
        handler = self.datapoints.get(unit.id)
        if handler is None:
            return False
        try:
            self.put(partial(handler, unit.decode()))
        except MalformedFrame as error:
            self.malformed += 1
            logger.warning("%s", error)
        return True

    def put(self, event: Event) -> None:
        """Have something run when its turn comes."""
        if len(self._events) >= _WAITING_EVENTS:
            self.dropped += 1
            return
        self._events.append(event)
        self._news.notify()

    async def run(self) -> None:
        """Run them, until cancelled. An exception in one is logged."""
        while True:
            if not self._events:
                await self._news.wait()
            while self._events:
                await anyio.lowlevel.checkpoint()
                try:
                    outcome = self._events.popleft()()
                    if isawaitable(outcome):
                        await outcome
                except Exception:
                    logger.exception("a handler of a Tuya link failed")
