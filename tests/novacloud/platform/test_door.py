"""Connections that are not authenticated yet: they take turns, and no host takes all places."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.novacloud.platform.door import Door
from tests.novacloud.rig import Device, Rig, running
from tests.waiting import SECONDS, Tally, eventually

from .test_threats import beside, but

pytestmark = pytest.mark.anyio

PLACES = 4


@asynccontextmanager
async def flooded(folder: Path) -> AsyncIterator[tuple[Rig, list[Device]]]:
    """A platform at whose door one host has twice as many connections as may authenticate."""
    settings = but(unauthenticated=PLACES, auth_seconds=3600)
    async with running(folder, settings) as rig, beside(rig), AsyncExitStack() as stack:
        before = rig.platform.counts.connections
        info = await rig.create()
        links = [rig.link(info) for _ in range(2 * PLACES)]
        silent = [await stack.enter_async_context(each) for each in links]
        await eventually(lambda: rig.platform.counts.connections == before + 2 * PLACES)
        yield rig, silent


async def test_another_host_is_let_in_at_once(tmp_path: Path) -> None:
    async with flooded(tmp_path) as (rig, _), AsyncExitStack() as stack:
        for number in range(2 * PLACES):
            info = await rig.create(f"lamp {number}")
            device = await stack.enter_async_context(rig.link(info, host="127.0.0.2"))
            assert (await device.authenticate())["status"] == "success"


async def test_who_comes_from_the_host_that_floods_is_turned_away(tmp_path: Path) -> None:
    async with flooded(tmp_path) as (rig, _), rig.link(await rig.create()) as late:
        await late.wait_closed()


async def test_who_waits_is_let_in_when_its_turn_has_come(tmp_path: Path) -> None:
    async with flooded(tmp_path) as (rig, silent):
        info = await rig.create("lamp")
        patient = silent[PLACES]
        patient.id, patient.key = info["device_id"], info["device_key"]
        await silent[0].stream.aclose()
        assert (await patient.authenticate())["status"] == "success"


async def test_connections_that_are_reset_at_once_harm_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, beside(rig):
        before = rig.platform.counts.connections
        for _ in range(20):  # before the platform has accepted any
            with socket.socket() as reset:
                reset.connect(("127.0.0.1", rig.platform.port))
                reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await eventually(lambda: rig.platform.counts.connections == before + 20)


async def test_many_devices_behind_one_address_come_in_one_after_the_other(tmp_path: Path) -> None:
    async with running(tmp_path, but(unauthenticated=2)) as rig, beside(rig):
        infos = [await rig.create(f"lamp {number}") for number in range(40)]
        entered = Tally()

        async def come(info: dict[str, str]) -> None:
            async with rig.device(info):
                entered.add()
                await entered.reach(len(infos))

        async with anyio.create_task_group() as tasks:
            for info in infos:
                tasks.start_soon(come, info)


@asynccontextmanager
async def at(door: Door, *networks: str) -> AsyncIterator[tuple[Tally, dict[str, anyio.Event]]]:
    """Connections that came to a door one after the other.

    Gives who is in, and what lets each go.
    """
    entered = Tally()
    gates: dict[str, anyio.Event] = {}

    async def visit(name: str, network: str) -> None:
        with anyio.CancelScope() as scope:
            turn = door.come(scope, network)
            assert turn
            try:
                await turn.wait()
                entered.add(name)
                await gates[name].wait()
            finally:
                door.leave(scope, network, passed=True)

    async with anyio.create_task_group() as tasks:
        for number, network in enumerate(networks):
            name = f"{network}{number}"
            gates[name] = anyio.Event()
            tasks.start_soon(visit, name, network)
            await anyio.wait_all_tasks_blocked()
        yield entered, gates
        tasks.cancel_scope.cancel()


async def test_networks_take_turns() -> None:
    door = Door(4)
    async with at(door, "a", "a", "b", "b", "a", "a", "b") as (entered, gates):
        assert entered.items == ["a0", "a1", "b2", "b3"]
        for count, name in enumerate(("a0", "a1", "b2"), start=5):
            gates[name].set()
            await entered.reach(count)
        assert entered.items[4:] == ["a4", "b6", "a5"]


async def test_who_gives_up_at_the_door_leaves_nothing_behind() -> None:
    door = Door(1)
    async with at(door, "a") as (_, gates):
        for _ in range(3):
            impatient = anyio.CancelScope()
            assert door.come(impatient, "a")
            door.leave(impatient, "a", passed=False)
        patient = anyio.CancelScope()
        turn = door.come(patient, "a")
        assert turn
        assert not turn.is_set()
        gates["a0"].set()
        with anyio.fail_after(SECONDS):
            await turn.wait()


async def test_those_who_have_nothing_to_say_keep_others_waiting_once() -> None:
    door = Door(2)
    async with at(door, "a", "a", "a", "a", "b") as (entered, gates):
        await door.wait_for_room()
        gates["b4"].set()  # comes through, which says nothing of the others
        await entered.reach(3)
        begin = anyio.current_time()
        for _ in range(50):
            await door.wait_for_room()
        assert anyio.current_time() - begin < 1.0
