"""`provision`: tells a new device of a network, by Improv Wi-Fi."""

import getpass
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

import anyio

from jsonrpc_iot import UsageError
from jsonrpc_iot.protocol.text import escape
from jsonrpc_iot.services.improv import ErrorState, ImprovError, State, open_client

from ._options import TraceOption, duration
from ._output import Tracer, explain, print_text, progress
from ._params import read_stdin
from ._run import HINT
from .command.declare import Argument, Given, Offer, Option


def _complete(beginning: str, given: Given) -> list[Offer]:
    return [Offer(f"{scheme}://") for scheme in ("uart", "gatt", "gatt+bumble")]


def provision(
    url: Annotated[
        str,
        Argument(
            "URL",
            "Where the device is: uart:///dev/ttyUSB0, or gatt://NAME over Bluetooth LE.",
            _complete,
        ),
    ],
    *,
    ssid: Annotated[str, Option(metavar="NAME", help="The network's name.")],
    psk_stdin: Annotated[
        bool,
        Option(
            "--psk-stdin",
            help="Read the network's key from standard input; by default it is asked for on the "
            "terminal. Nothing stands for an open network.",
        ),
    ] = False,
    timeout: Annotated[
        float, duration("How long to look for the device, and then to wait for the network.")
    ] = 40.0,
    trace: TraceOption = False,
) -> None:
    """Get a new device onto a Wi-Fi network, and print its URLs there.

    The device speaks Improv Wi-Fi. No key is shown, by --trace neither.
    """
    key = _key_from_stdin() if psk_stdin else _key_from_terminal(ssid)
    run = partial(_provision, url, ssid, key, timeout, Tracer(url) if trace else None)
    with progress(f"joining {ssid}"):
        urls = anyio.run(run)
    for each in urls:
        print_text(escape(each))
    if not urls:
        explain(f"the device is on {ssid}, and does not say where it is reached")


async def _provision(
    url: str, ssid: str, key: str, timeout: float, tracer: Tracer | None
) -> list[str]:
    async with AsyncExitStack() as stack:
        with anyio.fail_after(timeout):
            client = await stack.enter_async_context(open_client(url, tracer))
        state, _ = await client.find(timeout)
        if state is State.AUTHORIZATION_REQUIRED:
            explain("press the device's button")
            await client.authorized(timeout)
        try:
            return await client.provision(ssid, key, timeout)
        except ImprovError as error:
            if error.code == ErrorState.UNABLE_TO_CONNECT:
                error.add_note(f"{HINT}is the key right, and the network within its reach?")
            raise


def _key_from_stdin() -> str:
    try:
        text = read_stdin().decode()
    except UnicodeDecodeError:
        raise UsageError("the key on standard input is no UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def _key_from_terminal(ssid: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("give the key on standard input, with --psk-stdin")
    return getpass.getpass(f"Key of {escape(ssid)} (none for an open network): ")
