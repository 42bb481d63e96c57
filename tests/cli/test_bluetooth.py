"""`discover --ble` on a virtual radio."""

import json
from typing import Any

import anyio
import anyio.to_thread

from jsonrpc_iot import Dispatcher, serve
from jsonrpc_iot.testing import virtual_radio

from .program import run


def heard(transport: str) -> list[dict[str, Any]]:
    """The devices that `discover` hears, with more time on a machine that is busy."""
    rows: list[dict[str, Any]] = []
    for seconds in ("1", "4", "15"):
        if not rows:
            done = run("discover", "--radio", transport, "--timeout", seconds, "--json")
            rows = [row for row in map(json.loads, done.out.splitlines()) if "rssi" in row]
    return rows


def test_devices_that_advertise_are_listed() -> None:
    async def look() -> None:
        async with virtual_radio() as radio:
            address = "F0:F1:F2:F3:F4:F5"
            async with serve(Dispatcher(), radio.url("lamp \x1b", address=address), grace=0):
                rows = await anyio.to_thread.run_sync(heard, radio.transport)
        assert rows == [
            {
                "url": radio.url(address=address),
                "name": "lamp \x1b",
                "via": "ble",
                "address": address,
                "rssi": rows[0]["rssi"],
            }
        ]
        assert rows[0]["rssi"] < 0

    anyio.run(look)


def test_without_such_a_radio() -> None:
    done = run("discover", "--radio", "unix:/nowhere.sock", "--timeout", "1")
    assert done.code != 0
    assert "bumble cannot open unix:/nowhere.sock" in done.err
