"""Commands of one record at two nodes: who decides, what becomes of what the other has done."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot.novacloud import PlatformSettings, SqliteStore
from jsonrpc_iot.novacloud.bus.local import LocalBus
from jsonrpc_iot.novacloud.clock import TimeOfDay, elapsed
from jsonrpc_iot.novacloud.platform import command_table
from jsonrpc_iot.novacloud.platform.cluster.cluster import Cluster
from jsonrpc_iot.novacloud.platform.command_states import CommandStates
from jsonrpc_iot.novacloud.platform.commands import OpenCommands
from jsonrpc_iot.novacloud.platform.counts import Counts
from jsonrpc_iot.novacloud.platform.custody import Custody
from jsonrpc_iot.novacloud.platform.ingest import Ingest
from jsonrpc_iot.novacloud.platform.open_command import OpenCommand, new_command
from jsonrpc_iot.novacloud.platform.presence import Presence
from jsonrpc_iot.novacloud.platform.shared_commands import SharedCommands
from jsonrpc_iot.novacloud.store.command_log import (
    CommandRow,
    CommandStatus,
    Holder,
    Transition,
)
from jsonrpc_iot.novacloud.store.nodes import Hold, Lease
from tests.novacloud.store.rows import A, B, command, row
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

QUEUED, SENT = CommandStatus.QUEUED, CommandStatus.SENT
PENDING, CANCELLED = CommandStatus.PENDING, CommandStatus.CANCELLED


class Gated(SqliteStore):
    """A store whose answers about open commands can be held back.

    Attributes:
        has_read: is set when there is one.
        gate: is waited for before it is given.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "nova.db", durable=False)
        self.has_read = anyio.Event()
        self.gate = anyio.Event()
        self.gate.set()

    async def open_commands(self, device_ids: Sequence[str] | None = None) -> list[CommandRow]:
        rows = await super().open_commands(device_ids)
        self.has_read.set()
        await self.gate.wait()
        return rows


class Node:
    """What a node has to follow commands; its devices are not connected."""

    def __init__(self, store: SqliteStore, lease: Lease) -> None:
        settings, counts = PlatformSettings(), Counts()
        self._store = store
        self._lease = lease
        self.lost = Tally()
        self.elsewhere: list[str] = []
        custody = Custody(is_alone=False)
        self.states = CommandStates(store, custody)
        self._ingest = Ingest(store, self.states, settings, counts, lambda values: None)
        times = TimeOfDay()
        ownership = Cluster(store.nodes, LocalBus(), "node", times, []).ownership
        presence = Presence(store, settings, lambda _: None, lambda _: None, ownership, times)
        self.commands = OpenCommands(
            store,
            settings,
            counts,
            self.states,
            presence,
            custody,
            lambda update: None,
            time.time,
        )
        self.shared = SharedCommands(store, self.commands, self.states, custody, time.time)
        self.shared.on_lost = lambda device_id, holder: self.lost.add((device_id, holder))
        self.commands.on_elsewhere = self.elsewhere.append

    async def take(self, device_id: str = A) -> Holder:
        """Take a device, as when it connects."""
        taken = await self._store.nodes.take(self._lease, {device_id: "192.0.2.1"})
        holder = Holder(self._lease.number, taken[device_id].epoch)
        await self.shared.adopt(device_id, holder)
        return holder

    async def send(self, device_id: str = A) -> OpenCommand:
        made = new_command(device_id, {"light": 1}, 300.0, now=time.time(), longest=1000)
        assert await self.commands.send([made]) == [True]
        return made

    def here(self) -> dict[str, CommandStatus]:
        table = self.commands.table.open
        return {id: each.row.status for id, each in table.items()}

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._ingest.run)
            tasks.start_soon(self.commands.run)

    def close(self) -> None:
        self._ingest.close()


@asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[tuple[Gated, Node, Node]]:
    async with Gated(folder) as store, anyio.create_task_group() as tasks:
        await store.create_device(row())
        await store.create_device(row(B, "other"))
        lease = await store.nodes.enter("both", "1")
        nodes = Node(store, lease), Node(store, lease)
        for node in nodes:
            tasks.start_soon(node.run)
        try:
            yield store, *nodes
        finally:
            for node in nodes:
                node.close()
            tasks.cancel_scope.cancel()


async def add(store: SqliteStore, *rows: CommandRow) -> None:
    for each in rows:
        queued = command(each.command_id, device_id=each.device_id)
        assert await store.add([queued], 256) == [True]
        await store.transition([Transition(each)])


