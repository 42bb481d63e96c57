"""A thousand devices on UDP behind one gateway: how long calls take, and what each device takes.

Each device is called once a second, over one TCP connection to the gateway. What a device takes is
the growth of the gateway's resident memory beside what a client of the same link takes alone;
without and with an address of its own over HTTP. Linux only: the figures come from /proc.
"""

import gc
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import anyio

from jsonrpc_iot import connect

from ._fleet import MANY, name_of
from ._harness import Options, Report
from ._servers import beside, server
from .memory import allow_open_files, resident

P99_SECONDS = 0.1
KIBIBYTES = 40

_FEW = 20
_SECONDS = 30.0


def run(options: Options) -> Report:
    """Measure and compare."""
    count = 5 * _FEW if options.quick else MANY
    seconds = options.seconds(_SECONDS) * (20 if options.quick else 1)
    report = Report("fleet", [f"{count:,} devices on UDP, each called once a second"])
    if not Path("/proc/self/smaps_rollup").exists():
        report.setup.append("skipped: this system has no /proc/<pid>/smaps_rollup")
        return report
    allow_open_files(4 * MANY)
    latencies, sizes = [], []
    with server("devices") as devices:
        ports = [int(port) for port in devices.address.split()[:count]]
        for _ in range(options.rounds(3, quick=1)):
            with beside(*ports), server("fleet") as gateway:
                latencies.append(anyio.run(_latencies, gateway.port, count, seconds))
            sizes.append({kind: _size(kind, ports) for kind in _KINDS})
    for name, at in ("half of the calls", 49), ("99 % of the calls", 98):
        report.add(f"{name} within", "ms", [each[at] * 1e3 for each in latencies])
    for kind, name in _KINDS.items():
        report.add(name, "KiB", [each[kind] / 1024 for each in sizes])
    p99 = [each[98] for each in latencies]
    report.compare("99 % of the calls / 100 ms", p99, [P99_SECONDS] * len(p99), "<=", 1.0)
    for kind in "fleet", "fleet_with_addresses":
        beside_link = [(each[kind] - each["links"]) / 1024 for each in sizes]
        what = f"{_KINDS[kind]}, beside its link / {KIBIBYTES} KiB"
        report.compare(what, beside_link, [KIBIBYTES] * len(sizes), "<=", 1.0)
    return report


_KINDS = {
    "links": "a client alone",
    "fleet": "a device of the gateway",
    "fleet_with_addresses": "a device with an address of its own",
}


def _size(kind: str, ports: list[int]) -> float:
    """Bytes that each device adds to a process which leads to many."""
    with ExitStack() as stack:
        grown = []
        for some in ports[:_FEW], ports:
            with beside(*some):
                grown.append(resident(stack.enter_context(server(kind))))
        few, many = grown
        return (many - few) / (len(ports) - _FEW)


async def _latencies(port: int, count: int, seconds: float) -> list[float]:
    """The seconds that calls take, from the first percent to the 99th."""
    taken: list[float] = []

    async def call(number: int) -> None:
        begun = perf_counter()
        method = f"{name_of(number)}.wifi.connect"
        await client.call(method, ["home", "secret"])
        taken.append(perf_counter() - begun)

    gc.collect()
    gc.freeze()  # what comes of other programs is not looked through between two calls
    async with connect(f"tcp://127.0.0.1:{port}") as client, anyio.create_task_group() as tasks:
        begun = perf_counter()
        for number in range(round(count * seconds)):
            await anyio.sleep(max(0.0, begun + number / count - perf_counter()))
            tasks.start_soon(call, number % count)
    return quantiles(taken, n=100)
