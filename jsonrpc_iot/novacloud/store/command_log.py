"""Commands and what became of them, and the contract of what keeps them: `CommandLog`."""

import abc
import enum
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
        return self not in _OPEN


_OPEN = frozenset({CommandStatus.QUEUED, CommandStatus.SENT, CommandStatus.PENDING})


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


class CommandLog(abc.ABC):
    """All commands."""

    @abc.abstractmethod
    async def command(self, command_id: str) -> CommandRow | None:
        """A command, if there is one of that id."""

    @abc.abstractmethod
    async def commands(
        self, device_id: str | None = None, *, limit: int = 100, open_only: bool = False
    ) -> list[CommandRow]:
        """Commands, the newest first; those of all devices without `device_id`."""

    @abc.abstractmethod
    async def job_page(self, job_id: str, after: str | None, limit: int) -> list[CommandRow]:
        """The commands of a broadcast, by id, from behind the one in `after`."""

    @abc.abstractmethod
    async def job_states(self, job_id: str) -> list[tuple[str, CommandStatus]]:
        """The ids of a broadcast's commands, and where they are."""
