"""The part of the management that speaks to many devices, and tells them more than commands."""

import uuid
from collections import Counter
from typing import Annotated, Any

from msgspec import Meta, Struct

from jsonrpc_iot import Busy, InvalidParams, RpcError, TooLarge, method

from ..errors import DeviceDisabled, StoreFailed, UnknownDevice
from ..messages import PLATFORM_TYPES
from ..store.command_log import CommandRow, CommandStatus
from ..store.registry import Target
from .management_base import Count, Cursor, Expiry, Key, Outcome, Part, canonical
from .management_commands import check
from .open_command import OpenCommand
from .pages import Page, decode_cursor
from .permissions import COMMAND, READ

_AT_ONCE = 500  # commands that are stored together


class Job(Struct, frozen=True):
    """A broadcast."""

    job_id: str


class CommandPage(Struct, frozen=True):
    """Some commands, and where the next ones begin; `None` at the end."""

    commands: list[CommandRow]
    next: str | None


class JobMethods(Part):
    """Broadcasts and messages."""

    @method("command.broadcast", requires=COMMAND, effect="danger", errors=(StoreFailed,))
    async def command_broadcast(
        self,
        payload: dict[str, Any],
        tag: str | None = None,
        device_ids: Annotated[list[str], Meta(max_length=100_000)] | None = None,
        expires: Expiry = 300.0,
        response_timeout: Expiry | None = None,
    ) -> Job:
        """Send a command to the devices of a tag, or of a list, or to all; wait for none.

        It is an `ERROR` for a device that cannot be sent it, with the reason in its payload.

        Args:
            payload: values by `command_key`.
            tag: that the devices have.
            device_ids: of the devices. A tag as well narrows them down.
            expires: seconds that the command may wait for each.
            response_timeout: seconds that a device may be silent about it.
        """
        if not payload:
            raise InvalidParams(data={"path": "$.payload", "message": "Expected a command key"})
        chosen = None if device_ids is None else [canonical(each) for each in device_ids]
        targets = await self._store.targets([*payload], tag=tag, device_ids=chosen)
        job_id, now = str(uuid.uuid4()), self._platform.time.now()
        refused: list[CommandRow] = []
        made: list[OpenCommand] = []
        more = {"response_timeout": response_timeout, "job_id": job_id}
        for target in targets:
            try:
                self._see_that_it_may_go(target, payload)
                made.append(self._new_command(target.device_id, payload, expires, **more))
            except RpcError as error:
                refused.append(_refusal(target.device_id, payload, job_id, error, now))
        for start in range(0, len(made), _AT_ONCE):
            part = made[start : start + _AT_ONCE]
            stored = await self._platform.commands.send(part)
            refused += [
                _refusal(command.row.device_id, payload, job_id, self._busy(), now)
                for command, is_stored in zip(part, stored, strict=True)
                if not is_stored
            ]
        await self._store.add(refused, 0)
        return Job(job_id)

    @method("job.get", requires=READ, idempotent=True, effect="read", errors=(StoreFailed,))
    async def job_get(self, job_id: str) -> dict[str, int]:
        """How many of a broadcast's commands have which status."""
        states = await self._store.job_states(job_id)
        present = (self._platform.commands.table.find(id) for id, _ in states)
        return Counter(
            stored.value if row is None else row.status.value
            for row, (_, stored) in zip(present, states, strict=True)
        )

    @method(
        "job.page", requires=READ, idempotent=True, effect="read", errors=(TooLarge, StoreFailed)
    )
    async def job_page(
        self, job_id: str, cursor: Cursor | None = None, limit: Count = 100
    ) -> CommandPage:
        """Some of the commands of a broadcast.

        Args:
            job_id: which broadcast.
            cursor: `next` of the page before.
            limit: how many at most; fewer where they would not fit the channel.
        """
        page: Page[CommandRow] = Page(self._context, limit)
        after = decode_cursor(cursor, str)
        for row in await self._store.job_page(job_id, after, limit + 1):
            present = self._platform.commands.table.find(row.command_id) or row
            if not page.add(present, row.command_id):
                break
        return CommandPage(page.rows, page.next)

    @method(
        "platform.message",
        requires=COMMAND,
        effect="change",
        errors=(UnknownDevice, DeviceDisabled, Busy, TooLarge, StoreFailed),
    )
    async def platform_message(
        self, device_id: str, type: Key, payload: dict[str, Any], expires: Expiry = 300.0
    ) -> Outcome:
        """Send a device a special instruction, such as a configuration; it waits like a command.

        It is a `SUCCESS` once the device's machine has got it, since devices do not answer it.

        Args:
            device_id: whom to.
            type: of the message; none that the protocol knows.
            payload: what it says.
            expires: seconds that it may wait for the device.
        """
        if type in PLATFORM_TYPES:
            message = "Expected a type that the protocol does not know"
            raise InvalidParams(data={"path": "$.type", "message": message})
        row = (await self._known(device_id)).row
        if not row.enabled:
            raise DeviceDisabled
        command = self._new_command(row.device_id, payload, expires, message_type=type)
        await self._send(command)
        return Outcome(command.row.command_id, command.row.status)

    def _see_that_it_may_go(self, target: Target, payload: dict[str, Any]) -> None:
        if not target.enabled:
            raise DeviceDisabled
        check(payload, target.actuators)


def _refusal(
    device_id: str, payload: dict[str, Any], job_id: str, error: RpcError, now: float
) -> CommandRow:
    """A command that never goes."""
    reason = {"code": error.code, "message": error.message, "data": error.data}
    return CommandRow(
        command_id=str(uuid.uuid4()),
        device_id=device_id,
        command=payload,
        status=CommandStatus.ERROR,
        payload={"error": reason},
        created=now,
        expires=now,
        finished=now,
        job_id=job_id,
    )
