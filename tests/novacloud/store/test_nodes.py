"""Nodes and presence: what every record says of them, also to nodes in each other's way."""

import abc
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TypeAlias

import anyio
import asyncpg
import pytest

from jsonrpc_iot.novacloud.errors import LeaseOver, NameTaken, StoreFailed
from jsonrpc_iot.novacloud.store.nodes import (
    LEASE_SECONDS,
    MOST_NODES,
    Buried,
    Hold,
    Lease,
    Nodes,
    Taken,
)
from jsonrpc_iot.novacloud.store.one_node import OneNode
from jsonrpc_iot.novacloud.store.postgres.nodes import PostgresNodes
from jsonrpc_iot.novacloud.store.postgres.pools import LIMITS, SCHEMA, Pools

from .postgres.databases import empty_database

pytestmark = pytest.mark.anyio

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

IDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(40)]
A, B, C, *_ = IDS
HOST = "192.0.2.1"


class NodesContract(abc.ABC):
    """What every record does, also that of a single node."""

    @pytest.fixture
    @abc.abstractmethod
    def nodes(self) -> AsyncIterator[Nodes]:
        """A record that knows the devices `IDS` and no node."""

    async def test_a_node_is_listed_while_it_is_one(self, nodes: Nodes) -> None:
        assert await nodes.nodes() == []
        lease = await nodes.enter("north", "1.2")
        [node] = await nodes.nodes()
        assert (node.node, node.version) == ("north", "1.2")
        assert 0 <= node.number == lease.number < MOST_NODES
        assert abs(node.since - lease.now) < 1
        now = await nodes.renew(lease, 0)
        assert now is not None
        assert now >= lease.now
        await nodes.leave(lease)
        assert await nodes.nodes() == []

    async def test_each_taking_raises_the_epoch(self, nodes: Nodes) -> None:
        lease = await nodes.enter("north", "1")
        first = await nodes.take(lease, {A: HOST, B: HOST})
        assert first.keys() == {A, B}
        again = await nodes.take(lease, {A: HOST})
        assert again[A].epoch > first[A].epoch
        await nodes.release(lease, [Hold(A, again[A].epoch), Hold(B, first[B].epoch)])
        assert await nodes.served([A, B]) == {}
        assert (await nodes.take(lease, {A: HOST}))[A].epoch > again[A].epoch


