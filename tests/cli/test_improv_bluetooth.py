"""`--improv gatt+bumble://…`: a simulated device that is set up over a radio in memory."""

import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.ble import encode_call
from jsonrpc_iot.protocol.improv.messages import Call, Command, State
from jsonrpc_iot.services.improv import open_client
from jsonrpc_iot.testing import VirtualRadio, virtual_radio
from tests.services._wifi import HOME, KEY
from tests.services.improv.test_device_on_bumble import Phone
from tests.waiting import SECONDS

from .program import Running, listening, run, started

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("asyncio"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGUSR1"),
]

T = TypeVar("T")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The programs choose their loop by themselves."""
    return "asyncio"


async def in_thread(work: Callable[[], T]) -> T:
    """Do what blocks, while the radio goes on."""
    with anyio.fail_after(SECONDS):
        return await anyio.to_thread.run_sync(work)


@asynccontextmanager
async def simulated(radio: VirtualRadio, *options: str) -> AsyncIterator[tuple[str, Running]]:
    """A device; its URL on the network and the program."""
    url = radio.url("lamp")
    arguments = ("simulate", "--improv", url, "--bind", "tcp://127.0.0.1:0", *options)
    with started(*arguments) as program:
        assert await in_thread(program.next_line) == f"improv {url}\n"
        yield await in_thread(partial(listening, program)), program


async def test_a_simulated_device_is_set_up() -> None:
    async with virtual_radio() as radio, simulated(radio, "--trace") as (url, program):
        provision = ("provision", radio.url("lamp"), "--ssid", HOME, "--psk-stdin")
        done = await in_thread(partial(run, *provision, stdin=KEY.encode()))
        assert done == (0, f"{url}\n", "")
        status = await in_thread(partial(run, "call", url, "wifi.status"))
        assert status.result["ssid"] == HOME
        served = await in_thread(program.stop)
    assert HOME in served.err
    for secret in (KEY, KEY.encode().hex(" ")):
        assert secret not in served.err


async def test_people_near_the_device(tmp_path: Path) -> None:
    """It shows which one it is, and is set up after its button was pressed."""
    shown = tmp_path / "it is this one"
    options = ("--wants-button", "--identify", f"touch '{shown}'")
    async with virtual_radio() as radio, simulated(radio, *options) as (_, program):
        async with open_client(radio.url("lamp")) as client:
            assert await client.find() == (State.AUTHORIZATION_REQUIRED, [])
            program.process.send_signal(signal.SIGUSR1)
            await client.authorized()
        async with Phone.near(radio) as phone:
            await phone.write(encode_call(Call(Command.IDENTIFY)))
            capabilities = await phone.client.read_gatt_char(ble.CAPABILITIES)
            assert bytes(capabilities) == b"\x07"
        with anyio.fail_after(SECONDS):
            while not shown.exists():  # noqa: ASYNC110  # there is no event
                await anyio.sleep(0.01)


async def test_a_command_that_does_not_run() -> None:
    async with virtual_radio() as radio:
        for command, problem in (
            ("/nowhere/blink", "--identify: /nowhere/blink does not run"),
            ("false", "--identify: false ended with 1"),
        ):
            async with (
                simulated(radio, "--identify", command) as (_, program),
                Phone.near(radio) as phone,
            ):
                await phone.write(encode_call(Call(Command.IDENTIFY)))
                line = await in_thread(partial(program.wait_for_error, "jsonrpc-iot"))
                assert problem in line


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--improv", "uart+pty://", "--wants-button"), "are for --improv gatt"),
        (("--identify", "true"), "are for --improv gatt"),
        (("--improv", "gatt://?name=lamp", "--identify", "'"), "No closing quotation"),
        (("--improv", "gatt://?name=lamp", "--identify", ""), "no program"),
        (("--improv", "gatt://lamp"), "name=lamp"),
        (("--improv", "gatt+bumble://usb:0?name=lamp"), "leave it to BlueZ"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], problem: str) -> None:
    done = run("simulate", "--bind", "gatt+bumble://usb:0?name=lamp", *options)
    assert done.code == 2
    assert problem in done.err
