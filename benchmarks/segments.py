"""A result of 1 MB over UDP in segments, held against the same over TCP.

Each server is a process of its own; the clients run in this one, one call after the other.
"""

from contextlib import ExitStack
from functools import partial
from time import perf_counter

import anyio

from jsonrpc_iot import connect

from ._harness import Options, Report, Timed, measure
from ._servers import server

SIZE = 1_000_000
UDP = "segmented UDP, 1 MB result"
TCP = "TCP, 1 MB result"


def run(options: Options) -> Report:
    """Measure and compare."""
    backend = options.backend
    report = Report(
        "segments",
        [
            f"a result of {SIZE:,} bytes, one call at a time; servers and clients on {backend}",
            "UDP with packets of 1,400 bytes, ?segment=1, on a link that loses nothing",
        ],
    )
    with ExitStack() as stack:
        load: dict[str, Timed] = {}
        for name, kind in ((UDP, "big_udp"), (TCP, "big_tcp")):
            address = stack.enter_context(server(kind, backend)).address
            load[name] = partial(_on, backend, address)
        samples = measure(load, rounds=options.rounds(9), seconds=options.seconds(0.5))
    for name, seconds in samples.items():
        report.add(name, "MB/s", [SIZE / 1e6 / each for each in seconds])
    report.compare("segmented UDP / TCP, 1 MB result", samples[UDP], samples[TCP], "<=", 3.0)
    return report


def _on(backend: str, url: str, count: int) -> float:
    """Call on an event loop; returns the seconds of the calls."""
    if backend == "trio":
        return anyio.run(_calls, url, count, backend="trio")
    uvloop = {"use_uvloop": backend == "uvloop"}
    return anyio.run(_calls, url, count, backend_options=uvloop)


async def _calls(url: str, count: int) -> float:
    async with connect(url) as client:
        await client.call("rpc.ping")
        result = ""
        start = perf_counter()
        for _ in range(count):
            result = await client.call("big", [SIZE], result=str)
        taken = perf_counter() - start
        if len(result) != SIZE:
            raise AssertionError(f"a result of {len(result)} bytes")
        return taken
