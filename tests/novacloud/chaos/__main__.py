"""Run it and print the table; exit code 1 if anything is not as promised."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import anyio

from tests.ending import end_on_sigterm

from .storm import Plan, Storm
from .tally import spread

_SHOWN = 20


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m tests.novacloud.chaos", description=__doc__)
    usual = Plan()
    for name in ("nodes", "devices", "kills", "freezes", "restarts", "cuts", "callers", "real"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    parser.add_argument("--seconds", type=float, default=0.0, help="the least that it takes")
    parser.add_argument("--pause", type=float, default=usual.pause, help="between two reports")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="a new folder for the logs")
    options = vars(parser.parse_args())
    keep = options.pop("keep")
    plan = Plan(**options)
    print(f"{plan.devices} devices, {plan.nodes} nodes, with --seed {plan.seed} ...", flush=True)

    def say(text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        if keep:
            keep.mkdir()
        storm = Storm(plan, keep or Path(folder), say)
        found = anyio.run(storm.run)
    for kind, lines in found.faults.items():
        print(f"{kind}: {len(lines)}", *lines[:_SHOWN], sep="\n  ")
    for what, n in sorted(found.counts.items()):
        print(f"{what:<24}{n:>8}")
    for what, seconds in storm.times.items():
        print(f"all back, {what:<14}{len(seconds):>8}  {spread(seconds)}")
    print(f"{'a device back':<24}{len(found.back):>8}  {spread(found.back)}")
    print(f"{'a command reaches it':<24}{len(found.reached):>8}  {spread(found.reached)}")
    print("nothing that must not be" if not found.faults else "not as promised")
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