async def test_commands_go_where_their_device_goes(tmp_path: Path) -> None:
    now = time.time()
    far: Any = {"created": now, "expires": now + 300, "due": now + 40}
    async with two_nodes(tmp_path) as (store, north, south):
        await add(
            store,
            command("sent", status=SENT, sent=now, **far),
            command("pending", status=PENDING, sent=now, **far),
            command("late", status=SENT, sent=now, **far | {"expires": now - 1}),
            command("queued", **far),
            command("other", device_id=B, **far),
        )
        for node in (north, south):
            await node.take()
            wanted = {"sent": QUEUED, "pending": PENDING, "late": SENT, "queued": QUEUED}
            assert node.here() == wanted
            queued = [each.row.command_id for each in node.commands.table.queued(A)]
            assert queued == ["sent", "queued"], "in the order in which they were asked for"
            await node.states.settle()
        for id in ("pending", "late"):
            assert abs(south.commands.table.open[id].deadline - elapsed() - 40) < 5
        found = await store.command("sent")
        assert found is not None
        assert (found.status, found.sent, found.due) == (QUEUED, None, None)


async def test_who_has_lost_a_device_says_nothing_of_its_commands(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (store, north, south):
        holder = await north.take()
        made = await north.send()
        id = made.row.command_id
        await south.take()
        assert north.commands.cancel(id) is not None  # it has not heard yet
        await north.lost.reach(1)
        assert north.lost.items[0] == (A, holder)
        found = await store.command(id)
        assert found is not None
        assert found.status is QUEUED
        await north.shared.drop([Hold(A, holder.epoch)])
        assert north.here() == {}
        assert south.here() == {id: QUEUED}
        told = len(north.lost.items)
        await add(store, command("next", device_id=B))
        await north.take(B)
        north.commands.cancel("next")
        await north.states.settle()
        assert len(north.lost.items) == told, "what is void is tried no more"


async def test_a_device_that_comes_again_keeps_its_commands(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (store, north, _):
        before = await north.take()
        made = await north.send()
        after = await north.take()
        assert after.epoch == before.epoch + 1
        assert north.commands.table.open == {made.row.command_id: made}, "it is the same"
        await north.shared.drop([Hold(A, before.epoch)])
        assert north.here() == {made.row.command_id: QUEUED}, "the end of the connection before"
        assert north.commands.cancel(made.row.command_id) is not None
        await north.states.settle()
        assert await store.open_commands() == []


async def test_what_is_known_is_in_the_record_before_a_device_is_dropped(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (store, north, south):
        holder = await north.take()
        made = await north.send()
        north.commands.cancel(made.row.command_id)
        await north.shared.drop([Hold(A, holder.epoch)])
        assert await store.open_commands() == []
        await south.take()
        assert south.here() == {}


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_sender_hears_what_another_node_has_decided(tmp_path: Path, is_told: bool) -> None:
    async with two_nodes(tmp_path) as (store, north, south):
        await north.take()
        made = await south.send()
        assert south.elsewhere == [A]
        await (north.shared.look([A]) if is_told else north.shared.look())
        assert north.here() == {made.row.command_id: QUEUED}
        row = made.row
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(south.shared.wait, row)
            await eventually(south.commands.table.awaited_elsewhere)
            await (south.shared.hear([row.command_id]) if is_told else south.shared.look())
            assert (await south.shared.present(row)).status is QUEUED
            north.commands.cancel(row.command_id)
            await north.states.settle()
            with anyio.fail_after(SECONDS):
                await (south.shared.hear([row.command_id]) if is_told else south.shared.look())
        assert (await south.shared.present(row)).status is CANCELLED
        assert await store.open_commands() == []


async def test_a_sender_does_not_wait_for_a_device_that_is_deleted(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (store, north, south):
        await north.take()
        made = await south.send()
        await north.shared.look()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(south.shared.wait, made.row)
            await eventually(south.commands.table.awaited_elsewhere)
            await store.delete_device(A)
            with anyio.fail_after(SECONDS):
                await south.shared.look()
        assert (await south.shared.present(made.row)).status is CommandStatus.EXPIRED
        await north.shared.look()
        assert north.here() == {}


async def test_a_command_is_taken_back_at_another_node(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (store, north, south):
        await north.take()
        made = await north.send()
        id = made.row.command_id
        cancelled = await south.shared.cancel(id)
        assert cancelled is not None
        assert cancelled == await store.command(id)
        assert cancelled.status is CANCELLED
        await north.shared.look([A])
        assert north.here() == {}
        assert north.commands.table.find(id) == cancelled
        assert await north.shared.cancel(id) is None
        await add(store, command("sent", status=SENT))
        assert await south.shared.cancel("sent") is None
        assert await south.shared.cancel("unknown") is None


async def test_what_was_read_before_it_ended_does_not_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_table, "_REMEMBERED", 0)
    async with two_nodes(tmp_path) as (store, north, _):
        await north.take()
        made = await north.send()
        store.has_read, store.gate = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(north.shared.look)
            with anyio.fail_after(SECONDS):
                await store.has_read.wait()
            north.commands.cancel(made.row.command_id)
            await north.states.settle()
            store.gate.set()
        assert north.here() == {}
