"""What came of a storm: what devices and callers have noted, compared with the database."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from .callers import Told

REACH_SECONDS = 2.0
"""A command is with its device so long after it is sent, or after the device is back."""

_LOOK_SECONDS = 0.1  # devices note a little later that they are back, on a busy machine
_SENT = ("QUEUED", "SENT", "PENDING", "SUCCESS")


class Rows(Struct, kw_only=True):
    """What the database has in the end.

    Args:
        commands: by number, the status and when it was asked for, by the monotonic clock.
        reports: by device, how many rows there are, how many numbers, and the last one.
    """

    commands: dict[int, tuple[str, float]]
    reports: dict[str, tuple[int, int, int]]


class Tally(Struct, kw_only=True):
    """The figures, and what must not be.

    Args:
        counts: what has happened.
        reached: seconds from sending, or from a device's return, to each execution.
        back: seconds from the loss of a connection to the next one.
        faults: by kind.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reached: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    faults: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def count(
    logs: Sequence[Path],
    told: Mapping[int, Told],
    made: Mapping[str, int],
    rows: Rows,
    outages: Sequence[tuple[float, float]],
) -> Tally:
    """Compare.

    Args:
        logs: of the devices.
        told: what callers were told.
        made: how many reports each device has made.
        rows: what the database has.
        outages: when it was away, by the monotonic clock, and when a caller's node was.
    """
    tally = Tally()
    executed: defaultdict[int, list[float]] = defaultdict(list)
    sessions: defaultdict[str, list[float]] = defaultdict(list)
    for log in logs:
        _read(log, tally, executed, sessions)
    for number, each in told.items():
        _judge(tally, number, each, rows, executed[number])
    _time(tally, told, rows, executed, sessions, outages)
    for id, n in made.items():
        stored, numbers, last = rows.reports.get(id, (0, 0, -1))
        if stored != numbers:
            tally.faults["stored twice"].append(f"{id}: {stored - numbers} reports")
        if (numbers, last) != (n, n - 1):
            tally.faults["reports lost"].append(f"{id}: {n} made, {numbers} stored, last {last}")
    tally.counts["reports"] = sum(made.values())
    tally.counts["commands"] = len(rows.commands)
    tally.counts["executed"] = sum(map(bool, executed.values()))
    tally.counts["cancelled"] = sum(each.cancelled for each in told.values())
    return tally


def _read(
    log: Path,
    tally: Tally,
    executed: dict[int, list[float]],
    sessions: dict[str, list[float]],
) -> None:
    lost: dict[str, float] = {}
    for line in log.read_text().splitlines():
        what, id, text = line.split()
        at = float(text)
        if what == "lost":
            lost[id] = at
        elif what == "back":
            sessions[id].append(at)
            if id in lost:
                tally.back.append(at - lost.pop(id))
        else:
            executed[int(what)].append(at)


def _judge(tally: Tally, number: int, told: Told, rows: Rows, executed: list[float]) -> None:
    status, _ = rows.commands.get(number, ("", 0.0))
    tally.counts[f"told {told.came_to.partition(':')[0]}"] += 1
    line = f"{number} for {told.device_id} at {told.node}: told {told.came_to}, is {status}, "
    line += f"executed {len(executed)} times"
    kinds = {
        "executed twice": len(executed) > 1,
        "done though cancelled": bool(executed) and (told.cancelled or status == "CANCELLED"),
        "commands lost": (told.came_to in _SENT and not status)
        or (bool(status) and status not in ("SUCCESS", "CANCELLED")),
        "told wrong": (told.came_to == "SUCCESS" and status != "SUCCESS")
        or (status == "SUCCESS" and not executed)
        or (told.cancelled and status != "CANCELLED"),
        "refused for nothing": told.came_to.startswith("refused for nothing"),
        "no answer": told.came_to.startswith(("nothing", "open")),
    }
    for kind, is_so in kinds.items():
        if is_so:
            tally.faults[kind].append(line)


def _time(
    tally: Tally,
    told: Mapping[int, Told],
    rows: Rows,
    executed: Mapping[int, list[float]],
    sessions: Mapping[str, list[float]],
    outages: Sequence[tuple[float, float]],
) -> None:
    """See how soon commands were with their devices, but for those sent while no database was."""
    for number, times in executed.items():
        if not times or number not in rows.commands:
            continue
        begins = sessions[told[number].device_id]
        at = bisect_right(begins, times[0] + _LOOK_SECONDS) - 1
        since = max(rows.commands[number][1], begins[at] if at >= 0 else 0.0)
        if any(since < end and times[0] > begin for begin, end in outages):
            continue
        seconds = times[0] - since
        tally.reached.append(seconds)
        if seconds > REACH_SECONDS:
            back = begins[at] if at >= 0 else 0.0
            tally.faults["reached late"].append(
                f"{number} for {told[number].device_id} by {told[number].node}: {seconds:.2f} s, "
                f"sent {rows.commands[number][1]:.2f}, back {back:.2f}, done {times[0]:.2f}"
            )


def spread(seconds: Sequence[float]) -> str:
    """Median, 99 % and the longest of some times."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    chosen = [ordered[min(int(part * len(ordered)), len(ordered) - 1)] for part in (0.5, 0.99, 1)]
    return "p50 {:.2f} s  p99 {:.2f} s  longest {:.2f} s".format(*chosen)
