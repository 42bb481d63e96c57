"""Home Assistant itself: entities appear there, are switched, become unavailable and go away.

HOMEASSISTANT_PYTHON names an interpreter that has it, as made by
`uv venv --python 3.13 ha && uv pip install --python ha homeassistant paho-mqtt`.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from jsonrpc_iot import Gateway
from jsonrpc_iot.gateway.homeassistant import HomeAssistant
from jsonrpc_iot.tuya import TuyaDevice
from tests.brokers import Broker, new_mosquitto
from tests.gateway.homeassistant.test_homeassistant import TUYA, VALUES
from tests.places import ROOT
from tests.tuya.test_device import Lamp

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 50.0


class House:
    """Home Assistant in a process of its own.

    Args:
        process: it.
    """

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None
        self._process = process
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.states: dict[str, str | None] = {}

    async def _read(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(await self._lines.receive_until(b"\n", 1 << 20))
        if "entity" in line:
            self.states[line["entity"]] = line["state"]
        return line

    async def ready(self) -> None:
        while "ready" not in await self._read():
            pass

    async def until(self, **states: str | None) -> None:
        """Wait until entities are in states; dots are written as two underscores."""
        expected = {name.replace("__", "."): state for name, state in states.items()}
        while not expected.items() <= self.states.items():
            await self._read()

    async def call(self, domain: str, service: str, entity: str, **data: object) -> None:
        assert self._process.stdin is not None
        order = {"domain": domain, "service": service, "data": {"entity_id": entity, **data}}
        await self._process.stdin.send(json.dumps(order).encode() + b"\n")


@asynccontextmanager
async def house(broker: Broker) -> AsyncIterator[House]:
    python = os.environ.get("HOMEASSISTANT_PYTHON")
    if not python:
        pytest.skip("HOMEASSISTANT_PYTHON names no interpreter with Home Assistant")
    script = str(ROOT / "tests" / "interop" / "house.py")
    command = [python, script, str(broker.port)]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            yield House(process)
        finally:
            process.kill()


async def test_entities_are_switched_become_unavailable_and_go_away() -> None:
    broker = new_mosquitto()
    lamp = Lamp(*VALUES)
    for id in TUYA:
        lamp.mcu.on_datapoint(id)(lamp._take)
    gateway = Gateway()
    try:
        with anyio.fail_after(SECONDS):
            async with house(broker) as there, lamp.mcu, gateway:
                gateway.add("lamp", TuyaDevice(lamp.url, TUYA))
                await there.ready()
                async with HomeAssistant(gateway, broker.url("", topic="/home")):
                    await there.until(
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
                    await there.until(
                        light__lamp_switch="on",
                        switch__lamp_child_lock="on",
                        number__lamp_timer="7",
                        select__lamp_mode="white",
                        fan__lamp_blower="off",
                    )
                    taken = {point.id: point.value for point in lamp.taken}
                    assert taken[2] == 102  # of 1000; 26 of Home Assistant's 255
                    assert taken[8] == 4
                await there.until(light__lamp_switch="unavailable")
                async with HomeAssistant(gateway, broker.url("", topic="/home")):
                    await there.until(light__lamp_switch="on")
                    gateway.remove("lamp")
                    await there.until(light__lamp_switch=None, sensor__lamp_fault=None)
    finally:
        broker.stop()
