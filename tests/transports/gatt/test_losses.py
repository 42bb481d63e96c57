"""Links that end in the middle: of a call, of a process, of the radio."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import anyio
import pytest
from bumble.hci import HCI_ErrorCode

from jsonrpc_iot import CallTimeout, ChannelClosed, Client, connect, serve
from jsonrpc_iot.testing import VirtualRadio
from tests.places import ROOT
from tests.waiting import SECONDS

from .rig import channel_to, device, foreign_device

pytestmark = pytest.mark.anyio


DEVICE = """
import sys
from jsonrpc_iot import Dispatcher, run

device = Dispatcher()

@device.method
def echo(value: object) -> object:
    return value

@device.method
async def wait() -> None:
    import anyio
    await anyio.sleep_forever()

run(device, sys.argv[1])
"""


@contextmanager
def process(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A device in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DEVICE, url]
    with subprocess.Popen(command, env=environment) as started:
        try:
            yield started
        finally:
            started.kill()


async def call_until(client: Client, value: int) -> None:
    """Call until somebody answers."""
    while True:
        try:
            assert await client.call("echo", [value], idempotent=True, timeout=1) == value
        except (CallTimeout, ChannelClosed):
            continue
        return


async def test_a_killed_process_fails_open_calls_and_its_successor_is_found(
    radio: VirtualRadio,
) -> None:
    with anyio.fail_after(3 * SECONDS):
        async with anyio.create_task_group() as tasks:
            with process(radio.url("lamp")) as first:
                async with connect(
                    radio.url("lamp"), reconnect=True, connect_timeout=SECONDS
                ) as client:
                    assert await client.call("echo", [1]) == 1
                    failed = anyio.Event()

                    async def wait() -> None:
                        with pytest.raises(ChannelClosed):
                            await client.call("wait", timeout=None)
                        failed.set()

                    tasks.start_soon(wait)
                    await client.call("echo", [2])
                    first.send_signal(signal.SIGKILL)
                    with anyio.fail_after(1):
                        await failed.wait()
                    with process(radio.url("lamp")):
                        await call_until(client, 3)


async def test_a_radio_that_is_cut_and_comes_back(radio: VirtualRadio) -> None:
    """Both ends lose their adapters, and open them again."""
    with anyio.fail_after(2 * SECONDS):
        async with (
            serve(device(), radio.url("lamp"), grace=0.1),
            connect(radio.url("lamp"), reconnect=True, timeout=SECONDS) as client,
            anyio.create_task_group() as tasks,
        ):
            failed = anyio.Event()

            async def wait() -> None:
                with pytest.raises(ChannelClosed, match="outcome unknown"):
                    await client.call("wait", timeout=None)
                failed.set()

            tasks.start_soon(wait)
            assert await client.call("echo", [1]) == 1
            radio.cut()
            with anyio.fail_after(1):
                await failed.wait()
            await call_until(client, 2)


async def test_a_device_that_disconnects_ends_the_channel(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            foreign_device(radio, lambda *_: None) as foreign,
            channel_to(radio) as channel,
        ):
            (connection,) = foreign.device.connections.values()
            await connection.disconnect(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
            with pytest.raises(anyio.BrokenResourceError):
                await channel.receive()
            with pytest.raises(anyio.BrokenResourceError):
                await channel.send(b"[1]")


async def test_a_link_lost_while_a_write_waits_for_its_answer(radio: VirtualRadio) -> None:
    def write(*_: object) -> None:
        raise RuntimeError("so that the write is never answered")

    with anyio.fail_after(SECONDS):
        async with (
            foreign_device(radio, write) as foreign,
            channel_to(radio) as channel,
            anyio.create_task_group() as tasks,
        ):
            (connection,) = foreign.device.connections.values()
            tasks.start_soon(connection.disconnect)
            with pytest.raises(anyio.BrokenResourceError):
                await channel.send(b"[1]")


async def test_the_server_forgets_centrals_that_are_gone(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with serve(device(), radio.url("lamp"), grace=0.1) as server:
            for number in range(5):
                async with connect(radio.url("lamp")) as client:
                    assert await client.call("echo", [number]) == number
                    assert len(server.peers) == 1
                while server.peers:  # noqa: ASYNC110  # nothing tells
                    await anyio.sleep(0.01)


async def test_a_server_that_ends_disconnects_its_centrals(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with AsyncExitStack() as stack:
            async with serve(device(), radio.url("lamp"), grace=0.1):
                channel = await stack.enter_async_context(channel_to(radio))
            with pytest.raises(anyio.BrokenResourceError):
                await channel.receive()
