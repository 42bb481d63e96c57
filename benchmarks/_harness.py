"""Timing, statistics, reports and the facts of the machine. What is measured is not known here.

Contenders run in turns within each repeat, in rotating order, so that noise and frequency changes
hit all of them. A ratio is taken within each repeat; its median and range are what is reported.
"""

import importlib
import importlib.metadata
import operator
import os
import platform
import statistics
from asyncio import Runner
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import repeat as times
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")

Timed: TypeAlias = Callable[[int], float]
"""Runs an operation that many times and returns the seconds it took."""

Comparison: TypeAlias = Literal["<=", ">="]

LIBRARIES = (
    "jsonrpc-iot",
    "anyio",
    "msgspec",
    "trio",
    "uvloop",
    "pyjsonrpc2",
    "json-rpc",
    "pjrpc",
    "ajsonrpc",
    "jsonrpcserver",
    "aiorpcX",
    "orjson",
)


class Options(Struct, frozen=True, kw_only=True):
    """How much to measure.

    Args:
        repeat: rounds, in each of which every contender runs once; `None` for the program's own.
        quick: tiny amounts that show that a program works; its figures mean nothing.
        backend: event loop of the programs that run servers.
    """

    repeat: int | None = None
    quick: bool = False
    backend: str = "asyncio"

    def rounds(self, usual: int, quick: int = 2) -> int:
        """How many rounds to run where `usual` are enough, and `quick` when little is measured."""
        if self.repeat is not None:
            return self.repeat
        return quick if self.quick else usual

    def seconds(self, usual: float) -> float:
        """How long one sample should take where `usual` seconds are enough."""
        return 0.005 if self.quick else usual


class Spread(Struct, frozen=True):
    """Median and range of the samples."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> "Spread":
        """Summarize samples, of which there must be one at least."""
        ordered = sorted(samples)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


class Row(Struct, frozen=True):
    """One measured figure of one contender. `note` tells what to know about it."""

    name: str
    unit: str
    value: Spread
    note: str = ""


class Check(Struct, frozen=True):
    """A ratio next to its target; without a target it is for information."""

    what: str
    ratio: Spread
    comparison: Comparison | None = None
    target: float | None = None
    reached: bool | None = None


class Report(Struct):
    """What one program has to say."""

    benchmark: str
    setup: list[str]
    rows: list[Row] = []
    checks: list[Check] = []
    missing: list[str] = []

    def add(self, name: str, unit: str, samples: Iterable[float], note: str = "") -> None:
        """Add a figure."""
        self.rows.append(Row(name, unit, Spread.of(samples), note))

    def compare(
        self,
        what: str,
        over: Sequence[float],
        under: Sequence[float],
        comparison: Comparison | None = None,
        target: float | None = None,
    ) -> None:
        """Add the ratio of two contenders, sample by sample, and whether it reaches its target."""
        ratio = Spread.of(a / b for a, b in zip(over, under, strict=True))
        reached = None
        if comparison is not None and target is not None:
            holds = operator.le if comparison == "<=" else operator.ge
            reached = bool(holds(ratio.median, target))
        self.checks.append(Check(what, ratio, comparison, target, reached))

    def peer(self, module: str, distribution: str) -> ModuleType | None:
        """Import a peer, or note that it is missing."""
        try:
            return importlib.import_module(module)
        except ImportError:
            if distribution not in self.missing:
                self.missing.append(distribution)
            return None


class Machine(Struct, frozen=True):
    """Where and with what the figures were taken. `load` is the load average of one minute."""

    cpu: str
    cores: int
    load: float
    system: str
    python: str
    libraries: dict[str, str]


def machine() -> Machine:
    """Look up the facts of this machine."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=versions,
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def sync_loop(
    operation: Callable[[], T],
    check: Callable[[T], None],
    clock: Callable[[], float] = perf_counter,
) -> Timed:
    """Time a function.

    Args:
        operation: does the same each time.
        check: raises when a result is wrong; it sees the last of each sample, after the clock.
        clock: gives seconds; `thread_time`, of the processor, where an operation waits for nothing.
    """

    def run(count: int) -> float:
        start = clock()
        for _ in times(None, count - 1):
            operation()
        result = operation()
        taken = clock() - start
        check(result)
        return taken

    return run


def equals(expected: T) -> Callable[[T], None]:
    """A check for `sync_loop` that a result is what it should be."""

    def check(result: T) -> None:
        if result != expected:
            raise AssertionError(f"wrong result: {result!r:.200}")

    return check


def async_loop(
    runner: Runner,
    operation: Callable[[], Awaitable[T]],
    check: Callable[[T], None],
    clock: Callable[[], float] = perf_counter,
) -> Timed:
    """Time an async function in one task of a running asyncio loop; see `sync_loop`."""

    async def measure(count: int) -> float:
        start = clock()
        for _ in times(None, count - 1):
            await operation()
        result = await operation()
        taken = clock() - start
        check(result)
        return taken

    return lambda count: runner.run(measure(count))


def measure(
    contenders: Mapping[str, Timed], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Time contenders in turns.

    Args:
        contenders: by name.
        rounds: samples for each.
        seconds: how long one sample should take at least.

    Returns:
        Seconds per operation: one sample per round for each name.
    """
    counts = {name: _calibrate(timed, seconds) for name, timed in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            samples[name].append(contenders[name](counts[name]) / counts[name])
    return samples


def _calibrate(timed: Timed, seconds: float) -> int:
    timed(1)  # the first operation imports, compiles and fills caches, and says nothing
    count = 1
    while (taken := timed(count)) < seconds:
        growth = 1.2 * seconds / taken if taken > 0 else 10
        count = max(count + 1, int(count * min(growth, 10)))
    return count


def text(report: Report) -> str:
    """Lay a report out as aligned plain text."""
    lines = [f"== {report.benchmark}", *(f"   {line}" for line in report.setup), ""]
    lines += _table(
        ("contender", "median", "min .. max", ""),
        [
            (row.name, f"{figure(row.value.median)} {row.unit}", _range(row.value), row.note)
            for row in report.rows
        ],
    )
    if report.checks:
        lines += [
            "",
            *_table(("ratio", "median", "min .. max", "target"), map(_check, report.checks)),
        ]
    if report.missing:
        lines += ["", f"not installed: {', '.join(report.missing)} (pip install --group bench)"]
    return "\n".join(lines) + "\n"


def _check(check: Check) -> tuple[str, str, str, str]:
    verdict = ""
    if check.target is not None:
        verdict = (
            f"{check.comparison} {check.target:g}  {'reached' if check.reached else 'NOT reached'}"
        )
    return check.what, f"{check.ratio.median:.2f} x", _range(check.ratio), verdict


def machine_text(facts: Machine) -> str:
    """Lay the machine's facts out as plain text."""
    libraries = ", ".join(f"{name} {version}" for name, version in facts.libraries.items())
    return (
        f"{facts.cpu}, {facts.cores} cores, load {facts.load:.2f}; {facts.system}; {facts.python}\n"
        f"{libraries}\n"
    )


def _range(value: Spread) -> str:
    return f"{figure(value.low)} .. {figure(value.high)}"


def figure(value: float) -> str:
    """Spell a number with as many digits as it deserves."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = [heads, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return [
        "   "
        + "  ".join(
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
