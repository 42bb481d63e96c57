"""A gateway, its devices, its broker and its callers, and what happens to them."""

import asyncio
import os
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

from jsonrpc_iot.testing import Faults
from tests.brokers import Broker, new_mosquitto
from tests.peer.lossy.chaos.program import Program
from tests.peer.lossy.chaos.rows import DEVICE, ROWS
from tests.peer.lossy.chaos.tally import Tally, count
from tests.peer.lossy.chaos.weather import Weather, udp_proxy
from tests.ports import free_port

from . import callers, gateway

GATEWAY = gateway.__name__
TOPIC = "/house/rpc"

DEVICES = {"lamp": "udp", "meter": "uart", "door": "tcp"}
"""On which link each is; those of `udp` and `uart` are bad."""

REMEMBERED = ("requests", "bytes")
"""What is held for a while for who asks again."""

_LOOK_SECONDS = 0.1


class Plan(Struct, frozen=True, kw_only=True):
    """How a run goes.

    Args:
        calls: what callers do.
        pauses: seconds between two troubles of one program, from and to.
        troubles: of each program, at the most; 0 for any number.
        stops: seconds for which a device is stopped, at the most.
        far: what happens to messages between the gateway and its devices.
        near: what happens to messages between the gateway and callers on bad links.
        patience: seconds within which all is as it was, when the last call has ended.
        silence: seconds of silence after that, before nothing may be remembered; 0 does not look.
        seed: gives the same troubles again.
    """

    calls: callers.Options = callers.Options()
    pauses: tuple[float, float] = (4.0, 10.0)
    troubles: int = 0
    stops: float = 5.0
    far: Faults = Faults(drop=0.2, duplicate=0.05, reorder=0.1, delay=0.05, delay_seconds=3.0)
    near: Faults = Faults(drop=0.1, duplicate=0.1, reorder=0.1, delay=0.1, delay_seconds=3.0)
    patience: float = 60.0
    silence: float = 0.0
    seed: int = 0


