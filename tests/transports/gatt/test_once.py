"""Repeats of a request do not run while its response waits, and for half a second after."""

import json

import anyio
import pytest

from jsonrpc_iot.testing import VirtualRadio
from jsonrpc_iot.transports.gatt import RX
from tests.peer.lossy.rig import LATER_SECONDS, Relay, serving

from .rig import raw_central

pytestmark = pytest.mark.anyio

REQUEST = b'{"id":1,"method":"toggle"}'


async def test_repeats_before_a_central_subscribes(radio: VirtualRadio) -> None:
    relay = Relay()
    async with serving(relay, radio.url("lamp")), raw_central(radio, subscribe=False) as central:
        for _ in range(2):
            await central.write(REQUEST, response=False)
            await anyio.sleep(LATER_SECONDS)
        send, heard = anyio.create_memory_object_stream[bytes](9)
        with send, heard:
            await central.client.start_notify(RX, lambda _, value: send.send_nowait(bytes(value)))
            for _ in range(2):
                assert json.loads(await heard.receive()) == {"id": 1, "result": 1}
            await central.write(REQUEST, response=False)
            assert json.loads(await heard.receive()) == {"id": 1, "result": 1}
            await anyio.sleep(LATER_SECONDS)
            await central.write(REQUEST, response=False)  # is a new one by now
            assert json.loads(await heard.receive()) == {"id": 1, "result": 2}
    assert len(relay.ran) == 2
