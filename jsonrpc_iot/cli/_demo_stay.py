"""What `demo --stay` keeps open: the demo's device with something that moves, in a browser."""

import math
import random
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Annotated, Literal

import anyio
from msgspec import Meta, Struct

from jsonrpc_iot import Dispatcher, Event, method, service
from jsonrpc_iot import serve as serve_at

from ._output import print_text
from ._signals import until_signal
from .serve import virtual_device

_URLS = ("http://127.0.0.1:0/", "ws://127.0.0.1:0/")
_STEP_SECONDS = 0.1
_READING_SECONDS = 1.0

Level = Annotated[int, Meta(ge=0, le=100, description="Percent of the full brightness.")]


class LampState(Struct):
    """How a lamp shines.

    Args:
        level: Percent of the full brightness.
        colour: The colour of the light.
    """

    level: Level
    colour: Literal["warm", "neutral", "cool"] = "warm"


class Climate(Struct):
    """What a room is like.

    Args:
        temperature: in degrees Celsius.
        humidity: in percent.
    """

    temperature: float
    humidity: float


@service("lamp")
class Lamp:
    """A lamp that can be set and faded."""

    changed = Event[LampState]()

    def __init__(self) -> None:
        self._state = LampState(40)

    @method(effect="read")
    def get(self) -> LampState:
        """Tell how it shines."""
        return self._state

    @method(effect="change", idempotent=True)
    def set(self, state: LampState) -> LampState:
        """Have it shine otherwise; returns how it did before."""
        previous, self._state = self._state, state
        self.changed.emit(state)
        return previous

    @method(effect="change")
    async def fade(
        self, to: Level, seconds: Annotated[float, Meta(ge=0, le=60)] = 3.0
    ) -> AsyncIterator[int]:
        """Fade to a level, and tell of each step on the way."""
        start, steps = self._state.level, max(1, round(seconds / _STEP_SECONDS))
        for step in range(1, steps + 1):
            await anyio.sleep(_STEP_SECONDS)
            self._state = LampState(start + (to - start) * step // steps, self._state.colour)
            self.changed.emit(self._state)
            yield self._state.level


@service("room")
class Room:
    """A room with a sensor."""

    climate = Event[Climate]()

    def readings(self) -> Iterator[Climate]:
        """What it is like, each second."""
        noise = random.Random(0)
        for second in count():
            warmth = math.sin(second / 20)
            temperature = 21 + 1.5 * warmth + noise.gauss(0, 0.05)
            humidity = 45 - 4 * warmth + noise.gauss(0, 0.3)
            yield Climate(round(temperature, 2), round(humidity, 1))

    async def live(self) -> None:
        """Tell what it is like, once a second, until cancelled."""
        for reading in self.readings():
            self.climate.emit(reading)
            await anyio.sleep(_READING_SECONDS)


def device_and_room(name: str) -> tuple[Dispatcher, Room]:
    """The demo's device with something that moves, and the room that it is in."""
    device, room = virtual_device(name), Room()
    device.include(Lamp())
    device.include(room)
    return device, room


async def stay(name: str) -> None:
    """Keep the device and its page there until somebody stops the program.

    Args:
        name: what the device calls itself.
    """
    device, room = device_and_room(name)
    async with serve_at(device, *_URLS, console=True) as server, until_signal() as tasks:
        tasks.start_soon(room.live)
        print_text(f"\nIt stays, for your browser, until Ctrl-C:\nconsole {server.urls[0]}")
        await anyio.sleep_forever()
