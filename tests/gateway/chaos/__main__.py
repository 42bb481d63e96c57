"""Run it and print the table; exit code 1 if anything is not as promised."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import anyio
from msgspec import structs

from jsonrpc_iot import Limits
from jsonrpc_iot.transports.packets.demux import IDLE_SECONDS
from tests.ending import end_on_sigterm
from tests.peer.lossy.chaos.tally import table

from . import callers
from .house import House, Plan

SILENCE = IDLE_SECONDS + Limits().linger_seconds + 6.0
"""All that was remembered is forgotten by then: a listener looks every 5 s."""


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.chaos", description=__doc__)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=80.0, help="how long calls are begun")
    parser.add_argument("--silence", type=float, default=SILENCE, help="before leaks are counted")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="a new folder for the logs")
    arguments = parser.parse_args()
    calls = callers.Options(
        callers=arguments.callers, seconds=arguments.seconds, seed=arguments.seed
    )
    plan = structs.replace(Plan(), calls=calls, silence=arguments.silence, seed=arguments.seed)
    print(f"{calls.callers} callers of a gateway, with --seed {plan.seed} ...", flush=True)

    def say(text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        if arguments.keep:
            arguments.keep.mkdir()
        house = House(plan, arguments.keep or Path(folder))
        tallies = anyio.run(house.run, say)
    for tally in tallies:
        for column, found in tally.faults.items():
            print(f"{tally.name}, {column}:", *found[:20], sep="\n  ")
    print(table(tallies))
    sys.exit(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    main()
