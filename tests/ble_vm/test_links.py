"""Links that come and go: several centrals, adapters switched off, devices that restart."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import Process

from jsonrpc_iot import ChannelClosed, Client, ConnectFailed, TransportError, connect, serve
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.gatt import open_gatt
from jsonrpc_iot.transports.gatt.bumble.backend import backend_on
from jsonrpc_iot.transports.gatt.bumble.radio import open_radio
from tests.transports.gatt.rig import device

from .daemons import PATIENCE, Bluez, program
from .test_sizes import DEVICE, LAMP

pytestmark = [pytest.mark.anyio, pytest.mark.ble]

ADDRESS = "00:BB:00:00:AA:01"
"""Of hci1."""

LINUX = tuple(int(part) for part in os.uname().release.split(".")[:2])


def version() -> tuple[int, ...]:
    """Of BlueZ."""
    said = subprocess.run([*program("bluetoothd"), "--version"], capture_output=True, check=True)
    return tuple(int(part) for part in said.stdout.decode().split("."))


async def call_until(client: Client, value: int) -> None:
    """Call until somebody answers."""
    while True:
        try:
            assert await client.call("echo", [value], idempotent=True, timeout=5) == value
        except (ChannelClosed, TransportError, TimeoutError):
            await anyio.sleep(0.2)
        else:
            return


async def test_calls_from_both_ends(bluez: Bluez, caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(PATIENCE):
        async with (
            serve(device(), DEVICE) as server,
            connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as client,
        ):
            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(call_until, client, number)
            async with client.notifications() as news:
                assert server.broadcast("changed", [1]) == 1
                assert (await anext(news)).method == "changed"
    assert "Does Not Exist" not in caplog.text


async def test_searches_at_the_same_time(bluez: Bluez) -> None:
    with anyio.fail_after(PATIENCE):
        async with serve(device(), DEVICE), anyio.create_task_group() as tasks:
            tasks.start_soon(open_channel, "gatt://nobody?adapter=hci0")
            await anyio.sleep(0.5)
            async with connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as client:
                assert await client.call("echo", [1]) == 1
            tasks.cancel_scope.cancel()


async def test_two_centrals_at_once(bluez: Bluez, radio: str) -> None:
    if version() < (5, 76):
        pytest.skip("BlueZ tells its centrals apart from 5.76 on")
    with anyio.fail_after(PATIENCE):
        async with (
            serve(device(), f"{DEVICE}&centrals=2") as server,
            connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as one,
            connect(
                f"{radio}?address={ADDRESS}", connect_timeout=PATIENCE, timeout=PATIENCE
            ) as other,
        ):
            for number in range(10):
                assert await one.call("echo", [number]) == number
                assert await other.call("echo", [-number]) == -number
            assert len(server.peers) == 2


async def test_one_central_at_a_time(bluez: Bluez, radio: str) -> None:
    """Another is disconnected, and the first goes on, for which BlueZ 5.82 has it reconnect."""
    lamp = connect(LAMP, connect_timeout=PATIENCE, reconnect=True)
    with anyio.fail_after(PATIENCE):
        async with serve(device(), DEVICE), lamp as one:
            assert await one.call("echo", [1]) == 1
            with pytest.raises((ChannelClosed, TransportError, TimeoutError)):
                async with connect(f"{radio}?address={ADDRESS}", timeout=5) as other:
                    await other.call("echo", [2])
            await call_until(one, 3)


async def test_the_smallest_mtu(bluez: Bluez, radio: str) -> None:
    """A central that asks for no larger one hears what fits, whole."""
    with anyio.fail_after(PATIENCE):
        async with (
            serve(device(), DEVICE) as server,
            open_radio(Url.parse(radio), "central", "", ConnectFailed) as adapter,
        ):
            adapter.gatt_server.max_mtu = 23  # as bluetoothd asks for a larger one
            using = backend_on(adapter, 23)
            async with await open_gatt(ADDRESS, backend=using.client, scanner=using.scanner) as one:
                await one.send(b'{"id":1,"method":"echo","params":[1]}')  # a long write
                while not server.peers:  # noqa: ASYNC110  # nothing tells
                    await anyio.sleep(0.1)
                assert server.broadcast("12345") == 1
                assert server.broadcast("123456") == 0
                assert await one.receive() == b'{"method":"12345"}'


@pytest.mark.skipif(LINUX < (6, 12), reason="Linux 6.1 crashes when an adapter with links goes off")
async def test_the_adapter_of_a_device_is_switched_off_and_on(bluez: Bluez) -> None:
    with anyio.fail_after(2 * PATIENCE):
        async with (
            serve(device(), DEVICE),
            connect(LAMP, connect_timeout=PATIENCE, reconnect=True) as client,
        ):
            assert await client.call("echo", [1]) == 1
            await bluez.switch("hci1", on=False)
            await anyio.sleep(1)
            await bluez.switch("hci1", on=True)
            await call_until(client, 2)


@asynccontextmanager
async def simulated() -> AsyncIterator[Process]:
    """A device in a process of its own."""
    command = [sys.executable, "-m", "jsonrpc_iot", "simulate", "--bind", DEVICE]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            assert process.stdout
            assert (await process.stdout.receive()).startswith(b"listening")
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def test_a_device_that_is_killed_while_clients_are_connected(bluez: Bluez) -> None:
    with anyio.fail_after(2 * PATIENCE):
        async with (
            simulated() as first,
            connect(LAMP, connect_timeout=PATIENCE, reconnect=True) as client,
        ):
            assert await client.call("echo", [1]) == 1
            first.kill()
            await first.wait()
            async with simulated():
                await call_until(client, 2)
        async with simulated(), connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as client:
            assert await client.call("echo", [3]) == 3


async def test_a_device_that_restarts_with_its_handles_moved(bluez: Bluez) -> None:
    other = "gatt://?name=other&adapter=hci1&service=abcd&tx=abce&rx=abcf"
    with anyio.fail_after(2 * PATIENCE):
        async with (
            serve(device(), DEVICE),
            connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as client,
        ):
            assert await client.call("echo", [1]) == 1
        async with (
            serve(device(), other),
            serve(device(), DEVICE),
            connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as client,
        ):
            assert await client.call("echo", [2]) == 2
        async with (
            serve(device(), DEVICE),
            connect(LAMP, connect_timeout=PATIENCE, timeout=PATIENCE) as client,
        ):
            assert await client.call("echo", [3]) == 3
