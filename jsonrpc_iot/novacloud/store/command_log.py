"""Commands and what became of them, and the contract of what keeps them: `CommandLog`."""

import abc
import enum
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from msgspec import Struct


class CommandStatus(enum.StrEnum):
    """Where a command is; the last five are final."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether it changes no more."""
        return self not in OPEN


OPEN = frozenset({CommandStatus.QUEUED, CommandStatus.SENT, CommandStatus.PENDING})
"""The states that are not final."""


class CommandRow(Struct, kw_only=True):
    """A command and what became of it.

    Args:
        command_id: its UUID.
        device_id: for whom.
        command: values by `command_key`.
        status: where it is.
        payload: that of the last response.
        created: when it was asked for.
        expires: until when it may wait for its device.
        sent: when it was written to the connection that its device has.
        finished: when its status became final.
        message_type: of a message that is no command; `command` is its payload then.
        response_timeout: seconds that the device may be silent about it.
        job_id: the broadcast that it is a part of.
        due: until when its device may be silent about it, once that has got it.
    """

    command_id: str
    device_id: str
    command: dict[str, Any]
    status: CommandStatus
    payload: Any = None
    created: float
    expires: float
    sent: float | None = None
    finished: float | None = None
    message_type: str | None = None
    response_timeout: float | None = None
    job_id: str | None = None
    due: float | None = None


class Holder(Struct, frozen=True):
    """The node that decides about a device's commands, as `Nodes.take` has made it.

    Args:
        node: its number.
        epoch: of the device's presence.
    """

    node: int
    epoch: int


class Transition(Struct, frozen=True):
    """What is to become of a command.

    Args:
        row: the command as it is to be. `status`, `payload`, `created`, `expires`, `sent`,
            `finished` and `due` are stored.
        was: the states that it may come from. A final one is left by none.
        holder: who the device has to be with; `None` where that does not matter.
    """

    row: CommandRow
    was: AbstractSet[CommandStatus] = OPEN
    holder: Holder | None = None


class CommandLog(abc.ABC):
    """All commands, and the authority about what becomes of them.

    A command changes by compare-and-set: of two who would have it go another way from the same
    state, one does, and the other is told so. A method that changes something returns once the
    change is durable; either all of it is, or nothing, and then it raises `StoreFailed`.
    """

    @abc.abstractmethod
    async def add(self, rows: Sequence[CommandRow], limit: int) -> list[bool]:
        """Store new commands, all in one transaction; one that is there already stays as it is.

        Args:
            rows: queued or final ones.
            limit: how many may be queued for one device.

        Returns:
            For each whether it is stored: `False` where as many are queued for its device, those
            before it in `rows` included, or where there is no such device.
        """

    @abc.abstractmethod
    async def transition(self, changes: Sequence[Transition]) -> list[bool]:
        """Change commands, all in one transaction.

        Args:
            changes: one at most of each command.

        Returns:
            For each whether it was made: `False` where the command was in no state that it may come
            from, is gone, or has a device that is not with the holder.
        """

    @abc.abstractmethod
    async def end_overdue(self, most: int) -> list[CommandRow]:
        """End commands of devices that are with no node, and whose time is over.

        Queued ones that have expired are `EXPIRED`, others that are due `TIMEOUT`, by the record's
        clock. One that somebody else is about to change is left for another time.

        Args:
            most: how many at most.

        Returns:
            Those that have ended by this; of many who ask at once, one is told of each.
        """

    @abc.abstractmethod
    async def open_commands(self, device_ids: Sequence[str] | None = None) -> list[CommandRow]:
        """The commands of some devices, or of all, that are not final, in the order they came."""

    @abc.abstractmethod
    async def command(self, command_id: str) -> CommandRow | None:
        """A command, if there is one of that id."""

    @abc.abstractmethod
    async def commands_by_id(self, command_ids: Sequence[str]) -> list[CommandRow]:
        """Those of some commands that there are, in any order."""

    @abc.abstractmethod
    async def commands(self, device_id: str | None = None, *, limit: int = 100) -> list[CommandRow]:
        """Commands, the newest first; those of all devices without `device_id`."""

    @abc.abstractmethod
    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        """The commands of a broadcast, by id, from behind the one in `after`."""

    @abc.abstractmethod
    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        """The ids of a broadcast's commands, and where they are."""
