"""Commands that the system has, until the machines of their devices have acknowledged the bytes."""

from collections.abc import Callable
from functools import partial

import anyio

from .open_command import OpenCommand
from .session import DeviceSession
from .timers import Timers

_FIRST_LOOK, _LONGEST_LOOK = 0.01, 1.0


class Arrivals:
    """Looks at what has been acknowledged, as long as there is something to look for.

    Args:
        timers: when to look.
        on_arrival: is told of each command that has arrived.
    """

    def __init__(self, timers: Timers, on_arrival: Callable[[OpenCommand], object]) -> None:
        self._timers = timers
        self._on_arrival = on_arrival
        self._on_their_way: dict[DeviceSession, list[OpenCommand]] = {}

    def add(self, command: OpenCommand, session: DeviceSession) -> None:
        """The system has the bytes of a command, for the connection of a session."""
        command.offset = session.connection.written
        waiting = self._on_their_way.setdefault(session, [])
        waiting.append(command)
        if len(waiting) == 1:
            self._look_again(session, 0.0)
        else:
            self.look(session)

    def look(self, session: DeviceSession) -> None:
        """See what has arrived."""
        waiting = self._on_their_way.pop(session, [])
        confirmed = session.connection.confirmed if waiting else 0
        for number, command in enumerate(waiting):
            if command.offset is None or command.offset > confirmed:
                self._on_their_way[session] = waiting[number:]
                return
            command.offset = None
            self._on_arrival(command)

    def end(self, session: DeviceSession) -> None:
        """Look for the last time, since the connection has ended."""
        self.look(session)
        self._on_their_way.pop(session, None)

    def _look_again(self, session: DeviceSession, pause: float) -> None:
        self.look(session)
        if session in self._on_their_way:
            pause = min(max(2 * pause, _FIRST_LOOK), _LONGEST_LOOK)
            again = partial(self._look_again, session, pause)
            self._timers.at(anyio.current_time() + pause, "", again)
