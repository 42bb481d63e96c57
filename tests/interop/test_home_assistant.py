"""Home Assistant itself: entities appear there, are switched, become unavailable and go away.

HOMEASSISTANT_PYTHON names an interpreter that has it, as `make test-foreign` installs it.
"""

import anyio
import pytest

from jsonrpc_iot import Gateway
from jsonrpc_iot.gateway.homeassistant import HomeAssistant
from jsonrpc_iot.tuya import TuyaDevice
from tests.brokers import new_mosquitto
from tests.gateway.homeassistant.test_homeassistant import TUYA, VALUES
from tests.interop.foreign import Foreign, foreign, interpreter
from tests.tuya.test_device import Lamp

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 50.0


class House(Foreign):
    """Home Assistant in a process of its own."""

    async def see(self, **states: str | None) -> None:
        """Wait until entities are in states; dots are written as two underscores."""
        await self.until({name.replace("__", "."): state for name, state in states.items()})

    async def call(self, domain: str, service: str, entity: str, **data: object) -> None:
        await self.order(domain=domain, service=service, data={"entity_id": entity, **data})


async def test_entities_are_switched_become_unavailable_and_go_away() -> None:
    python = interpreter("HOMEASSISTANT_PYTHON", "Home Assistant")
    broker = new_mosquitto()
    lamp = Lamp(*VALUES)
    for id in TUYA:
        lamp.mcu.on_datapoint(id)(lamp._take)
    gateway = Gateway()
    try:
        with anyio.fail_after(SECONDS):
            async with (
                foreign(House, python, "house.py", broker.port) as there,
                lamp.mcu,
                gateway,
            ):
                gateway.add("lamp", TuyaDevice(lamp.url, TUYA))
                await there.ready()
                async with HomeAssistant(gateway, broker.url("", topic="/home")):
                    await there.see(
                        light__lamp_switch="on",
                        select__lamp_mode="colour",
                        number__lamp_timer="5",
                        sensor__lamp_fault="2",
                        binary_sensor__lamp_motion="off",
                        fan__lamp_blower="off",
                        switch__lamp_child_lock="off",
                    )
                    await there.call("light", "turn_off", "light.lamp_switch")
                    await there.call("light", "turn_on", "light.lamp_switch", brightness_pct=10)
                    await there.call("switch", "turn_on", "switch.lamp_child_lock")
                    await there.call("number", "set_value", "number.lamp_timer", value=7)
                    await there.call("select", "select_option", "select.lamp_mode", option="white")
                    await there.call("fan", "set_percentage", "fan.lamp_blower", percentage=100)
                    await there.see(
                        light__lamp_switch="on",
                        switch__lamp_child_lock="on",
                        number__lamp_timer="7",
                        select__lamp_mode="white",
                        fan__lamp_blower="off",
                    )
                    taken = {point.id: point.value for point in lamp.taken}
                    assert taken[2] == 102  # of 1000; 26 of Home Assistant's 255
                    assert taken[8] == 4
                await there.see(light__lamp_switch="unavailable")
                async with HomeAssistant(gateway, broker.url("", topic="/home")):
                    await there.see(light__lamp_switch="on")
                    gateway.remove("lamp")
                    await there.see(light__lamp_switch=None, sensor__lamp_fault=None)
    finally:
        broker.stop()