class House:
    """All of it.

    Args:
        plan: how the run goes.
        folder: for logs and lines.

    Attributes:
        killed_at: when broker or gateway were killed last, by the monotonic clock.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.killed_at = -60.0
        self._troubles: Counter[str] = Counter()
        self._plan = plan
        self._folder = folder
        self._executions = folder / "executions"
        self._executions.touch()
        self._near = Weather(plan.near, f"{plan.seed} near")
        self._far: dict[str, Weather] = {}
        self._devices: dict[str, Program] = {}
        self._hands = anyio.Lock()  # a gateway that finds no broker as it starts gives up

    async def run(self, say: Callable[[str], object]) -> list[Tally]:
        """Call, and count.

        Args:
            say: is told how far it has come.
        """
        here = _here()
        leaked: list[str] = []
        async with AsyncExitStack() as stack:
            broker = new_mosquitto()
            stack.callback(broker.stop)
            urls = await self._start_devices(stack)
            ports = [free_port() for _ in range(3)]
            port = free_port(socket.SOCK_DGRAM)
            near = await stack.enter_async_context(udp_proxy(self._near, port))
            places = callers.Places(
                tcp=f"tcp://127.0.0.1:{ports[0]}",
                http=f"http://127.0.0.1:{ports[1]}/rpc",
                websocket=f"ws://127.0.0.1:{ports[2]}/rpc",
                udp=f"udp://127.0.0.1:{near}",
                topic=TOPIC,
                broker=broker.port,
                devices=tuple(DEVICES),
            )
            served = [places.tcp, places.http, places.websocket]
            served += [f"udp://127.0.0.1:{port}", broker.url(topic=TOPIC)]
            options = gateway.Options(devices=urls, urls=served)
            program = Program(GATEWAY, msgspec.json.encode(options).decode())
            await stack.enter_async_context(_running(program))
            found = await self._rest(program, {})
            empty = {what: n for what, n in found.items() if what not in REMEMBERED}
            say("all is there")
            await self._call(program, broker, places)
            say("the calls have ended")
            held = await self._rest(program, empty)
            leaked += [f"gateway: {n} {what}" for what, n in _beyond(held, empty).items()]
            if self._plan.silence:
                leaked += await self._remembered(program)
        leaked += [f"callers: {n} {what}" for what, n in _beyond(_here(), here).items()]
        return self._count(leaked, program.restarts)

    async def _start_devices(self, stack: AsyncExitStack) -> dict[str, str]:
        """Start the devices; returns where the gateway finds them."""
        found = {}
        for name, kind in DEVICES.items():
            weather = self._far[name] = Weather(self._plan.far, f"{self._plan.seed} {name}")
            folder = self._folder / name
            folder.mkdir()
            if kind == "tcp":
                here = there = f"tcp://127.0.0.1:{free_port()}"
            else:
                here, there = await stack.enter_async_context(ROWS[kind].link(weather, folder))
            self._devices[name] = Program(DEVICE, str(self._executions), here)
            found[name] = there
        async with anyio.create_task_group() as starting:
            for device in self._devices.values():
                starting.start_soon(stack.enter_async_context, _running(device))
        return found

    async def _call(self, program: Program, broker: Broker, places: callers.Places) -> None:
        """Have all callers call while there is trouble."""
        calls = callers.Callers(
            self._plan.calls, places, self._folder, lambda: self.killed_at, self._has_been_killed
        )

        async def trouble_gateway(_: random.Random) -> None:
            async with self._hands:
                await program.restart(self._note_killed)
                self._near.note_restart()

        async def trouble_broker(dice: random.Random) -> None:
            with anyio.CancelScope(shield=True):
                async with self._hands:
                    self.killed_at = time.monotonic()
                    broker.stop()
                    await anyio.sleep(dice.uniform(0, 1))
                    await anyio.to_thread.run_sync(broker.start)

        async with anyio.create_task_group() as troubles:
            troubles.start_soon(self._again_and_again, "gateway", trouble_gateway)
            troubles.start_soon(self._again_and_again, "broker", trouble_broker)
            for name in self._devices:
                troubles.start_soon(self._again_and_again, name, self._trouble_of(name))
            await calls.run()
            troubles.cancel_scope.cancel()

    def _trouble_of(self, name: str) -> "Callable[[random.Random], Awaitable[object]]":
        device, weather = self._devices[name], self._far[name]

        async def trouble(dice: random.Random) -> None:
            if not device.restarts or dice.random() < 0.5:
                await device.restart(weather.note_restart)
            else:
                await device.stop_for(dice.uniform(1, self._plan.stops))

        return trouble

    async def _again_and_again(
        self, name: str, trouble: "Callable[[random.Random], Awaitable[object]]"
    ) -> None:
        dice = random.Random(f"{self._plan.seed} trouble of {name}")
        plan = self._plan
        while not plan.troubles or self._troubles[name] < plan.troubles:
            await anyio.sleep(dice.uniform(*plan.pauses))
            await trouble(dice)
            self._troubles[name] += 1

    def _has_been_killed(self) -> bool:
        """Whether all have had their trouble."""
        return len(self._troubles) == len(DEVICES) + 2

    def _note_killed(self) -> None:
        self.killed_at = time.monotonic()
        self._near.note_restart()

    async def _rest(self, program: Program, most: dict[str, int]) -> dict[str, int]:
        """Wait until the gateway reaches all devices and holds no more than that.

        Returns:
            What it holds when it does, or when patience is over.
        """
        most = {"devices away": 0, "busy": 0, "open calls": 0} | most
        end = time.monotonic() + self._plan.patience
        while _beyond(held := await program.held(), most) and time.monotonic() < end:  # noqa: ASYNC110
            await anyio.sleep(_LOOK_SECONDS)
        return held

    async def _remembered(self, program: Program) -> list[str]:
        """What is remembered for nobody when all has been silent for long."""
        await anyio.sleep(self._plan.silence)
        found = []
        for name, end in {"gateway": program, **self._devices}.items():
            held = await end.held()
            found += [f"{name}: {held[what]} {what}" for what in REMEMBERED if held[what]]
        return found

    def _count(self, leaked: list[str], restarts: int) -> list[Tally]:
        untold: Counter[str] = Counter(self._near.untold)
        for weather in self._far.values():
            untold.update(weather.untold)
        tallies = []
        for kind in callers.KINDS:
            log = self._folder / kind
            with log.open("a") as lines:
                lines.write('{"held": {}}\n')
            tallies.append(count(kind, self._executions, log, untold, {}, restarts))
        tallies[0].leaked += leaked
        return tallies


@asynccontextmanager
async def _running(program: Program) -> AsyncIterator[None]:
    try:
        await program.start()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await program.end()


def _here() -> dict[str, int]:
    """What this process holds."""
    return {"tasks": len(asyncio.all_tasks()), "descriptors": len(os.listdir("/proc/self/fd"))}


def _beyond(held: dict[str, int], most: dict[str, int]) -> dict[str, int]:
    """What is held beyond what may be."""
    return {what: held[what] - n for what, n in most.items() if held[what] > n}