class TestOneNode(NodesContract):
    """A record that one process alone has open."""

    @pytest.fixture
    def nodes(self) -> Nodes:
        return OneNode()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestPostgresNodes(NodesContract):
    """PostgreSQL, and nodes that know nothing of each other."""

    @pytest.fixture
    def database(self) -> Iterator[str]:
        with empty_database() as url:
            yield url

    @pytest.fixture
    async def pool(self, database: str) -> AsyncIterator[Pool]:
        path = {"search_path": SCHEMA}
        async with asyncpg.create_pool(
            database, min_size=2, max_size=4, server_settings=path
        ) as pool:
            await pool.execute(
                "INSERT INTO devices (device_id, name, key_hash, enabled, created, tags) "
                "SELECT unnest($1::text[]), '', '', true, 0, '{}'",
                IDS,
            )
            yield pool

    @pytest.fixture
    async def nodes(self, pool: Pool) -> Nodes:
        return PostgresNodes(lambda _: pool.acquire())

    async def test_names_and_numbers_are_never_shared(self, pool: Pool, nodes: Nodes) -> None:
        north = await nodes.enter("north", "1")
        with pytest.raises(NameTaken) as caught:
            await nodes.enter("north", "1")
        assert caught.value.until == pytest.approx(north.now + LEASE_SECONDS, abs=1)
        leases = [north]

        async def enter(name: str) -> None:
            leases.append(await nodes.enter(name, "1"))

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(enter, f"n{number}")
        assert len({lease.number for lease in leases}) == len(leases) == 11
        await nodes.leave(leases.pop(3))
        leases.append(await nodes.enter("late", "1"))
        assert len({lease.number for lease in leases}) == len(leases) == 11
        assert len({lease.incarnation for lease in leases}) == len(leases)

        await pool.execute(
            "INSERT INTO nodes (number, name, version, since, lease_until) "
            "SELECT n, 'many ' || n, '', now(), now() FROM generate_series(11, 1023) n"
        )
        with pytest.raises(StoreFailed, match="1024 nodes"):
            await nodes.enter("one too many", "1")

    async def test_a_renewal_says_what_the_node_does(self, nodes: Nodes) -> None:
        lease = await nodes.enter("north", "1")
        before = (await nodes.nodes())[0].lease_until
        await nodes.renew(lease, 7, {"messages": 3})
        await nodes.renew(lease, 8)
        [node] = await nodes.nodes()
        assert (node.devices, node.counts) == (8, {"messages": 3})
        assert node.lease_until is not None
        assert before is not None
        assert node.lease_until > before

    async def test_of_two_that_take_a_device_one_is_the_loser(self, nodes: Nodes) -> None:
        north, south = await nodes.enter("north", "1"), await nodes.enter("south", "1")
        wanted = dict.fromkeys(IDS, HOST)
        for _ in range(5):
            taken: dict[int, dict[str, Taken]] = {}

            async def take(lease: Lease, wanted: dict[str, str]) -> None:
                taken[lease.number] = await nodes.take(lease, wanted)  # noqa: B023

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(take, north, wanted)
                tasks.start_soon(take, south, dict(reversed(wanted.items())))
            served = await nodes.served(IDS)
            moved = {each.device_id: each.epoch for each in (await nodes.news()).moved}
            for device_id in IDS:
                ours, theirs = taken[north.number][device_id], taken[south.number][device_id]
                assert abs(ours.epoch - theirs.epoch) == 1
                last = max(ours, theirs, key=lambda each: each.epoch)
                winner = north if last is ours else south
                assert last.previous == (south if last is ours else north).number
                assert served[device_id].number == winner.number
                assert served[device_id].epoch == moved[device_id] == last.epoch

    async def test_who_lost_a_device_hears_of_it_however_it_went_on(self, nodes: Nodes) -> None:
        north, south = await nodes.enter("north", "1"), await nodes.enter("south", "1")
        ours = (await nodes.take(north, {A: HOST, B: HOST}))[A]
        assert (await nodes.news()).moved == []
        theirs = (await nodes.take(south, {A: HOST}))[A]
        assert theirs.previous == north.number
        await nodes.release(north, [Hold(A, ours.epoch)])  # too late: it is another's
        assert (await nodes.served([A]))[A].node == "south"
        await nodes.release(south, [Hold(A, theirs.epoch)])
        last = (await nodes.take(south, {A: HOST}))[A]
        assert last.previous is None
        assert (await nodes.news()).moved == [Hold(A, last.epoch)]

    async def test_who_takes_a_device_knows_whether_the_other_node_lived(
        self, pool: Pool, nodes: Nodes
    ) -> None:
        north, south = await nodes.enter("north", "1"), await nodes.enter("south", "1")
        await nodes.take(north, {A: HOST, B: HOST})
        assert (await nodes.take(south, {A: HOST}))[A].was_alive
        await pool.execute("UPDATE nodes SET lease_until = now() WHERE name = 'north'")
        taken = (await nodes.take(south, {B: HOST}))[B]  # north is not buried yet
        assert (taken.previous, taken.was_online, taken.was_alive) == (north.number, True, False)
        assert not (await nodes.take(south, {C: HOST}))[C].was_alive

    async def test_what_is_served(self, nodes: Nodes) -> None:
        north = await nodes.enter("north", "1")
        taken = await nodes.take(north, {A: HOST, B: HOST, "nobody": HOST})
        assert taken.keys() == {A, B}
        holds = [Hold(device_id, each.epoch) for device_id, each in taken.items()]
        await nodes.note_online(north, holds[:1], online=False)
        served = await nodes.served([A, B, C])
        assert {device_id: each.online for device_id, each in served.items()} == {A: False, B: True}
        assert (served[A].node, served[A].address) == ("north", HOST)
        assert abs(served[A].since - north.now) < 5
        await nodes.leave(north)
        assert await nodes.served([A, B]) == {}
        assert await nodes.bury() == []

    async def test_the_dead_are_buried_once_and_stay_dead(self, pool: Pool, nodes: Nodes) -> None:
        north, south = await nodes.enter("north", "1"), await nodes.enter("south", "1")
        taken = await nodes.take(north, {A: HOST, B: HOST})
        await nodes.note_online(north, [Hold(B, taken[B].epoch)], online=False)
        await nodes.take(south, {C: HOST})
        assert await nodes.bury() == []
        await pool.execute("UPDATE nodes SET lease_until = now() WHERE name = 'north'")
        assert [node.node for node in await nodes.nodes()] == ["south"]
        assert (await nodes.served([A, B, C])).keys() == {C}
        found: list[Buried] = []

        async def bury() -> None:
            found.extend(await nodes.bury())

        with pytest.raises(NameTaken):  # until it is buried
            await nodes.enter("north", "1")
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(bury)
        assert {each.device_id: each.online for each in found} == {A: True, B: False}
        assert len(found) == 2
        assert {each.node for each in found} == {"north"}

        assert await nodes.renew(north, 0) is None
        with pytest.raises(LeaseOver):
            await nodes.take(north, {A: HOST})
        again = await nodes.enter("north", "1")
        assert again.number == north.number
        with pytest.raises(LeaseOver):
            await nodes.take(north, {A: HOST})
        await nodes.leave(north)
        assert len(await nodes.nodes()) == 2
        assert (await nodes.take(again, {A: HOST}))[A].epoch == taken[A].epoch + 2

    async def test_a_burial_misses_nothing_that_is_just_being_taken(
        self, pool: Pool, nodes: Nodes
    ) -> None:
        for _ in range(10):
            north = await nodes.enter("north", "1")
            results: dict[str, object] = {}

            async def take(device_id: str) -> None:
                with suppress(LeaseOver):
                    results.update(await nodes.take(north, {device_id: HOST}))  # noqa: B023

            async def bury() -> None:
                await pool.execute("UPDATE nodes SET lease_until = now()")
                results["buried"] = {each.device_id for each in await nodes.bury()}  # noqa: B023

            async with anyio.create_task_group() as tasks:
                for device_id in IDS[:6]:
                    tasks.start_soon(take, device_id)
                tasks.start_soon(bury)
            assert results.pop("buried") == results.keys()
            assert await pool.fetchval("SELECT count(*) FROM presence WHERE node IS NOT NULL") == 0

    async def test_changes_of_devices_are_news(self, pool: Pool, nodes: Nodes) -> None:
        assert (await nodes.news()).changed == []
        await pool.execute("UPDATE devices SET last_seen = 1")
        assert (await nodes.news()).changed == []
        await pool.execute("UPDATE devices SET enabled = false WHERE device_id = $1", A)
        sensor = "INSERT INTO sensors (device_id, value_key, type) VALUES ($1, '', '')"
        await pool.execute(sensor, B)
        first = {each.device_id: each.at for each in (await nodes.news()).changed}
        assert first.keys() == {A, B}
        await pool.execute("DELETE FROM devices WHERE device_id = $1", B)
        again = {each.device_id: each.at for each in (await nodes.news()).changed}
        assert again[A] == first[A]
        assert again[B] > first[B]

    async def test_a_node_that_stops_holds_nobody_up_for_longer_than_its_lease(
        self, database: str, pool: Pool
    ) -> None:
        limits = "SELECT extract(epoch FROM current_setting($1)::interval)::float8"
        async with Pools(database) as pools:
            for purpose in LIMITS:
                async with pools.lend(purpose) as link:
                    idle = await link.fetchval(limits, "idle_in_transaction_session_timeout")
                    assert 0 < idle < LEASE_SECONDS
