"""Commands from the moment they are asked for until their status is final.

QUEUED → SENT → PENDING → SUCCESS | ERROR | TIMEOUT | EXPIRED | CANCELLED; a step may be left out,
and a final status changes no more. Here are the commands that are not; the store has them all.

A command is SENT once the system has its bytes. When the connection ends before the device's
machine has acknowledged them, or is replaced before any response, the command is QUEUED again with
the same id, as long as it has not expired. What is not acknowledged is QUEUED in the store, in case
the platform is killed. Source: the page for operators, section 2.

How long a command may wait is counted by a clock that nobody sets. Of one that an earlier run has
left only the times of day are known, which a machine without a clock of its own may have wrong for
a while: it is sent only at a time between that of its beginning and that of its end.
"""

import math
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio

from jsonrpc_iot import Busy, TooLarge

from ..clock import elapsed
from ..messages import CommandResponse
from ..store.command_log import CommandRow, CommandStatus
from ..store.store import Store
from .counts import Counts
from .ingest import Ingest
from .open_command import CommandUpdate, OpenCommand, line_of
from .presence import Presence
from .session import DeviceSession
from .settings import PlatformSettings
from .timers import Timers

_REMEMBERED = 1024
_LOOK_SECONDS = 5.0
_JUMP_SECONDS = 1.0
_FIRST_LOOK, _LONGEST_LOOK = 0.01, 1.0  # at what the device's machine has acknowledged

