"""Calls over a pseudo terminal: a client of ours and a server of ours.

Held against a bare echo of the same bytes: pyserial-asyncio-fast at both ends, where a protocol
sends back what it gets, and does nothing else, and another one counts until all is back. Each
server is a process of its own. The line takes no time, so these are the costs of the programs. The
same call over TCP tells what of it is the serial line's.
"""

import asyncio
import sys
from contextlib import ExitStack
from functools import partial

from anyio import run as run_async

from jsonrpc_iot import connect
from jsonrpc_iot.protocol.tuya.frame import Command, encode_frame

from ._harness import Options, Report, Timed, measure
from ._servers import server

CALL = "client.call"
TCP = "client.call, tcp"
RAW = "a bare client, serve"
ECHO = "a bare client, bare echo"

_PARAMS = {"ssid": "home-network-2g", "psk": "correct horse battery"}


def _frames() -> tuple[bytes, bytes]:
    """A request and its reply."""
    request = (
        b'{"method":"wifi.connect_idempotent","params":'
        b'{"ssid":"home-network-2g","psk":"correct horse battery"},"id":1234567890}'
    )
    reply = b'{"id":1234567890,"result":null}'
    return encode_frame(Command.RPC, request), encode_frame(Command.RPC, reply)


def run(options: Options) -> Report:
    """Measure and compare."""
    request, reply = _frames()
    report = Report(
        "uart",
        [
            "wifi.connect over a pseudo terminal, one call at a time, all on asyncio",
            f"the echo sends back a request: {len(request)} bytes; the reply has {len(reply)}",
        ],
    )
    if sys.platform != "linux":
        report.setup.append(
            "runs on Linux alone, where a pseudo terminal's near end has a name too"
        )
        return report
    if report.peer("serial_asyncio_fast", "pyserial-asyncio-fast") is None:
        return report
    from ._uart_echo import exchange

    with ExitStack() as stack:
        ours = stack.enter_context(server("uart"))
        bare = stack.enter_context(server("uart"))
        echo = stack.enter_context(server("uart_echo"))
        tcp = stack.enter_context(server("ours"))
        path = bare.address.removeprefix("uart://")
        contenders: dict[str, Timed] = {
            CALL: lambda count: run_async(_calls, ours.address, count),
            TCP: lambda count: run_async(_calls, f"tcp://127.0.0.1:{tcp.port}", count),
            RAW: lambda count: asyncio.run(exchange(path, request, reply, count)),
            ECHO: lambda count: asyncio.run(exchange(echo.address, request, request, count)),
        }
        samples = measure(contenders, rounds=options.rounds(15), seconds=options.seconds(0.3))
    for name, seconds in samples.items():
        report.add(name, "us", [1e6 * each for each in seconds])
    report.compare("client.call / bare echo", samples[CALL], samples[ECHO], "<=", 1.5)
    report.compare("client.call / the same over TCP", samples[CALL], samples[TCP])
    report.compare("a bare client, serve / bare echo", samples[RAW], samples[ECHO])
    return report


async def _calls(url: str, count: int) -> float:
    """Make calls, one after the other, after one that does not count; returns the seconds."""
    async with connect(url) as client:
        call = partial(client.call, "wifi.connect_idempotent", _PARAMS)
        await call()
        start = asyncio.get_running_loop().time()
        for _ in range(count):
            if await call() is not None:
                raise AssertionError("wrong reply")
        return asyncio.get_running_loop().time() - start
