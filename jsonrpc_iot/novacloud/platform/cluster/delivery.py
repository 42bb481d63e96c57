"""Commands at several nodes: each reaches its device wherever that is, and its sender hears of it.

Who sends a command to a device of another node says so by a hint; who changes the last state of one
does too. What no hint has told of is found by looking.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

import anyio

from ...bus.bus import Bus
from ...bus.subjects import subject
from ...bus.subscribers import MISSED
from ...errors import StoreFailed
from ...store.command_log import CommandRow, Holder
from ...store.nodes import Hold
from ..node.membership import Membership
from ..presence import Presence
from ..session import DeviceSession
from ..shared_commands import SharedCommands

logger = logging.getLogger("jsonrpc_iot.novacloud")

_LOOK_SECONDS = 1.5
_MOST_OVERDUE = 1000


class Delivery:
    """Keeps this node's commands in step with what other nodes do.

    Args:
        commands: of this node.
        membership: this node's.
        presence: has the devices that are connected to it.
        bus: carries hints.
    """

    def __init__(
        self,
        commands: SharedCommands,
        membership: Membership,
        presence: Presence,
        bus: Bus,
    ) -> None:
        self._commands = commands
        commands.commands.on_elsewhere = self._tell_new
        self._membership = membership
        self._presence = presence
        self._bus = bus
        self._look_now = anyio.Event()
        commands.on_lost = self._note_lost
        commands.on_changed = self._tell_changed

    async def adopt(self, session: DeviceSession) -> None:
        """Decide about the commands of a device that has come.

        Raises:
            StoreFailed: they cannot be read.
        """
        if not self._membership.is_alone:
            holder = Holder(session.node, session.epoch)
            await self._commands.adopt(session.device_id, holder)

    async def drop(self, holds: Sequence[Hold]) -> None:
        """Decide about them no more, now that the devices have left."""
        if not self._membership.is_alone:
            await self._commands.drop(holds)

    def _tell_new(self, device_id: str) -> None:
        """Tell who has a device that there is something new for it."""
        self._bus.publish(subject("commands", device_id))

    async def run(self) -> None:
        """Hear and look, unless there is nobody else."""
        if self._membership.is_alone:
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear, "commands.*", self._look_for)
            tasks.start_soon(self._hear, "command.*", self._hear_of)
            tasks.start_soon(self._keep_looking)

    async def _hear(self, pattern: str, act: Callable[[str], Awaitable[None]]) -> None:
        async with self._bus.subscribe(pattern) as hints:
            async for hint in hints:
                if hint is MISSED:
                    self._look_now.set()
                    continue
                try:
                    await act(hint.subject.rpartition(".")[2])
                except StoreFailed:
                    self._look_now.set()

    async def _look_for(self, device_id: str) -> None:
        await self._commands.look([device_id])

    async def _hear_of(self, command_id: str) -> None:
        await self._commands.hear([command_id])

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._commands.look()
                await self._commands.sweep(_MOST_OVERDUE)
            except StoreFailed as error:
                logger.debug("what became of commands is not known: %s", error)
                await anyio.sleep(_LOOK_SECONDS)
            self._look_now = anyio.Event()
            with anyio.move_on_after(_LOOK_SECONDS):
                await self._look_now.wait()

    def _tell_changed(self, rows: Sequence[CommandRow]) -> None:
        """Tell who waits for commands that have ended, and who would send a cancelled one."""
        if not self._membership.is_alone:
            for row in rows:
                if row.status.is_final:
                    self._bus.publish(subject("command", row.command_id))

    def _note_lost(self, device_id: str, holder: Holder) -> None:
        """The record says that a device is another node's, or nobody's."""
        session = self._presence.sessions.get(device_id)
        if session is not None and Holder(session.node, session.epoch) == holder:
            self._presence.end(session, "it has come to another node", quietly=True)
