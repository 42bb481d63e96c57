"""A command that is not final yet, or has just become it. How it gets there is `commands`'."""

import math
import time
from typing import Any

import anyio
import msgspec
from msgspec import Struct, field

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
        number: its place among the commands of its device.
        expires: until when it may wait for the device, by `elapsed`.
        is_left: an earlier run has left it.
        writing: the session whose connection has the line.
        offset: of the line's end in that connection, until the device's machine has confirmed it.
        finished: is set once the status is final.
        deadline: when its present status ends, by `elapsed`.
        timer: when that is looked at, by the event loop's clock.
    """

    row: CommandRow
    line: bytes
    number: int
    expires: float = math.inf
    is_left: bool = False
    writing: DeviceSession | None = None
    offset: int | None = None
    finished: anyio.Event = field(default_factory=anyio.Event)
    deadline: float = math.inf
    timer: float = math.inf

    def is_over(self, now: float) -> bool:
        """Whether its present status has ended, by `elapsed`."""
        row = self.row
        if self.is_left and row.status is CommandStatus.QUEUED:
            return self.deadline <= now or not row.created <= time.time() < row.expires
        return self.deadline <= now

    @property
    def may_be_there(self) -> bool:
        """Whether a device that answers it may have got it: the line was written, now or once."""
        return self.writing is not None or self.is_left

    def update(self) -> CommandUpdate:
        """What to tell of it."""
        row = self.row
        return CommandUpdate(row.command_id, row.device_id, row.status, row.payload)


def line_of(row: CommandRow) -> bytes:
    """What goes to the device."""
    if row.message_type is None:
        return encode_line(Command(command_id=row.command_id, payload=row.command))
    return encode_text(msgspec.json.encode({"type": row.message_type, "payload": row.command}))
