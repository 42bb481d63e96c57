"""A call through a typed proxy against `client.call`, over memory: what the types cost.

Both decode the result into the same type. Both ends run in one process and one asyncio loop, so
that nothing but the client's side differs.
"""

from asyncio import Runner
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from msgspec import Struct

from jsonrpc_iot import Client, Dispatcher, connect, method, serve, service

from ._harness import Options, Report, measure

CALL = "client.call"
PROXY = "proxy"
TARGET = 1.15

SSID, PSK = "home-network-2g", "correct horse battery"


class Status(Struct, frozen=True):
    """What joining a network comes to."""

    ssid: str
    signal: int


@service("wifi")
class Wifi:
    """Both ends' idea of the device."""

    @method
    async def connect(self, ssid: str, psk: str = "") -> Status:
        """Join no network."""
        return Status(ssid, -60)


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report("proxy", ["wifi.connect over memory, one call at a time; time per call"])
    with Runner() as runner:
        contenders = {
            name: partial(_timed, runner, prepare)
            for name, prepare in ((CALL, _plain), (PROXY, _typed))
        }
        samples = measure(contenders, rounds=options.rounds(51), seconds=options.seconds(0.1))
    for name, seconds in samples.items():
        report.add(name, "us", [second * 1e6 for second in seconds])
    report.compare(f"{PROXY} / {CALL}", samples[PROXY], samples[CALL], "<=", TARGET)
    return report


def _plain(client: Client) -> Callable[[], Awaitable[Status]]:
    return lambda: client.call("wifi.connect", {"ssid": SSID, "psk": PSK}, result=Status)


def _typed(client: Client) -> Callable[[], Awaitable[Status]]:
    wifi = client.proxy(Wifi)
    return lambda: wifi.connect(SSID, PSK)


def _timed(
    runner: Runner, prepare: Callable[[Client], Callable[[], Awaitable[Status]]], count: int
) -> float:
    return runner.run(_calls(prepare, count))


async def _calls(prepare: Callable[[Client], Callable[[], Awaitable[Status]]], count: int) -> float:
    """Make that many calls after one that does not count; returns the seconds."""
    dispatcher = Dispatcher()
    dispatcher.include(Wifi())
    async with serve(dispatcher, "memory://proxy"), connect("memory://proxy") as client:
        call = prepare(client)
        result = await call()
        start = anyio.current_time()
        for _ in range(count):
            result = await call()
        taken = anyio.current_time() - start
    if result != Status(SSID, -60):
        raise AssertionError(f"wrong result: {result!r}")
    return taken