_ANSWERS = {
    "success": CommandStatus.SUCCESS,
    "error": CommandStatus.ERROR,
    "pending": CommandStatus.PENDING,
}


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
        self._unanswered: dict[str, dict[str, OpenCommand]] = {}
        self._on_their_way: dict[DeviceSession, list[OpenCommand]] = {}
        self._timers = Timers(self._open.__len__, self._open.__contains__)
        self._number = 0
        self._clocks = 0.0, 0.0

    async def load(self) -> None:
        """Take up what an earlier run of the platform left open."""
        self._clocks = _clocks()
        rows = await self._store.commands(limit=-1, open_only=True)
        for row in reversed(rows):
            command = self._new(row, is_left=True)
            now = time.time()
            if row.status is CommandStatus.QUEUED:
                command.expires = elapsed() + (row.expires - now if row.created <= now else 0.0)
                self._enqueue(command)
            else:
                self._open[row.command_id] = command
                longest = self._response_seconds(row)
                past = now - (row.sent or row.created)
                self._set_deadline(command, elapsed() + min(longest - past, longest))

    def make(
        self,
        device_id: str,
        payload: dict[str, Any],
        expires: float,
        *,
        response_timeout: float | None = None,
        message_type: str | None = None,
        job_id: str | None = None,
    ) -> OpenCommand:
        """Make a command that nobody knows of yet.

        Args:
            device_id: whom to.
            payload: values by `command_key`.
            expires: seconds that it may wait for the device.
            response_timeout: seconds that the device may be silent about it.
            message_type: of a message that is no command.
            job_id: the broadcast that it is a part of.

        Raises:
            Busy: too many wait for the device.
            TooLarge: it does not fit a line.
        """
        limit = self._settings.queued_commands
        if len(self._queues.get(device_id, ())) >= limit:
            raise Busy(f"{limit} commands wait for the device")
        now = time.time()
        row = CommandRow(
            command_id=str(uuid.uuid4()),
            device_id=device_id,
            command=payload,
            status=CommandStatus.QUEUED,
            created=now,
            expires=now + expires,
            message_type=message_type,
            response_timeout=response_timeout,
            job_id=job_id,
        )
        command = self._new(row, expires=elapsed() + expires)
        if len(command.line) > self._settings.line:
            size = len(command.line)
            raise TooLarge(data={"size": size, "limit": self._settings.line})
        return command

    async def send(self, commands: Sequence[OpenCommand]) -> None:
        """Store commands, and send them to the devices that are there.

        Raises:
            StoreFailed: none is stored, and none sent.
        """
        await self._store.write([], [each.row for each in commands])
        for command in commands:
            self._enqueue(command)
            self._on_update(command.update())
            session = self._presence.online(command.row.device_id)
            if session is not None:
                self.settle(session)

    def cancel(self, command_id: str) -> CommandRow | None:
        """Take back a command that waits; returns it, `None` where there is none that does."""
        command = self._open.get(command_id)
        if command is None or command.row.status is not CommandStatus.QUEUED:
            return None
        self._change(command, CommandStatus.CANCELLED)
        return command.row

    def settle(self, session: DeviceSession) -> None:
        """Send a device what waits for it as soon as it has had its time after authenticating."""
        if session.settles > anyio.current_time():
            self._timers.at(session.settles, "", partial(self.settle, session))
        elif self._presence.online(session.device_id) is session:
            self.flush(session)

    def flush(self, session: DeviceSession) -> None:
        """Send a device what waits for it."""
        for command in list(self._queues.get(session.device_id, {}).values()):
            if command.writing is not session and self._may_go(command):
                command.writing, command.offset = session, None
                session.connection.send(
                    command.line,
                    partial(self._note_written, command, session),
                    partial(self._may_go, command),
                )

    def states(self) -> Counter[CommandStatus]:
        """How many open commands there are of each status."""
        return Counter(each.row.status for each in self._open.values())

    def waits_for(self, device_id: str) -> bool:
        """Whether commands wait for a device."""
        return bool(self._queues.get(device_id))

    def respond(self, session: DeviceSession, message: CommandResponse) -> None:
        """Take a device's response; one that fits no open command of it is dropped and counted."""
        command = self._open.get(str(message.command_id))
        if command is None or command.row.device_id != session.device_id:
            self._drop_response(session)
            return
        if command.row.status is CommandStatus.QUEUED:
            if not command.may_be_there:
                self._drop_response(session)
                return
            self._note_sent(command)  # who answers has got it, though we have not heard so
        self._counts.responses += 1
        command.row.payload = message.payload
        self._change(command, _ANSWERS[message.status])
        if message.status == "pending":
            self._set_deadline(command, elapsed() + self._response_seconds(command.row))

    def _drop_response(self, session: DeviceSession) -> None:
        self._counts.dropped_responses += 1
        session.record.dropped_responses += 1

    def release(self, session: DeviceSession, *, replaced: bool) -> None:
        """Queue again what the device may not have got of a connection that has ended.

        Args:
            session: whose connection has ended.
            replaced: the device has come again, so it may have lost what it did not answer.
        """
        self._look(session)
        self._on_their_way.pop(session, None)
        for command in list(self._unanswered.get(session.device_id, {}).values()):
            if (
                command.writing is session
                and (replaced or command.offset is not None)
                and command.expires > elapsed()
            ):
                command.row.sent = None
                self._change(command, CommandStatus.QUEUED)

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
            await self._timers.wait(
                anyio.current_time() + _LOOK_SECONDS if self._open else math.inf
            )
            self._follow_clocks()
            self._timers.run_due()

    def _new(self, row: CommandRow, **more: Any) -> OpenCommand:
        self._number += 1
        return OpenCommand(row=row, line=line_of(row), number=self._number, **more)

    def _response_seconds(self, row: CommandRow) -> float:
        return row.response_timeout or self._settings.response_seconds

    def _note_written(self, command: OpenCommand, session: DeviceSession) -> None:
        """The system has the line; whether the device's machine has it will be looked at."""
        if command.writing is session and not command.row.status.is_final:
            command.offset = session.connection.written
            self._note_sent(command)
            waiting = self._on_their_way.setdefault(session, [])
            waiting.append(command)
            if len(waiting) == 1:
                self._look_again(session, 0.0)
            else:
                self._look(session)

    def _look_again(self, session: DeviceSession, pause: float) -> None:
        """Look now, and as long as there is something to look for."""
        self._look(session)
        if session in self._on_their_way:
            pause = min(max(2 * pause, _FIRST_LOOK), _LONGEST_LOOK)
            again = partial(self._look_again, session, pause)
            self._timers.at(anyio.current_time() + pause, "", again)

    def _look(self, session: DeviceSession) -> None:
        """See what the device's machine has acknowledged, and have that stored."""
        waiting = self._on_their_way.pop(session, [])
        confirmed = session.connection.confirmed if waiting else 0
        for number, command in enumerate(waiting):
            if command.offset is None or command.offset > confirmed:
                self._on_their_way[session] = waiting[number:]
                return
            command.offset = None
            if command.row.status is CommandStatus.SENT:
                if command.row.message_type is None:
                    self._ingest.save(command.row)
                else:  # nobody answers it
                    self._change(command, CommandStatus.SUCCESS)

    def _check_deadline(self, command_id: str) -> None:
        command = self._open.get(command_id)
        if command is not None:
            command.timer = math.inf
            if not self._end_if_over(command):
                self._set_timer(command)  # it has more time now, or the timers' clock less

    def _end_if_over(self, command: OpenCommand) -> bool:
        if command.is_over(elapsed()):
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

    def _enqueue(self, command: OpenCommand) -> None:
        row = command.row
        self._open[row.command_id] = command
        queue = self._queues.setdefault(row.device_id, {})
        is_last = not queue or next(reversed(queue.values())).number < command.number
        queue[row.command_id] = command
        if not is_last:
            self._queues[row.device_id] = dict(
                sorted(queue.items(), key=lambda item: item[1].number)
            )
        self._set_deadline(command, command.expires)

    def _set_deadline(self, command: OpenCommand, deadline: float) -> None:
        command.deadline = deadline
        self._set_timer(command)

    def _set_timer(self, command: OpenCommand) -> None:
        """Look at a command when its time is over; one that is looked at sooner needs no more."""
        due = anyio.current_time() + command.deadline - elapsed()
        if due < command.timer:
            command.timer = due
            id = command.row.command_id
            self._timers.at(due, id, partial(self._check_deadline, id))

    def _note_sent(self, command: OpenCommand) -> None:
        row = command.row
        if row.status is CommandStatus.QUEUED:
            row.sent = time.time()
            self._set_deadline(command, elapsed() + self._response_seconds(row))
            self._change(command, CommandStatus.SENT)

    def _change(self, command: OpenCommand, status: CommandStatus) -> None:
        row = command.row
        if row.status is CommandStatus.QUEUED:
            _drop(self._queues, row)
        elif row.status is CommandStatus.SENT:
            _drop(self._unanswered, row)
        row.status = status
        if status is CommandStatus.QUEUED:
            self._enqueue(command)
        elif status is CommandStatus.SENT:
            self._unanswered.setdefault(row.device_id, {})[row.command_id] = command
        elif status.is_final:
            row.finished = time.time()
            del self._open[row.command_id]
            self._final[row.command_id] = row
            if len(self._final) > _REMEMBERED:
                del self._final[next(iter(self._final))]
            command.finished.set()
        if status is not CommandStatus.SENT:  # until it is acknowledged
            self._ingest.save(row)
        self._on_update(command.update())


def _drop(commands: dict[str, dict[str, OpenCommand]], row: CommandRow) -> None:
    """Take a command from among those of its device."""
    group = commands.get(row.device_id, {})
    group.pop(row.command_id, None)
    if not group:
        commands.pop(row.device_id, None)


def _clocks() -> tuple[float, float]:
    """How far the time of day, and the clock of the timers, are from `elapsed`."""
    return time.time() - elapsed(), anyio.current_time() - elapsed()
