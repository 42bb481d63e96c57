"""A command that is not final yet, or has just become it. How it gets there is `commands`'."""

import math
import uuid
from typing import Any

import msgspec
from msgspec import Struct

from jsonrpc_iot import TooLarge

from ..messages import Command, encode_line, encode_text
from ..store.command_log import CommandRow, CommandStatus
from .session import DeviceSession


class CommandUpdate(Struct, frozen=True):
    """A command has another status. `payload` is that of the device's last response."""

    command_id: str
    device_id: str
    status: CommandStatus
    payload: Any = None


class OpenCommand(Struct, eq=False, kw_only=True):
    """A command and where it is.

    Args:
        row: as the store has it.
        line: what goes to the device.
        number: its place among the commands of its device; 0 until it is put there.
        expires: until when it may wait for the device, by `elapsed`.
        is_left: an earlier run has left it.
        is_adopted: it came with its device from elsewhere.
        writing: the session whose connection has the line.
        offset: of the line's end in that connection, until the device's machine has confirmed it.
        deadline: when its present status ends, by `elapsed`.
        timer: when that is looked at, by the event loop's clock.
    """

    row: CommandRow
    line: bytes
    number: int = 0
    expires: float = math.inf
    is_left: bool = False
    is_adopted: bool = False
    writing: DeviceSession | None = None
    offset: int | None = None
    deadline: float = math.inf
    timer: float = math.inf

    def is_over(self, now: float, today: float) -> bool:
        """Whether its present status has ended.

        Args:
            now: by `elapsed`.
            today: in Unix seconds, for one of which only the times of day are known.
        """
        row = self.row
        if self.is_left and row.status is CommandStatus.QUEUED:
            return self.deadline <= now or not row.created <= today < row.expires
        return self.deadline <= now

    @property
    def may_be_there(self) -> bool:
        """Whether a device that answers it may have got it: the line was written, now or once."""
        return self.writing is not None or self.is_left or self.is_adopted

    def update(self) -> CommandUpdate:
        """What to tell of it."""
        return update_of(self.row)


def new_command(
    device_id: str,
    payload: dict[str, Any],
    expires: float,
    *,
    now: float,
    longest: int,
    response_timeout: float | None = None,
    message_type: str | None = None,
    job_id: str | None = None,
) -> OpenCommand:
    """Make a command that nobody knows of yet.

    Args:
        device_id: whom to.
        payload: values by `command_key`.
        expires: seconds that it may wait for the device.
        now: the time, in Unix seconds.
        longest: bytes of a line.
        response_timeout: seconds that the device may be silent about it.
        message_type: of a message that is no command.
        job_id: the broadcast that it is a part of.

    Raises:
        TooLarge: it does not fit a line.
    """
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
    line = line_of(row)
    if len(line) > longest:
        raise TooLarge(data={"size": len(line), "limit": longest})
    return OpenCommand(row=row, line=line)


def update_of(row: CommandRow) -> CommandUpdate:
    """What to tell of a command."""
    return CommandUpdate(row.command_id, row.device_id, row.status, row.payload)


def line_of(row: CommandRow) -> bytes:
    """What goes to the device."""
    if row.message_type is None:
        return encode_line(Command(command_id=row.command_id, payload=row.command))
    return encode_text(msgspec.json.encode({"type": row.message_type, "payload": row.command}))
