"""Commands of a record that other nodes share: which this node takes over, lets go, and waits for.

Other nodes say by hints that there is something to look at; what no hint has told of, `look` finds.
A node that shares its record with none needs none of this, except `cancel` and `wait`.
"""

from collections.abc import Callable, Collection, Sequence

from msgspec.structs import replace

from ..store.command_log import CommandLog, CommandRow, CommandStatus, Holder, Transition
from ..store.nodes import Hold
from .command_states import CommandStates
from .commands import OpenCommands
from .custody import Custody
from .open_command import update_of


class SharedCommands:
    """Keeps the open commands of this node in step with the record.

    Args:
        log: the record.
        commands: about which this node decides.
        states: that it has the record take.
        custody: whose commands they are.
        now: tells the time, in Unix seconds.

    Attributes:
        commands: as above.
        on_lost: is told of a device, and as what this node had it, that the record says is with
            another node. It need not be so any more, and is told again until the device is dropped.
        on_changed: is told of commands that the record has in a new state.
    """

    def __init__(
        self,
        log: CommandLog,
        commands: OpenCommands,
        states: CommandStates,
        custody: Custody,
        now: Callable[[], float],
    ) -> None:
        self._log = log
        self.commands = commands
        self._table = commands.table
        self._states = states
        self._custody = custody
        self._now = now
        self.on_lost: Callable[[str, Holder], object] = lambda device_id, holder: None
        self.on_changed: Callable[[Sequence[CommandRow]], object] = lambda rows: None
        states.on_refused = self._take_refusals
        states.on_stored = self._tell_changed

    async def adopt(self, device_id: str, holder: Holder) -> None:
        """Decide about a device's commands from now on.

        Args:
            device_id: of the device.
            holder: as what. With the epoch after that with which it was this node's already, nobody
                else has had it.

        Raises:
            StoreFailed: its commands cannot be read, and it is not taken.
        """
        before = self._custody.holder(device_id)
        if before is None or before != Holder(holder.node, holder.epoch - 1):
            rows = await self._log.open_commands([device_id])
            self.commands.take_over(device_id, rows)
        self._custody.take(device_id, holder)

    async def drop(self, holds: Sequence[Hold]) -> None:
        """Decide about devices' commands no more, once the record has what this node knows of them.

        To be called while the record still says that the devices are with this node; where it does
        not any more, what is not stored is void. A device that has come again stays.
        """
        await self._states.settle()
        for hold in holds:
            holder = self._custody.holder(hold.device_id)
            if holder is not None and holder.epoch == hold.epoch:
                self._custody.give_up(hold.device_id)
                self.commands.let_go(hold.device_id)

    async def look(self, device_ids: Collection[str] | None = None) -> None:
        """See what others have added and changed, for some devices or for all that are here.

        Raises:
            StoreFailed: it cannot be read.
        """
        here = self._custody.device_ids
        wanted = {*(here if device_ids is None else device_ids)} & {*here}
        known = {each.row.command_id for id in wanted for each in self._table.of(id)}
        with self._table.remembering():
            rows = await self._log.open_commands([*wanted]) if wanted else []
            self.commands.take_new(rows)
        gone = known - {row.command_id for row in rows}
        if device_ids is None:
            gone.update(self._table.awaited_elsewhere())
        await self.hear([*gone])

    async def sweep(self, most: int) -> None:
        """End commands of devices that are with no node, as far as their time is over.

        Args:
            most: how many at most.

        Raises:
            StoreFailed: none was ended.
        """
        rows = await self._log.end_overdue(most)
        for row in rows:
            self.commands.on_update(update_of(row))
        self.on_changed(rows)

    async def hear(self, command_ids: Sequence[str]) -> None:
        """See what has become of commands that this node waits for, or has in another state.

        Raises:
            StoreFailed: it cannot be read.
        """
        ids = [id for id in command_ids if self._table.is_of_interest(id)]
        if not ids:
            return
        found = {row.command_id: row for row in await self._log.commands_by_id(ids)}
        for id in ids:
            row = found.get(id)
            if row is None:
                self.commands.lose(id)
            elif row.status.is_final:
                self.commands.accept(row)

    async def wait(self, row: CommandRow) -> None:
        """Wait until a command is final, or gone, at whichever node."""
        await self._table.wait(row.command_id)

    async def present(self, row: CommandRow) -> CommandRow:
        """A command of this record as it is now; one that is gone has expired.

        Raises:
            StoreFailed: it cannot be read.
        """
        found = self._table.find(row.command_id) or await self._log.command(row.command_id)
        return replace(row, status=CommandStatus.EXPIRED) if found is None else found

    async def cancel(self, command_id: str) -> CommandRow | None:
        """Take back a command that waits; returns it, `None` where there is none that does.

        Raises:
            StoreFailed: it cannot be known, or stored.
        """
        if (cancelled := self.commands.cancel(command_id)) is not None:
            return cancelled
        if self._table.find(command_id) is not None:
            return None
        row = await self._log.command(command_id)
        if row is None or row.status is not CommandStatus.QUEUED:
            return None
        row.status, row.finished = CommandStatus.CANCELLED, self._now()
        (is_made,) = await self._log.transition([Transition(row, {CommandStatus.QUEUED})])
        if not is_made:
            return None
        self.commands.accept(row)
        self.commands.on_update(update_of(row))
        self.on_changed([row])
        return row

    def _tell_changed(self, rows: Sequence[CommandRow]) -> None:
        self.on_changed(rows)

    async def _take_refusals(self, refused: Sequence[Transition]) -> None:
        """What the record does not take has ended otherwise, is gone, or is another node's."""
        ids = [change.row.command_id for change in refused]
        found = {row.command_id: row for row in await self._log.commands_by_id(ids)}
        for change in refused:
            row = found.get(change.row.command_id)
            if row is None:
                self.commands.lose(change.row.command_id)
            elif row.status.is_final:
                self.commands.accept(row)
            elif change.holder is not None:
                self._states.save_again(change.row)
                self.on_lost(change.row.device_id, change.holder)
