"""Commands from the moment they are asked for until their status is final.

QUEUED → SENT → PENDING → SUCCESS | ERROR | TIMEOUT | EXPIRED; a step may be left out, and a final
status changes no more. Here are the commands that are not final; the store has them all.

How long a command may wait is counted by a clock that nobody sets. Of one that an earlier run has
left only the times of day are known, which a machine without a clock of its own may have wrong for
a while: it is sent only at a time between that of its beginning and that of its end.
"""

import heapq
import math
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
from msgspec import Struct, field

from jsonrpc_iot import Busy, TooLarge

from ..messages import Command, CommandResponse, encode_line
from ..store.store import CommandRow, CommandStatus, Store
from .clock import elapsed
from .counts import Counts
from .ingest import Ingest
from .presence import Presence
from .session import DeviceSession
from .settings import PlatformSettings

_REMEMBERED = 1024
_LOOK_SECONDS = 5.0
_JUMP_SECONDS = 1.0

_ANSWERS = {
    "success": CommandStatus.SUCCESS,
    "error": CommandStatus.ERROR,
    "pending": CommandStatus.PENDING,
}


class CommandUpdate(Struct, frozen=True):
    """A command has another status. `payload` is that of the device's last response."""

    command_id: str
    device_id: str
    status: CommandStatus
    payload: Any = None


class OpenCommand(Struct, eq=False):
    """A command that is not final, or has just become it.

    Args:
        row: as the store has it.
        line: what goes to the device.
        writing: the session whose connection has the line.
        finished: is set once the status is final.
        deadline: when its present status ends, by `elapsed`.
        is_left: an earlier run has left it.
    """

    row: CommandRow
    line: bytes
    writing: DeviceSession | None = None
    finished: anyio.Event = field(default_factory=anyio.Event)
    deadline: float = 0.0
    is_left: bool = False

    @property
    def is_over(self) -> bool:
        """Whether its present status has ended."""
        row = self.row
        if self.is_left and row.status is CommandStatus.QUEUED:
            return self.deadline <= elapsed() or not row.created <= time.time() < row.expires
        return self.deadline <= elapsed()


