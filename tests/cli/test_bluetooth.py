"""`discover --ble` on a virtual radio."""

import json

import anyio
import anyio.to_thread

from jsonrpc_iot import Dispatcher, serve
from jsonrpc_iot.testing import virtual_radio

from .program import run


def test_devices_that_advertise_are_listed() -> None:
    async def look() -> None:
        async with virtual_radio() as radio:
            address = "F0:F1:F2:F3:F4:F5"
            async with serve(Dispatcher(), radio.url("lamp \x1b", address=address), grace=0):
                arguments = ("discover", "--radio", radio.transport, "--timeout", "1", "--json")
                done = await anyio.to_thread.run_sync(run, *arguments)
        rows = [row for row in map(json.loads, done.out.splitlines()) if "rssi" in row]
        assert rows == [
            {
                "url": radio.url(address=address),
                "address": address,
                "name": "lamp \x1b",
                "rssi": rows[0]["rssi"],
            }
        ]
        assert rows[0]["rssi"] < 0

    anyio.run(look)


def test_without_such_a_radio() -> None:
    done = run("discover", "--radio", "unix:/nowhere.sock", "--timeout", "1")
    assert done.code != 0
    assert "bumble cannot open unix:/nowhere.sock" in done.err
