"""New states of commands on their way into the record, which has the last word about them."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from copy import copy

import anyio
from msgspec.structs import replace

from ..errors import CONFINED, StoreFailed
from ..store.command_log import OPEN, CommandLog, CommandRow, CommandStatus, Transition
from .custody import Custody

_AGAIN_SECONDS = 0.5

logger = logging.getLogger("jsonrpc_iot.novacloud")


async def _pass_over(refused: Sequence[Transition]) -> None:
    pass


class CommandStates:
    """Gathers states that this node has given to commands, until they are written.

    Where the record is this node's alone, `Ingest` has them written with what devices report, since
    each commit costs its disk some pages. Where it is shared, senders at other nodes wait for them:
    `run` writes them at once.

    Args:
        log: the record.
        custody: says as what this node decides about them.

    Attributes:
        on_saved: is told that there is something to write.
        on_stored: is told which commands the record has in a new state.
        on_refused: is told what the record has not taken.
    """

    def __init__(self, log: CommandLog, custody: Custody) -> None:
        self._log = log
        self._custody = custody
        self._rows: dict[str, CommandRow] = {}
        self._claims: dict[str, Callable[[], object]] = {}
        self._saved = self._tried = 0
        self._is_tried = anyio.Event()
        self.on_saved: Callable[[], object] = lambda: None
        self.on_stored: Callable[[Sequence[CommandRow]], object] = lambda rows: None
        self.on_refused: Callable[[Sequence[Transition]], Awaitable[None]] = _pass_over

    def __bool__(self) -> bool:
        """Whether there is something to write."""
        return bool(self._rows)

    def save(self, row: CommandRow) -> None:
        """Have the present state of a command stored."""
        self._rows[row.command_id] = copy(row)
        self._saved += 1
        self.on_saved()

    def claim(self, row: CommandRow, now: float, seconds: float, go: Callable[[], object]) -> None:
        """Have the record say that a command is SENT before it is: nobody else takes it back then.

        Where the record is this node's alone, nobody else can, and it says so afterwards.

        Args:
            row: the command, which stays as it is.
            now: the time, in Unix seconds.
            seconds: that its device may be silent about it.
            go: sends it; is called when the record says so.
        """
        if self._custody.is_alone:
            go()
            return
        due = max(row.expires, now + seconds)  # until then it may be sent again, by whoever has it
        self._claims[row.command_id] = go
        self.save(replace(row, status=CommandStatus.SENT, sent=now, due=due))

    def save_again(self, row: CommandRow) -> None:
        """Have a state stored that could not be, unless there is a newer one."""
        if row.command_id not in self._rows:
            self.save(row)

    async def run(self) -> None:
        """Write what is saved as soon as what was saved before is written."""
        while True:
            saved = anyio.Event()
            self.on_saved = saved.set
            if not self._rows:
                await saved.wait()
            try:
                await self.write()
            except StoreFailed as error:
                logger.warning("what became of commands is not stored yet: %s", error)
                await anyio.sleep(_AGAIN_SECONDS)

    async def settle(self) -> None:
        """Wait until what has been saved is stored, or could not be."""
        wanted = self._saved
        while self._tried < wanted:
            await self._is_tried.wait()

    async def write(self) -> None:
        """Have the record take what has been saved.

        Raises:
            StoreFailed: it takes nothing; what was saved goes with what comes next.
        """
        rows, self._rows, tried = self._rows, {}, self._saved
        claims = {id: self._claims.pop(id) for id in rows if id in self._claims}
        changes = [
            Transition(row, OPEN, self._custody.holder(row.device_id))
            for row in rows.values()
            if self._custody.has(row.device_id)
        ]
        try:
            made = await self._transition(changes)
            refused = [each for each, is_made in zip(changes, made, strict=True) if not is_made]
            if refused:
                await self.on_refused(refused)
        except Exception:
            self._rows = {**rows, **self._rows}
            self._claims = {**claims, **self._claims}
            raise
        finally:
            self._tried = tried
            self._is_tried.set()
            self._is_tried = anyio.Event()
        stored = [each.row for each, is_made in zip(changes, made, strict=True) if is_made]
        self.on_stored(stored)
        for row in stored:
            if row.command_id in claims and row.status is CommandStatus.SENT:
                claims[row.command_id]()

    async def _transition(self, changes: Sequence[Transition]) -> list[bool]:
        try:
            return await self._log.transition(changes)
        except CONFINED:
            return [await self._transition_alone(change) for change in changes]

    async def _transition_alone(self, change: Transition) -> bool:
        """What is wrong with one command costs no other its state."""
        try:
            (is_made,) = await self._log.transition([change])
        except StoreFailed as error:
            logger.error("the state of command %s is lost: %s", change.row.command_id, error)
            return True
        return is_made
