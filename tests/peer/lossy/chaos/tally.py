"""What a row of the table counts, from what the device and its callers have noted."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from msgspec import Struct, field


class Tally(Struct, kw_only=True):
    """One row.

    Args:
        name: of the transport.
        calls: that were begun.
        answered: with the right result.
        unknown: with "not known whether it ran".
        twice: keys that were run more than once.
        lost: answered with success but not run, or neither answered nor ended with an error within
            the timeout and two seconds.
        wrong: answered with what is for another key, or is not whole.
        open: that never ended.
        leaked: what was held for nobody in the end, as text.
        restarts: how often the device was killed.
        late: keys that were run again because of copies that no device can tell from a new request;
            see `Weather`. That is shown, but no fault.
        sessions: that were begun, where links are sealed and packets are datagrams.
    """

    name: str
    calls: int = 0
    answered: int = 0
    unknown: int = 0
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    restarts: int = 0
    late: list[str] = field(default_factory=list)
    sessions: int = 0

    @property
    def faults(self) -> dict[str, list[str]]:
        """By column, what must not be."""
        columns = ("twice", "lost", "wrong", "open", "leaked")
        return {name: found for name in columns if (found := getattr(self, name))}


def count(
    name: str,
    device_log: Path,
    callers_log: Path,
    untold: Mapping[str, int],
    held: Mapping[str, int],
    restarts: int = 0,
) -> Tally:
    """Compare what was run with what the callers were told.

    Args:
        name: of the transport.
        device_log: a line `pid method key` for each execution, of other calls too.
        callers_log: as `callers` writes it.
        untold: by key, how many copies came that no device can tell from a new request.
        held: what the device held in the end.
        restarts: how often it was killed.
    """
    tally = Tally(name=name, restarts=restarts)
    begun: dict[str, str] = {}
    came_to: dict[str, str] = {}
    leaks = [("device", held)]
    for line in map(json.loads, callers_log.read_text().splitlines()):
        if "killed" in line:  # nobody is left who could be told
            for key in begun:
                came_to.setdefault(key, "killed")
        elif "held" in line:
            leaks.append(("caller", line["held"]))
        elif "method" in line:
            begun[line["key"]] = line["method"]
        else:
            came_to[line["key"]] = line["came_to"]
    runs: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in device_log.read_text().splitlines():
        process, _, key = text.split()
        runs[key][process] += 1
    tally.calls = len(begun)
    tally.answered = sum(each == "right" for each in came_to.values())
    tally.unknown = sum(each == "OutcomeUnknown" for each in came_to.values())
    tally.open = [key for key in begun if key not in came_to]
    tally.wrong = [f"{key} {each}" for key, each in came_to.items() if each.startswith("wrong")]
    tally.lost = [
        f"{key} {begun[key]} {each}"
        for key, each in came_to.items()
        if each == "nothing" or (each == "right" and key not in runs)
    ]
    for key, method in begun.items():
        processes = runs.get(key, Counter())
        if processes.total() > 1:
            explained = processes.total() <= 1 + untold.get(key, 0)
            where = tally.late if explained else tally.twice
            where.append(f"{key} {method} {dict(processes)} {came_to.get(key)}")
    tally.leaked = [f"{end}: {n} {what}" for end, held in leaks for what, n in held.items() if n]
    if len(leaks) == 1:
        tally.open.append("the callers' process")
    return tally


def table(tallies: Collection[Tally]) -> str:
    """All rows as plain text."""
    heads = "calls", "right", "unknown", "restarts", "sessions", "late"
    faults = "twice", "lost", "wrong", "open", "leaked"
    rows: list[tuple[str, ...]] = [("transport", *heads, *faults)]
    for each in tallies:
        facts = [each.calls, each.answered, each.unknown, each.restarts]
        facts += [each.sessions, len(each.late)]
        facts += [len(getattr(each, name)) for name in faults]
        rows.append((each.name, *map(str, facts)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in cells)
        for cells in (enumerate(zip(row, widths, strict=True)) for row in rows)
    )