class OpenCommands:
    """All open commands.

    Args:
        store: has them all.
        settings: of which `queued_commands`, `response_seconds` and `line` are used here.
        counts: of the whole platform.
        ingest: stores their states.
        presence: knows which devices are there.
        on_update: is told of each new status.
    """

    def __init__(
        self,
        store: Store,
        settings: PlatformSettings,
        counts: Counts,
        ingest: Ingest,
        presence: Presence,
        on_update: Callable[[CommandUpdate], object],
    ) -> None:
        self._store = store
        self._settings = settings
        self._counts = counts
        self._ingest = ingest
        self._presence = presence
        self._on_update = on_update
        self._open: dict[str, OpenCommand] = {}
        self._final: dict[str, CommandRow] = {}
        self._queues: dict[str, dict[str, OpenCommand]] = {}
        self._timers: list[tuple[float, int, str, Callable[[], object]]] = []
        self._timer_number = 0
        self._sooner = anyio.Event()
        self._clocks = 0.0, 0.0

    async def load(self) -> None:
        """Take up what an earlier run of the platform left open."""
        self._clocks = _clocks()
        rows = await self._store.commands(limit=-1, open_only=True)
        for row in reversed(rows):
            command = OpenCommand(row, _line(row), is_left=True)
            now = time.time()
            if row.status is CommandStatus.QUEUED:
                self._enqueue(command, row.expires - now if row.created <= now else 0.0)
            else:
                self._open[row.command_id] = command
                longest = self._settings.response_seconds
                past = now - (row.sent or row.created)
                self._set_deadline(command, min(longest - past, longest))

    async def send(self, device_id: str, payload: dict[str, Any], expires: float) -> OpenCommand:
        """Store a command, and send it if the device is there.

        Args:
            device_id: whom to.
            payload: values by `command_key`.
            expires: seconds that it may wait for the device.

        Raises:
            Busy: too many wait for the device.
            TooLarge: it does not fit a line.
            StoreFailed: it is not stored, and not sent.
        """
        limit = self._settings.queued_commands
        if len(self._queues.get(device_id, ())) >= limit:
            raise Busy(f"{limit} commands wait for the device")
        now, began = time.time(), elapsed()
        row = CommandRow(
            command_id=str(uuid.uuid4()),
            device_id=device_id,
            command=payload,
            status=CommandStatus.QUEUED,
            created=now,
            expires=now + expires,
        )
        command = OpenCommand(row, _line(row))
        if len(command.line) > self._settings.line:
            size = len(command.line)
            raise TooLarge(data={"size": size, "limit": self._settings.line})
        await self._store.write([], [row])
        self._enqueue(command, began + expires - elapsed())
        self._on_update(_update(row))
        session = self._presence.online(device_id)
        if session is not None:
            self.settle(session)
        return command

    def settle(self, session: DeviceSession) -> None:
        """Send a device what waits for it as soon as it has had its time after authenticating."""
        if session.settles > anyio.current_time():
            self._at(session.settles, "", partial(self.settle, session))
        elif self._presence.online(session.device_id) is session:
            self.flush(session)

    def flush(self, session: DeviceSession) -> None:
        """Send a device what waits for it."""
        for command in list(self._queues.get(session.device_id, {}).values()):
            if command.writing is not session and self._may_go(command):
                command.writing = session
                session.connection.send(
                    command.line, partial(self._note_sent, command), partial(self._may_go, command)
                )

    def waits_for(self, device_id: str) -> bool:
        """Whether commands wait for a device."""
        return bool(self._queues.get(device_id))

    def respond(self, session: DeviceSession, message: CommandResponse) -> None:
        """Take a device's response; one that fits no open command of it is dropped and counted."""
        command = self._open.get(message.command_id)
        if command is None or command.row.device_id != session.device_id:
            self._counts.dropped_responses += 1
            return
        if command.row.status is CommandStatus.QUEUED:
            if command.writing is not session:
                self._counts.dropped_responses += 1
                return
            self._note_sent(command)  # who answers has got it, though we have not heard so
        self._counts.responses += 1
        command.row.payload = message.payload
        self._change(command, _ANSWERS[message.status])

    def forget(self, device_id: str) -> None:
        """End all commands of a device that is deleted."""
        for command in list(self._open.values()):
            if command.row.device_id == device_id:
                self._change(command, CommandStatus.EXPIRED)

    def find(self, command_id: str) -> CommandRow | None:
        """A command that is not final, or has become so lately; the store may be behind."""
        command = self._open.get(command_id)
        return self._final.get(command_id) if command is None else command.row

    async def run(self) -> None:
        """Do what is due: end commands whose time is over, send to devices that have settled."""
        while True:
            self._sooner = anyio.Event()
            due = self._timers[0][0] if self._timers else math.inf
            if self._open:
                due = min(due, anyio.current_time() + _LOOK_SECONDS)
            with anyio.CancelScope(deadline=due):
                await self._sooner.wait()
            self._follow_clocks()
            while self._timers and self._timers[0][0] <= anyio.current_time():
                _, _, _, action = heapq.heappop(self._timers)
                action()

    def _check_deadline(self, command_id: str) -> None:
        command = self._open.get(command_id)
        if command is not None and not self._end_if_over(command):
            self._set_timer(command)  # the timers' clock is another one

    def _end_if_over(self, command: OpenCommand) -> bool:
        if command.is_over:
            is_waiting = command.row.status is CommandStatus.QUEUED
            self._change(command, CommandStatus.EXPIRED if is_waiting else CommandStatus.TIMEOUT)
            return True
        return False

    def _may_go(self, command: OpenCommand) -> bool:
        """Whether a command may still be sent; it waits, perhaps for a device that reads slowly."""
        return not command.row.status.is_final and not self._end_if_over(command)

    def _follow_clocks(self) -> None:
        """Notice that the time of day was set, or that the machine slept and its timers with it."""
        now = _clocks()
        if all(abs(a - b) < _JUMP_SECONDS for a, b in zip(now, self._clocks, strict=True)):
            return
        self._clocks = now
        for command in list(self._open.values()):
            row = command.row
            if row.status is CommandStatus.QUEUED and not command.is_left:
                shift = time.time() + command.deadline - elapsed() - row.expires
                row.created += shift  # for the next run, which knows no other clock
                row.expires += shift
                self._ingest.save(row)
            self._end_if_over(command)

    def _enqueue(self, command: OpenCommand, expires: float) -> None:
        row = command.row
        self._open[row.command_id] = command
        self._queues.setdefault(row.device_id, {})[row.command_id] = command
        self._set_deadline(command, expires)

    def _dequeue(self, row: CommandRow) -> None:
        queue = self._queues.get(row.device_id)
        if queue is not None:
            queue.pop(row.command_id, None)
            if not queue:
                del self._queues[row.device_id]

    def _set_deadline(self, command: OpenCommand, seconds: float) -> None:
        command.deadline = elapsed() + seconds
        self._set_timer(command)

    def _set_timer(self, command: OpenCommand) -> None:
        id = command.row.command_id
        due = anyio.current_time() + command.deadline - elapsed()
        self._at(due, id, partial(self._check_deadline, id))

    def _at(self, when: float, command_id: str, action: Callable[[], object]) -> None:
        """Have something done then, for a command if it is still open."""
        if len(self._timers) > _REMEMBERED + 4 * len(self._open):  # most are of final commands
            self._timers = [each for each in self._timers if not each[2] or each[2] in self._open]
            heapq.heapify(self._timers)
        self._timer_number += 1
        heapq.heappush(self._timers, (when, self._timer_number, command_id, action))
        self._sooner.set()

    def _note_sent(self, command: OpenCommand) -> None:
        row = command.row
        if row.status is CommandStatus.QUEUED:
            row.sent = time.time()
            self._set_deadline(command, self._settings.response_seconds)
            self._change(command, CommandStatus.SENT)

    def _change(self, command: OpenCommand, status: CommandStatus) -> None:
        row = command.row
        if row.status is CommandStatus.QUEUED:
            self._dequeue(row)
        row.status = status
        if status.is_final:
            row.finished = time.time()
            del self._open[row.command_id]
            self._final[row.command_id] = row
            if len(self._final) > _REMEMBERED:
                del self._final[next(iter(self._final))]
            command.finished.set()
        self._ingest.save(row)
        self._on_update(_update(row))


def _clocks() -> tuple[float, float]:
    """How far the time of day, and the clock of the timers, are from `elapsed`."""
    return time.time() - elapsed(), anyio.current_time() - elapsed()


def _update(row: CommandRow) -> CommandUpdate:
    return CommandUpdate(row.command_id, row.device_id, row.status, row.payload)


def _line(row: CommandRow) -> bytes:
    return encode_line(Command(command_id=row.command_id, payload=row.command))
