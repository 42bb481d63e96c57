"""The nodes, what they need, their devices and callers, and what happens to them."""

import asyncio
import json
import random
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from jsonrpc_iot.novacloud.platform.admission import hash_key
from jsonrpc_iot.novacloud.store.postgres.store import PostgresStore
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from tests.cli.program import environment
from tests.novacloud.servers import new_nats, new_postgres
from tests.places import ROOT

from . import crowd, devices, tally
from .balancer import Balancer
from .callers import EXPIRES_SECONDS, Callers
from .nodes import Node

BACK_SECONDS = 10.0
"""Devices are back so long after their own pause."""

_FROZEN_SECONDS = 20.0
_CUT_SECONDS = 30.0
_CLOSE_SECONDS = 10.0
_PATIENCE = 120.0
_RECOVERY_SECONDS = 3.0


class Plan(Struct, frozen=True, kw_only=True):
    """How a run goes.

    Args:
        nodes: how many.
        devices: how many.
        kills: of nodes.
        freezes: of nodes.
        restarts: of the database.
        cuts: of the bus.
        seconds: the least that it takes; more nodes are killed if it is over sooner.
        real: how many of the devices are a `NovaDevice`; the others only do as if.
        callers: who send commands.
        pause: seconds between two reports of a device, at the most.
        seed: gives the same troubles again.
    """

    nodes: int = 3
    devices: int = 300
    kills: int = 50
    freezes: int = 3
    restarts: int = 3
    cuts: int = 1
    seconds: float = 0.0
    real: int = 60
    callers: int = 6
    pause: float = 4.0
    seed: int = 0


