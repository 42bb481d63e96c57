"""How long a call from the command line takes as a whole process, and an import of the package.

What is measured is processor time, since such a process waits for hardly anything, with bytecode
that is there already. The floor calls the same method with argparse, anyio and msgspec, and checks
nothing.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping

from ._harness import Options, Report
from ._servers import server

TARGET = 1.6

_METHOD, _PARAMS = "wifi.connect", '{"ssid":"home","psk":"secret"}'


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(
        "startup",
        [
            "one process for each call over TCP; processor time of the whole process",
            "floor: the same call with argparse, anyio and msgspec alone",
        ],
    )
    python = [sys.executable]
    cpu: dict[str, list[float]] = {}
    wall: dict[str, list[float]] = {}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with server("ours") as running:
        ours = [*python, "-m", "jsonrpc_iot", "call", f"tcp://127.0.0.1:{running.port}"]
        smallest = [*python, "-m", "benchmarks._smallest_call", "127.0.0.1", str(running.port)]
        contenders = {
            "jsonrpc-iot call": ([*ours, _METHOD, _PARAMS], "null\n"),
            "floor": ([*smallest, _METHOD, _PARAMS], "null\n"),
            "import jsonrpc_iot": ([*python, "-c", "import jsonrpc_iot"], ""),
            "import argparse, anyio, msgspec": (
                [*python, "-c", "import argparse, anyio, msgspec"],
                "",
            ),
            "python alone": ([*python, "-c", "pass"], ""),
        }
        for command, output in contenders.values():
            _once(command, output, environment)  # writes bytecode that is not there
        for _ in range(options.rounds(15, quick=1)):
            for name, (command, output) in contenders.items():
                used, passed = _once(command, output, environment)
                cpu.setdefault(name, []).append(used)
                wall.setdefault(name, []).append(passed)
    for name, samples in cpu.items():
        report.add(name, "ms", [1e3 * sample for sample in samples])
    report.compare("call / floor", cpu["jsonrpc-iot call"], cpu["floor"], "<=", TARGET)
    report.compare("call / floor, by the clock", wall["jsonrpc-iot call"], wall["floor"])
    imports = cpu["import jsonrpc_iot"], cpu["import argparse, anyio, msgspec"]
    report.compare("import jsonrpc_iot / of argparse, anyio, msgspec", *imports)
    return report


def _once(command: list[str], output: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a process; gives its seconds of processor time, and those that passed."""
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.stdout != output:
        raise AssertionError(f"wrong output: {done.stdout!r:.200}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began
