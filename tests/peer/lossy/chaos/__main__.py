"""Run all rows at once and print the table; exit code 1 if anything is not as promised."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import anyio

from jsonrpc_iot import Limits
from jsonrpc_iot.transports.packets.demux import IDLE_SECONDS
from tests.ending import end_on_sigterm

from .rows import ROWS, Plan, run_row
from .tally import Tally, table

SILENCE = IDLE_SECONDS - Limits().linger_seconds + 6.0
"""An address that has a task is forgotten by then: a listener looks every 5 s."""


async def run(plan: Plan, names: list[str], folder: Path) -> list[Tally]:
    """All rows, at the same time."""
    tallies: dict[str, Tally] = {}

    async def run_one(name: str) -> None:
        place = folder / name.replace(" ", "-")
        place.mkdir()
        tallies[name] = await run_row(name, ROWS[name], plan, place)
        print(f"  {name} is done", file=sys.stderr, flush=True)

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(run_one, name)
    return [tallies[name] for name in names]


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m tests.peer.lossy.chaos", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--seconds", type=float, default=80.0, help="how long calls are begun")
    parser.add_argument("--silence", type=float, default=SILENCE, help="before leaks are counted")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    names = arguments.rows or list(ROWS)
    if "mqtt" in names and shutil.which("mosquitto") is None and not os.environ.get("CI"):
        print("mqtt is left out: mosquitto is not installed")
        names.remove("mqtt")
    plan = Plan(seconds=arguments.seconds, silence=arguments.silence, seed=arguments.seed)
    print(f"Calls over {len(names)} bad links, with --seed {plan.seed} ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        tallies = anyio.run(run, plan, names, Path(folder))
    for tally in tallies:
        for column, found in tally.faults.items():
            print(f"{tally.name}, {column}:", *found[:20], sep="\n  ")
    print(table(tallies))
    print("late: run again because of a copy that no device can tell from a new request")
    sys.exit(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    main()