class Storm:
    """All of it.

    Args:
        plan: how the run goes.
        folder: for logs.
        say: is told how far it has come.

    Attributes:
        times: by kind of trouble, seconds until all devices were back.
        faults: that show at once.
    """

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], object]) -> None:
        self._plan = plan
        self._folder = folder
        self._say = say
        self._dice = random.Random(f"{plan.seed} troubles")
        self._outages: list[tuple[float, float]] = []
        self._programs: list[subprocess.Popen[bytes]] = []
        self._postgres = new_postgres()
        self._nats = new_nats()
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.faults: defaultdict[str, list[str]] = defaultdict(list)
        url = self._postgres.database_url()
        self._nodes = [
            Node(f"node-{number}", url, f"nats://{self._nats.host}", folder)
            for number in range(plan.nodes)
        ]
        self._balancer = Balancer([node.place for node in self._nodes], plan.seed)
        self._ids = [str(uuid.UUID(int=self._dice.getrandbits(128))) for _ in range(plan.devices)]
        self._callers = Callers(self._ids, self._nodes, plan.seed, self._was_in_trouble)
        self._logs = [folder / f"devices-{number}" for number in range(2)]

    async def run(self) -> tally.Tally:
        """Have all the trouble, and count."""
        try:
            async with AsyncExitStack() as stack:
                await self._prepare()
                for node in self._nodes:
                    stack.callback(_end, node)
                    await node.start()
                await stack.enter_async_context(self._balancer.running())
                await self._start_devices(stack)
                self._say(f"{self._plan.devices} devices are connected")
                async with self._calling():
                    await self._trouble()
                return await self._finish()
        finally:
            self._nats.stop()
            self._postgres.stop()

    async def _prepare(self) -> None:
        async with PostgresStore(self._postgres.database_url()) as store:
            for id in self._ids:
                key = hash_key(devices.KEY)
                await store.create_device(DeviceRow(device_id=id, name=id, key_hash=key))
                await store.define_sensor(id, "n", "number")
                await store.define_actuator(id, "light", "number")

    async def _start_devices(self, stack: AsyncExitStack) -> None:
        real = min(self._plan.real, self._plan.devices // 2)
        parts = self._ids[:real], self._ids[real:]
        for module, ids, log in zip((devices, crowd), parts, self._logs, strict=True):
            options = devices.Options(
                ids=ids,
                port=self._balancer.port,
                log=str(log),
                pause=self._plan.pause,
                seed=self._plan.seed,
            )
            program = _launch(module.__name__, options)
            stack.callback(program.kill)
            self._programs.append(program)
        for program in self._programs:
            await _expect(program, b"ready\n")

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            for _ in range(self._plan.callers):
                tasks.start_soon(self._callers.run, 0.2)
            yield
            self._callers.stop()

    def _was_in_trouble(self, node: Node, since: float) -> bool:
        ends = [node.troubled, *(end for _, end in self._outages)]
        return not node.is_alive or not node.place.is_up or max(ends) > since

    async def _trouble(self) -> None:
        plan = self._plan
        end = time.monotonic() + plan.seconds
        kinds = [self._kill] * plan.kills + [self._freeze] * plan.freezes
        kinds += [self._restart] * plan.restarts + [self._cut] * plan.cuts
        self._dice.shuffle(kinds)
        done = 0
        while kinds or time.monotonic() < end:
            trouble = kinds.pop() if kinds else self._kill
            await anyio.sleep(self._dice.uniform(0, 2))
            await trouble()
            done += 1
            self._look_at_nodes()

    def _look_at_nodes(self) -> None:
        for node in self._nodes:
            if not node.is_alive:
                raise AssertionError(f"{node.name} has ended by itself")

    async def _kill(self) -> None:
        """Kill a node, and start it again."""
        victim, has = self._victim()
        begun = time.monotonic()
        victim.kill()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(victim.start)
            await self._until_back("killed", begun)
        self._say(f"{victim.name} was killed with {has} devices: {self._last('killed')}")

    async def _freeze(self) -> None:
        """Freeze a node for longer than its lease; half of its devices notice that at once."""
        victim, has = self._victim()
        victim.freeze()
        frozen = time.monotonic()
        await anyio.sleep(0.5)  # what it has said is through by then
        cut = self._balancer.cut(victim.place, 0.5)
        others = [node for node in self._nodes if node is not victim]
        await self._until_connected(self._plan.devices - has + cut, others)
        self.times["frozen"].append(time.monotonic() - frozen - 0.5)
        await anyio.sleep(frozen + _FROZEN_SECONDS - time.monotonic())
        watched = self._balancer.watch(victim.place)
        begun = time.monotonic()
        victim.thaw()
        with anyio.move_on_after(_CLOSE_SECONDS):
            while watched & victim.place.connections:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        self.times["closed"].append(time.monotonic() - begun)
        if left := watched & victim.place.connections:
            self.faults["not closed"].append(f"{victim.name}: {len(left)} connections")
        await self._until_back("woken", begun)
        self._say(
            f"{victim.name} was frozen with {has} devices, of which {cut} left "
            f"({self._last('frozen')}) and the others stayed ({self._last('woken')})"
        )

    def _victim(self) -> tuple[Node, int]:
        """One of the nodes that have devices, and how many."""
        found = [each for each in self._nodes if each.place.connections]
        victim = self._dice.choice(found)
        return victim, len(victim.place.connections)

    async def _restart(self) -> None:
        """Kill the database, and start it again after a while."""
        away = self._dice.choice((0.0, 3.0, 8.0))
        begun = time.monotonic()
        self._outages.append((begun, float("inf")))
        await anyio.to_thread.run_sync(self._postgres.stop)
        await anyio.sleep(away)
        await anyio.to_thread.run_sync(self._postgres.start)
        ready = time.monotonic()
        await anyio.sleep(_RECOVERY_SECONDS)  # who has lost a connection to it learns that
        await self._until_back("no database", ready)
        self._outages[-1] = (begun, time.monotonic())
        self._say(f"the database was away for {ready - begun:.1f} s: {self._last('no database')}")

    async def _cut(self) -> None:
        """Have no bus for a while, during which a node is killed."""
        await anyio.to_thread.run_sync(self._nats.stop)
        begun = time.monotonic()
        await anyio.sleep(_CUT_SECONDS / 2)
        await self._kill()
        await anyio.sleep(max(0.0, begun + _CUT_SECONDS - time.monotonic()))
        await anyio.to_thread.run_sync(self._nats.start)
        self._say(f"there was no bus for {time.monotonic() - begun:.1f} s")

    async def _until_back(self, what: str, since: float) -> None:
        """Wait until all devices are with nodes that live, as far as these know."""
        await self._until_connected(self._plan.devices, self._nodes)
        took = time.monotonic() - since
        self.times[what].append(took)
        if took > BACK_SECONDS + devices.SCHEDULE.longest:
            self.faults["back late"].append(f"{what}: {took:.1f} s")

    async def _until_connected(self, count: int, nodes: list[Node]) -> None:
        with anyio.fail_after(_PATIENCE):
            while len(self._connected(nodes)) < count:  # noqa: ASYNC110
                await anyio.sleep(0.05)

    def _connected(self, nodes: list[Node]) -> list[object]:
        """The connections of devices over which a node has spoken."""
        places = [node.place for node in nodes if node.place.is_up]
        return [far for place in places for far in place.connections if far.is_answered]

    def _last(self, what: str) -> str:
        return f"back within {self.times[what][-1]:.1f} s"

    async def _finish(self) -> tally.Tally:
        for program in self._programs:
            assert program.stdin is not None
            program.stdin.write(b"over\n")
            program.stdin.flush()
        for program in self._programs:
            await _expect(program, b"told\n")
        self._say("all reports are acknowledged")
        await self._until_no_command_is_open()
        made: dict[str, int] = {}
        for program in self._programs:
            assert program.stdin is not None
            program.stdin.close()
            made |= json.loads(await _line(program))
        for node in self._nodes:
            if code := await anyio.to_thread.run_sync(node.end):
                self.faults["bad end"].append(f"{node.name}: {code}")
        if self._balancer.said:
            self.faults["said by one that woke"] = self._balancer.said
        rows = await anyio.to_thread.run_sync(self._rows)
        found = tally.count(self._logs, self._callers.told, made, rows, self._outages)
        found.faults.update(self.faults)
        return found

    async def _until_no_command_is_open(self) -> None:
        open_ones = "SELECT count(*) FROM novacloud.commands WHERE finished IS NULL"
        with anyio.move_on_after(EXPIRES_SECONDS):
            while await anyio.to_thread.run_sync(self._postgres.sql, open_ones) != "0":  # noqa: ASYNC110
                await anyio.sleep(0.5)
            return
        self.faults["never ended"].append("commands that are neither done nor over")

    def _rows(self) -> tally.Rows:
        shift = time.time() - time.monotonic()
        commands = self._postgres.sql(
            "SELECT command::jsonb->>'light', status, created FROM novacloud.commands"
        )
        reports = self._postgres.sql(
            "SELECT device_id, count(*), count(DISTINCT whole), max(whole) "
            "FROM novacloud.telemetry JOIN novacloud.sensors ON id = sensor GROUP BY device_id"
        )
        found = [line.split("|") for line in commands.splitlines()]
        stored = [line.split("|") for line in reports.splitlines()]
        return tally.Rows(
            commands={int(n): (status, float(at) - shift) for n, status, at in found},
            reports={id: (int(a), int(b), int(c)) for id, a, b, c in stored},
        )


def _end(node: Node) -> None:
    if node.is_alive:
        node.kill()


def _launch(module: str, options: devices.Options) -> "subprocess.Popen[bytes]":
    with Path(f"{options.log}.errors").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", module, msgspec.json.encode(options).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=environment(),
        )


async def _line(program: "subprocess.Popen[bytes]") -> bytes:
    assert program.stdout is not None
    with anyio.fail_after(_PATIENCE):
        return await asyncio.to_thread(program.stdout.readline)


async def _expect(program: "subprocess.Popen[bytes]", line: bytes) -> None:
    found = await _line(program)
    assert found == line, found
