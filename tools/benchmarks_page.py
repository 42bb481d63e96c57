"""Write what benchmarks have measured into docs/benchmarks.md.

    python -m benchmarks --json > asyncio.json
    python -m benchmarks latency --backend trio --json > trio.json
    PYTHONPATH=. python tools/benchmarks_page.py asyncio.json trio=trio.json

The first file is that of everything. What else has measured a program gets a column there, with
the name that stands before the file's. A column `before` stays as it is in the page.
"""

import re
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks._harness import Check, Machine, Report, figure

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "## Figures\n", "## What the figures say\n"
BEFORE = re.compile(r"^\| (?P<name>[^|]+) \| (?P<before>[^|]*) \|", re.MULTILINE)


class Run(Struct):
    """What one file holds."""

    machine: Machine
    reports: list[Report]


def main(whole: str, *others: str) -> None:
    """Rewrite the page."""
    run = _read(whole)
    beside = {name: _read(file) for name, file in (other.split("=") for other in others)}
    head, rest = PAGE.read_text("utf-8").split(BEGIN)
    figures, tail = rest.split(END)
    parts = [_facts(run.machine), "### Targets\n", *_targets({"": run, **beside}), ""]
    for report in run.reports:
        columns = {
            name: found
            for name, other in beside.items()
            for found in other.reports
            if found.benchmark == report.benchmark
        }
        parts += [*_section(report, columns, _before(figures, report.benchmark)), ""]
    PAGE.write_text("\n".join([head + BEGIN, *parts, END.rstrip()]) + "\n" + tail, "utf-8")


def _read(file: str) -> Run:
    return msgspec.json.decode(Path(file).read_bytes(), type=Run)


def _facts(machine: Machine) -> str:
    libraries = [f"{name} {version}" for name, version in machine.libraries.items()]
    return (
        f"One run of everything on {machine.cores} cores of an {machine.cpu} processor, "
        f"{machine.system}, {machine.python}, with {', '.join(libraries[1:])}. Load average before "
        f"it: {machine.load:.2f}. Servers on asyncio unless it says otherwise.\n"
    )


def _targets(runs: dict[str, Run]) -> list[str]:
    lines = ["| program | ratio | median | range | target | |", "|---|---|---|---|---|---|"]
    for name, run in runs.items():
        for report in run.reports:
            lines += [
                _target(report.benchmark, f"{name}: {check.what}" if name else check.what, check)
                for check in report.checks
                if check.target is not None
            ]
    return lines


def _target(program: str, what: str, check: Check) -> str:
    sign = {"<=": "≤", ">=": "≥"}[check.comparison or "<="]
    verdict = "reached" if check.reached else "**not reached**"
    ratio = check.ratio
    span = f"{figure(ratio.low)} to {figure(ratio.high)}"
    return (
        f"| `{program}` | {what} | {ratio.median:.2f} | {span} | {sign} {check.target:g} "
        f"| {verdict} |"
    )


def _section(report: Report, columns: dict[str, Report], before: dict[str, str]) -> list[str]:
    notes = any(row.note for row in report.rows)
    titles = ["", *(["before"] if before else []), "median", "range", *columns]
    titles += [""] if notes else []
    lines = [f"### `{report.benchmark}`\n", f"| {' | '.join(titles)} |"]
    lines += ["|---" * len(titles) + "|"]
    for row in report.rows:
        value = row.value
        cells = [row.name, *([before.get(row.name, "")] if before else [])]
        cells += [f"{figure(value.median)} {row.unit}"]
        cells += [f"{figure(value.low)} to {figure(value.high)}"]
        cells += [_median(other, row.name) for other in columns.values()]
        cells += [row.note] if notes else []
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _median(report: Report, name: str) -> str:
    return next(
        (f"{figure(row.value.median)} {row.unit}" for row in report.rows if row.name == name), ""
    )


def _before(figures: str, program: str) -> dict[str, str]:
    """The column of that name in the section of a program, where it has one."""
    _, mark, section = figures.partition(f"### `{program}`\n")
    section = section.partition("\n### ")[0]
    if not mark or "| before |" not in section:
        return {}
    rows = section.partition("|---")[2]
    return {found["name"]: found["before"] for found in BEFORE.finditer(rows)}


if __name__ == "__main__":
    main(*sys.argv[1:])
