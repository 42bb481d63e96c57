"""Which commands are open here, which have become final lately, and who waits for that."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from ..store.command_log import CommandRow, CommandStatus
from .open_command import OpenCommand

_REMEMBERED = 1024


class CommandTable:
    """The open commands about which this node decides, by their ids and by their devices.

    Attributes:
        open: all of them, by their ids.
    """

    def __init__(self) -> None:
        self.open: dict[str, OpenCommand] = {}
        self._queued: dict[str, dict[str, OpenCommand]] = {}
        self._unanswered: dict[str, dict[str, OpenCommand]] = {}
        self._final: dict[str, CommandRow] = {}
        self._number = self._readers = 0
        self._waiting: dict[str, list[anyio.Event]] = {}

    def __contains__(self, command: OpenCommand) -> bool:
        """Whether a command is open, and this node's still."""
        return self.open.get(command.row.command_id) is command

    def put(self, command: OpenCommand) -> None:
        """Put a command where its status belongs; those of a device are queued as they came."""
        row = command.row
        if not command.number:
            self._number += 1
            command.number = self._number
        self.open[row.command_id] = command
        if row.status is not CommandStatus.QUEUED:
            self._unanswered.setdefault(row.device_id, {})[row.command_id] = command
            return
        queue = self._queued.setdefault(row.device_id, {})
        is_last = not queue or next(reversed(queue.values())).number < command.number
        queue[row.command_id] = command
        if not is_last:
            self._queued[row.device_id] = dict(
                sorted(queue.items(), key=lambda item: item[1].number)
            )

    def remove(self, command: OpenCommand) -> None:
        """Take a command out, before its status changes."""
        row = command.row
        self.open.pop(row.command_id, None)
        groups = self._queued if row.status is CommandStatus.QUEUED else self._unanswered
        group = groups.get(row.device_id, {})
        group.pop(row.command_id, None)
        if not group:
            groups.pop(row.device_id, None)

    def queued(self, device_id: str) -> list[OpenCommand]:
        """What waits for a device."""
        return [*self._queued.get(device_id, {}).values()]

    def unanswered(self, device_id: str) -> list[OpenCommand]:
        """What has been sent to a device."""
        return [*self._unanswered.get(device_id, {}).values()]

    def of(self, device_id: str) -> list[OpenCommand]:
        """All that are for a device."""
        return self.queued(device_id) + self.unanswered(device_id)

    def count_queued(self, device_id: str) -> int:
        """How many wait for a device."""
        return len(self._queued.get(device_id, ()))

    def states(self) -> Counter[CommandStatus]:
        """How many there are of each status."""
        return Counter(each.row.status for each in self.open.values())

    def find(self, command_id: str) -> CommandRow | None:
        """A command that is open, or has become final lately."""
        command = self.open.get(command_id)
        return self._final.get(command_id) if command is None else command.row

    def remember(self, row: CommandRow) -> None:
        """A command has become final."""
        self._final[row.command_id] = row
        while len(self._final) > _REMEMBERED and not self._readers:
            del self._final[next(iter(self._final))]
        self.wake(row.command_id)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Forget none that becomes final while somebody reads what the record still calls open."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1

    def is_of_interest(self, command_id: str) -> bool:
        """Whether a command is open here, or somebody waits for it."""
        return command_id in self.open or command_id in self._waiting

    async def wait(self, command_id: str) -> None:
        """Wait until a command is final, or `wake` is called for it."""
        if command_id in self._final:
            return
        finished = anyio.Event()
        self._waiting.setdefault(command_id, []).append(finished)
        try:
            await finished.wait()
        finally:
            events = self._waiting.get(command_id, [])
            if finished in events:
                events.remove(finished)
                if not events:
                    del self._waiting[command_id]

    def wake(self, command_id: str) -> None:
        """Let nobody wait for a command any more."""
        for finished in self._waiting.pop(command_id, ()):
            finished.set()

    def awaited_elsewhere(self) -> list[str]:
        """Commands that somebody waits for, and about which this node does not decide."""
        return [id for id in self._waiting if id not in self.open]
