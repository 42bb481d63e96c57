"""Commands from the moment they are asked for until their status is final.

QUEUED → SENT → PENDING → SUCCESS | ERROR | TIMEOUT | EXPIRED | CANCELLED; a step may be left out,
and a final status changes no more. The record has all commands and the last word about them. Here
are those that are not final and about which this node decides: it sends them and hears the answers,
a little ahead of the record. With other nodes beside it, `shared_commands` says which they are.

A command is SENT once the system has its bytes. When the connection ends before the device's
machine has acknowledged them, or is replaced before any response, the command is QUEUED again with
the same id, as long as it has not expired. What is not acknowledged is QUEUED in the store, in case
the platform is killed; a store that other nodes share has it SENT before the first byte goes out,
since they could take it back otherwise. Source: the page for operators, section 2.

How long a command may wait is counted by a clock that nobody sets. Of one that an earlier run has
left only the times of day are known, which a machine without a clock of its own may have wrong for
a while: it is sent only at a time between that of its beginning and that of its end.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import anyio

from ..clock import elapsed
from ..messages import CommandResponse
from ..store.command_log import CommandLog, CommandRow, CommandStatus
from .arrivals import Arrivals
from .command_states import CommandStates
from .command_table import CommandTable
from .counts import Counts
from .custody import Custody
from .open_command import CommandUpdate, OpenCommand, line_of
from .presence import Presence
from .session import DeviceSession
from .settings import PlatformSettings
from .timers import Jumps, Timers

_LOOK_SECONDS = 5.0

_ANSWERS = {
    "success": CommandStatus.SUCCESS,
    "error": CommandStatus.ERROR,
    "pending": CommandStatus.PENDING,
}


class OpenCommands:
    """The open commands about which this node decides; `table` has them.

    Args:
        log: the record.
        settings: of which `queued_commands`, `response_seconds` and `line` are used here.
        counts: of the whole platform.
        states: has the record take their states.
        presence: knows which devices are there.
        custody: whose commands they are.
        on_update: is told of each new status.
        now: tells the time, in Unix seconds.

    Attributes:
        on_update: as above.
        on_elsewhere: is told of devices that are not this node's, and for which there is a command.
    """

    def __init__(
        self,
        log: CommandLog,
        settings: PlatformSettings,
        counts: Counts,
        states: CommandStates,
        presence: Presence,
        custody: Custody,
        on_update: Callable[[CommandUpdate], object],
        now: Callable[[], float],
    ) -> None:
        self._log = log
        self._settings = settings
        self._counts = counts
        self._states = states
        self._presence = presence
        self._custody = custody
        self.on_update = on_update
        self._now = now
        self.table = CommandTable()
        self._timers = Timers(self.table.open.__len__, self.table.open.__contains__)
        self._arrivals = Arrivals(self._timers, self._note_arrival)
        self._jumps = Jumps()
        self.on_elsewhere: Callable[[str], object] = lambda device_id: None

    async def load(self) -> None:
        """Take up what an earlier run of the platform left open."""
        self._jumps.have_come()
        for row in await self._log.open_commands():
            now = self._now()
            longest = self._response_seconds(row)
            command = OpenCommand(row=row, line=line_of(row), is_left=True)
            command.expires = elapsed() + (row.expires - now if row.created <= now else 0.0)
            due = (row.sent or row.created) + longest if row.due is None else row.due
            self._take_up(command, min(due, now + longest))

    async def send(self, commands: Sequence[OpenCommand]) -> list[bool]:
        """Store commands, and send those to devices that are with this node and online.

        Returns:
            For each whether it is stored: `False` where too many wait for its device, or where that
            is gone.

        Raises:
            StoreFailed: none is stored, and none sent.
        """
        for each in commands:
            each.expires = elapsed() + each.row.expires - each.row.created
        stored = await self._add(commands)
        for command, is_stored in zip(commands, stored, strict=True):
            device_id = command.row.device_id
            if not is_stored:
                continue
            if not self._custody.has(device_id):
                self.on_elsewhere(device_id)
            elif command.row.command_id not in self.table.open:
                self._enqueue(command)
            self.on_update(command.update())
            self._tell(device_id)
        return stored

    def _tell(self, device_id: str) -> None:
        session = self._presence.online(device_id)
        if session is not None:
            self.settle(session)

    async def _add(self, commands: Sequence[OpenCommand]) -> list[bool]:
        limit = self._settings.queued_commands
        stored = await self._log.add([each.row for each in commands], limit)
        late = [
            number
            for number, is_stored in enumerate(stored)
            if not is_stored and self._has_room(commands[number].row.device_id)
        ]
        if late:  # the record is behind: some have been sent meanwhile
            await self._states.settle()
            again = await self._log.add([commands[number].row for number in late], limit)
            for number, is_stored in zip(late, again, strict=True):
                stored[number] = is_stored
        return stored

    def _has_room(self, device_id: str) -> bool:
        """Whether fewer commands wait for a device than may, as far as it is known here."""
        session = self._presence.online(device_id)
        if session is None or not self._custody.has(device_id):
            return False
        self._arrivals.look(session)
        return self.table.count_queued(device_id) < self._settings.queued_commands

    def cancel(self, command_id: str) -> CommandRow | None:
        """Take back a command that waits here; returns it, `None` where there is none that does."""
        command = self.table.open.get(command_id)
        if command is None or command.row.status is not CommandStatus.QUEUED:
            return None
        self._change(command, CommandStatus.CANCELLED)
        return command.row

    def take_over(self, device_id: str, rows: Sequence[CommandRow]) -> None:
        """Decide about the open commands of a device that has come to this node.

        What was sent from elsewhere and has no response is sent again, with the same id, as long as
        it has not expired.

        Args:
            device_id: which.
            rows: all its open commands.
        """
        self.let_go(device_id)
        for row in rows:
            command = OpenCommand(row=row, line=line_of(row), is_adopted=True)
            command.expires = elapsed() + row.expires - self._now()
            if row.status is CommandStatus.SENT and command.expires > elapsed():
                self._queue_again(command)
            else:
                self._take_up(command, row.due)

    def take_new(self, rows: Sequence[CommandRow]) -> None:
        """Take up those of this node's commands that wait, and are not known here."""
        for row in rows:
            is_new = self.table.find(row.command_id) is None
            if is_new and row.status is CommandStatus.QUEUED and self._custody.has(row.device_id):
                command = OpenCommand(row=row, line=line_of(row), is_adopted=True)
                command.expires = elapsed() + row.expires - self._now()
                self._enqueue(command)
                self._tell(row.device_id)

    def let_go(self, device_id: str) -> None:
        """Leave a device's commands to the record, and to who will have the device."""
        for command in self.table.of(device_id):
            self.table.remove(command)

    def accept(self, row: CommandRow) -> None:
        """Take what the record says of a command in the end, also where it was otherwise here."""
        command = self.table.open.get(row.command_id)
        if command is not None:
            self.table.remove(command)
            command.row = row
        self.table.remember(row)

    def lose(self, command_id: str) -> None:
        """The record does not know a command any more, since its device is deleted."""
        command = self.table.open.get(command_id)
        if command is not None:
            self._change(command, CommandStatus.EXPIRED, is_stored=True)
        self.table.wake(command_id)

    def settle(self, session: DeviceSession) -> None:
        """Send a device what waits for it as soon as it has had its time after authenticating."""
        if session.settles > anyio.current_time():
            self._timers.at(session.settles, "", partial(self.settle, session))
        elif self._presence.online(session.device_id) is session:
            self.flush(session)

    def flush(self, session: DeviceSession) -> None:
        """Send a device what waits for it."""
        for command in self.table.queued(session.device_id):
            if command.writing is not session and self._may_go(command):
                command.writing, command.offset = session, None
                seconds = self._response_seconds(command.row)
                go = partial(self._write, command, session)
                self._states.claim(command.row, self._now(), seconds, go)

    def _write(self, command: OpenCommand, session: DeviceSession) -> None:
        if command.writing is session and self._may_go(command):
            session.connection.send(
                command.line,
                partial(self._note_written, command, session),
                partial(self._may_go, command),
            )

    def waits_for(self, device_id: str) -> bool:
        """Whether commands wait for a device."""
        return self.table.count_queued(device_id) > 0

    def respond(self, session: DeviceSession, message: CommandResponse) -> None:
        """Take a device's response; one that fits no open command of it is dropped and counted."""
        command = self.table.open.get(str(message.command_id))
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
        if message.status == "pending":
            self._give_time(command)
        self._change(command, _ANSWERS[message.status])

    def _drop_response(self, session: DeviceSession) -> None:
        self._counts.dropped_responses += 1
        session.record.dropped_responses += 1

    def release(self, session: DeviceSession, *, replaced: bool) -> None:
        """Queue again what the device may not have got of a connection that has ended.

        Args:
            session: whose connection has ended.
            replaced: the device has come again, so it may have lost what it did not answer.
        """
        self._arrivals.end(session)
        for command in self.table.of(session.device_id):
            if command.writing is not session or command.row.status is CommandStatus.PENDING:
                continue
            is_there = command.offset is None and not replaced
            is_sent = command.row.status is CommandStatus.SENT
            if is_sent and not is_there and command.expires > elapsed():
                self._queue_again(command)
            elif not self._custody.is_alone:
                self._states.save(command.row)  # of which the record knows that it was claimed

    def forget(self, device_id: str) -> None:
        """End all commands of a device that is deleted."""
        for command in self.table.of(device_id):
            self._change(command, CommandStatus.EXPIRED, is_stored=True)

    async def run(self) -> None:
        """Do what is due: end commands whose time is over, send to devices that have settled."""
        while True:
            await self._timers.wait(
                anyio.current_time() + _LOOK_SECONDS if self.table.open else math.inf
            )
            self._follow_clocks()
            self._timers.run_due()

    def _response_seconds(self, row: CommandRow) -> float:
        return row.response_timeout or self._settings.response_seconds

    def _take_up(self, command: OpenCommand, due: float | None) -> None:
        """Go on with a command that the record has; `due` is of one that its device has got."""
        row = command.row
        if row.status is CommandStatus.QUEUED:
            self._enqueue(command)
            return
        self.table.put(command)
        self._set_deadline(command, elapsed() + (self._now() if due is None else due) - self._now())

    def _note_written(self, command: OpenCommand, session: DeviceSession) -> None:
        """The system has the line; whether the device's machine has it will be looked at."""
        if command.writing is session and command in self.table:
            if command.row.status is CommandStatus.QUEUED:
                self._note_sent(command)
            self._arrivals.add(command, session)

    def _note_arrival(self, command: OpenCommand) -> None:
        """The device's machine has it, and so has the record from now on."""
        if command.row.status is CommandStatus.SENT and command in self.table:
            if command.row.message_type is None:
                if self._custody.is_alone:  # else it was claimed
                    self._states.save(command.row)
            else:  # nobody answers it
                self._change(command, CommandStatus.SUCCESS)

    def _check_deadline(self, command_id: str) -> None:
        command = self.table.open.get(command_id)
        if command is not None:
            command.timer = math.inf
            if not self._end_if_over(command):
                self._set_timer(command)  # it has more time now, or the timers' clock less

    def _end_if_over(self, command: OpenCommand) -> bool:
        if command.is_over(elapsed(), self._now()):
            is_waiting = command.row.status is CommandStatus.QUEUED
            self._change(command, CommandStatus.EXPIRED if is_waiting else CommandStatus.TIMEOUT)
            return True
        return False

    def _may_go(self, command: OpenCommand) -> bool:
        """Whether a command may still be sent; it waits, perhaps for a device that reads slowly."""
        return command in self.table and not self._end_if_over(command)

    def _follow_clocks(self) -> None:
        """Notice that the time of day was set, or that the machine slept and its timers with it."""
        if not self._jumps.have_come():
            return
        for command in list(self.table.open.values()):
            row = command.row
            is_waiting = row.status is CommandStatus.QUEUED and not command.is_left
            if is_waiting and self._custody.is_alone:
                shift = self._now() + command.deadline - elapsed() - row.expires
                row.created += shift  # for the next run, which knows no other clock
                row.expires += shift
                self._states.save(row)
            self._end_if_over(command)

    def _enqueue(self, command: OpenCommand) -> None:
        self.table.put(command)
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
        command.row.sent = self._now()
        self._give_time(command)
        self._change(command, CommandStatus.SENT)

    def _give_time(self, command: OpenCommand) -> None:
        """Let a device be silent about a command for its whole time from now on."""
        seconds = self._response_seconds(command.row)
        command.row.due = self._now() + seconds
        self._set_deadline(command, elapsed() + seconds)

    def _queue_again(self, command: OpenCommand) -> None:
        command.row.sent = command.row.due = None
        self._change(command, CommandStatus.QUEUED)

    def _change(
        self, command: OpenCommand, status: CommandStatus, *, is_stored: bool = False
    ) -> None:
        row = command.row
        self.table.remove(command)
        row.status = status
        if status is CommandStatus.QUEUED:
            self._enqueue(command)
        elif not status.is_final:
            self.table.put(command)
        else:
            row.finished = self._now()
            self.table.remember(row)
        if status is not CommandStatus.SENT and not is_stored:  # until it is acknowledged
            self._states.save(row)
        self.on_update(command.update())
