"""A service as a class: an interface, its implementation, and an event that it emits."""

import sys
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from jsonrpc_iot import Dispatcher, Event, method, run, service

Celsius = Annotated[float, Meta(ge=5, le=30)]


class Reading(Struct):
    """What the room is like."""

    temperature: float
    heating: bool


@service("thermostat")
class Thermostat:
    """What every thermostat does; callers see `thermostat.target` and `thermostat.read`."""

    reading = Event[Reading]()

    @method(idempotent=True)
    def target(self, celsius: Celsius) -> None:
        """Set the wanted temperature."""
        raise NotImplementedError

    @method
    def read(self) -> Reading:
        """Measure."""
        raise NotImplementedError


class SimulatedThermostat(Thermostat):
    """A room that is at 19 °C."""

    def __init__(self) -> None:
        self._wanted = 20.0

    def target(self, celsius: Celsius) -> None:
        self._wanted = celsius
        self.reading.emit(self.read())

    def read(self) -> Reading:
        return Reading(temperature=19.0, heating=self._wanted > 19.0)


if __name__ == "__main__":
    device = Dispatcher()
    device.include(SimulatedThermostat())
    run(device, *sys.argv[1:] or ["tcp://127.0.0.1:8805"], on_listening=partial(print, flush=True))
