"""Repeats of a request do not run while its response waits, and for half a second after."""

import json
import sys

import anyio
import pytest

from tests.peer.lossy.rig import LATER_SECONDS, Relay, serving
from tests.transports.gatt.test_once import REQUEST

from .fake_bluez import FakeBluez
from .rig import URL

pytestmark = pytest.mark.anyio


@pytest.mark.skipif(sys.platform != "linux", reason="BlueZ is Linux's")
async def test_repeats_while_bluetoothd_does_not_take_the_response(fake: FakeBluez) -> None:
    relay = Relay()
    link = fake.links[0]
    async with serving(relay, URL) as server:
        await link.connect()
        await link.subscribe()
        await link.write(b'{"method":"rpc.ping","id":9}', "command")
        assert json.loads((await link.hear())[0]) == {"id": 9, "result": True}
        link.reads = False
        for _ in range(1_000):  # more than the socket holds
            server.broadcast("changed", ["x" * 180])
        for _ in range(2):
            await link.write(REQUEST, "command")
            await anyio.sleep(LATER_SECONDS)
        link.reads = True
        link._read()
        answers: list[bytes] = []
        while not answers:
            answers = [each for each in await link.hear() if b"result" in each]
        await link.write(REQUEST, "command")
        while len(answers) < 2:
            answers += [each for each in await link.hear() if b"result" in each]
    assert [json.loads(each) for each in answers] == [{"id": 1, "result": 1}] * 2
    assert len(relay.ran) == 1
