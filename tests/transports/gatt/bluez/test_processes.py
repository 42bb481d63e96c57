"""Both ends as programs of their own, as the shell starts them."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.places import ROOT
from tests.services._wifi import HOME, KEY
from tests.waiting import SECONDS

from .fake_bluez import FakeBluez
from .fake_link import Link

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="BlueZ is Linux's"),
]

COMMAND = [sys.executable, "-m", "jsonrpc_iot"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The programs choose their loop by themselves."""
    return "asyncio"


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run a command to its end; its exit code and what it says."""
    with anyio.fail_after(SECONDS):
        done = await anyio.run_process([*COMMAND, *arguments], check=False, cwd=ROOT)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@asynccontextmanager
async def simulated(url: str, *options: str) -> AsyncIterator[Process]:
    """A simulated device that serves, and is killed in the end."""
    command = [*COMMAND, "simulate", "--bind", url, *options]
    async with await anyio.open_process(command, cwd=ROOT, stderr=None) as process:
        try:
            assert process.stdout
            lines = BufferedByteReceiveStream(process.stdout)
            with anyio.fail_after(SECONDS):
                if options:
                    assert (await lines.receive_until(b"\n", 100)).startswith(b"improv gatt://")
                assert (await lines.receive_until(b"\n", 100)).startswith(b"listening gatt://")
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def test_the_command_line(fake: FakeBluez, link: Link) -> None:
    async with simulated("gatt://?name=kitchen lamp") as device:
        url = "gatt://kitchen%20lamp"
        code, out, err = await run("call", url, "echo", "value=hello")
        assert (code, json.loads(out)) == (0, "hello"), err
        code, out, err = await run("call", url, "--stream", "wifi.scan")
        assert code == 0, err
        assert len(out.splitlines()) > 3
        code, out, err = await run("discover", "--ble", "--json", "--timeout", "0.7")
        assert code == 0, err
        found = [json.loads(line)["url"] for line in out.splitlines()]
        assert f"gatt://{link.address}" in found
        started = anyio.current_time()
        code, _, _ = await run("call", "gatt://", "echo")  # ends at once
        assert code == 2
        begun = anyio.current_time()
        code, _, err = await run("call", "--timeout", "1", "gatt://nobody", "echo")
        assert code == 124, err
        assert "heard only kitchen lamp" in err
        assert anyio.current_time() - begun < 3 + 3 * (begun - started)
        device.terminate()
        with anyio.fail_after(SECONDS):
            assert await device.wait() == 0
    await fake.until_app_left()
    assert fake.advertised is None


async def test_a_device_that_is_killed(fake: FakeBluez, link: Link) -> None:
    async with simulated("gatt://?name=lamp") as first:
        code, _, err = await run("call", "gatt://lamp", "echo", "value=1")
        assert code == 0, err
        first.kill()
        await fake.until_app_left()
    async with simulated("gatt://?name=lamp"):
        code, _, err = await run("call", "gatt://lamp", "echo", "value=1")
        assert code == 0, err


async def test_a_device_is_set_up_by_improv_beside_rpc(fake: FakeBluez) -> None:
    url = "gatt://?name=lamp"
    async with simulated(url, "--improv", url) as device:
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                [*COMMAND, "provision", "gatt://lamp", "--ssid", HOME, "--psk-stdin"],
                input=KEY.encode(),
                cwd=ROOT,
            )
        assert b"does not say where it is reached" in done.stderr
        code, out, err = await run("call", "gatt://lamp", "wifi.status")
        assert code == 0, err
        assert json.loads(out)["ssid"] == HOME
        device.terminate()
        with anyio.fail_after(SECONDS):
            assert await device.wait() == 0
    assert not fake.apps
    assert not fake.advertisements
