"""Devices in a process of their own: `python -m tests.novacloud.chaos.devices OPTIONS`.

They print `ready` once all have been connected. At a line they report no more, and print `told`
once all is acknowledged. They end when standard input does; the last line has how many reports each
has made.
"""

import json
import random
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule

KEY = "correct horse battery staple"
SCHEDULE = Schedule(first=0.5, longest=4.0, stable=5.0, after_stable=2.0)
"""How devices come again; those of a long run would need hours otherwise."""

_LOOK_SECONDS = 0.02
AT_A_TIME = 0.004  # seconds between two that connect for the first time


class Options(Struct, frozen=True, kw_only=True):
    """What the devices do.

    Args:
        ids: of them.
        port: where they connect.
        log: the file that gets a line for each thing that happens to one.
        pause: seconds between two reports of one, at the most.
        seed: gives the same pauses again.
    """

    ids: list[str]
    port: int
    log: str
    pause: float
    seed: int


class Devices:
    """All of them.

    Args:
        options: what they do.
        log: is written to. A line is `what device when`, by the monotonic clock: `back`, `lost`, or
            the number of a command that is executed.
    """

    def __init__(self, options: Options, log: TextIO) -> None:
        self._options = options
        self._log = log
        self._dice = random.Random(f"{options.seed} {options.ids[0]}")
        self._devices: list[NovaDevice] = []
        self._made = dict.fromkeys(options.ids, 0)
        self._is_over = False

    async def run(self) -> None:
        """Be the devices."""
        settings = DeviceSettings(schedule=SCHEDULE, close_seconds=0.1)
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(self._look)
            for id in self._options.ids:
                device = NovaDevice(
                    "127.0.0.1", self._options.port, device_id=id, device_key=KEY, settings=settings
                )
                device.dispatcher.method("light")(self._light(id))
                self._devices.append(await stack.enter_async_context(device))
                tasks.start_soon(self._report, id, device)
                await anyio.sleep(AT_A_TIME)
            for device in self._devices:
                await device.connected()
            print("ready", flush=True)
            await anyio.to_thread.run_sync(sys.stdin.readline)
            self._is_over = True
            for device in self._devices:
                while device.outbox.rows:  # noqa: ASYNC110
                    await anyio.sleep(_LOOK_SECONDS)
            print("told", flush=True)
            await anyio.to_thread.run_sync(sys.stdin.read)
            tasks.cancel_scope.cancel()
        print(json.dumps(self._made), flush=True)

    def _light(self, id: str):  # type: ignore[no-untyped-def]
        def light(number: int) -> int:
            self._note(str(number), id)
            return number

        return light

    async def _report(self, id: str, device: NovaDevice) -> None:
        while not self._is_over:
            await device.report({"n": self._made[id]})
            self._made[id] += 1
            await anyio.sleep(self._dice.uniform(0, self._options.pause))

    async def _look(self) -> None:
        """Note who has come and who has gone."""
        connections: dict[NovaDevice, int] = {}
        while True:
            for id, device in zip(self._options.ids, self._devices, strict=False):
                state = device.counts.connections if device.is_connected else 0
                before = connections.get(device, 0)
                if state != before:
                    connections[device] = state
                    if before:
                        self._note("lost", id)
                    if state:
                        self._note("back", id)
            self._log.flush()
            await anyio.sleep(_LOOK_SECONDS)

    def _note(self, what: str, id: str) -> None:
        self._log.write(f"{what} {id} {time.monotonic():.3f}\n")


def main(text: str) -> None:
    options = msgspec.json.decode(text, type=Options)
    with Path(options.log).open("w") as log:
        anyio.run(Devices(options, log).run)


if __name__ == "__main__":
    main(*sys.argv[1:])
