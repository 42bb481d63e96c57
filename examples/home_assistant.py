"""A lamp behind a gateway, shown to Home Assistant at an MQTT broker."""

import sys

import anyio
from msgspec import Struct

from jsonrpc_iot import Dispatcher, Event, Gateway, method, serve, service
from jsonrpc_iot.gateway.homeassistant import HomeAssistant, Look, Switch


class State(Struct):
    on: bool
    level: int
    watts: float


@service("lamp")
class Lamp:
    changed = Event[State]()

    @method
    async def turn(self, on: bool) -> None:  # a switch, as `changed` has a field of that name
        self.changed.emit(State(on, 100, 7.5))

    @method(entity=Switch(state="lamp.changed.level", name="Night light", icon="mdi:weather-night"))
    async def night(self, on: bool) -> None:
        self.changed.emit(State(on, 5 if on else 0, 0.4))

    @method(button=True)
    async def identify(self) -> None:
        """Blink."""


async def main(broker: str) -> None:
    lamp, gateway = Dispatcher(title="Lamp"), Gateway()
    lamp.include(Lamp())
    async with serve(lamp, "tcp://127.0.0.1:0") as device:
        gateway.add("lamp", device.urls[0])
        looks = {"lamp": Look("Bedside lamp", area="Bedroom")}
        async with gateway, HomeAssistant(gateway, broker, looks=looks):
            print("shown", flush=True)
            await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
