"""`python -m benchmarks`: runs the programs of this folder and prints what they report."""

import argparse
import importlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ._harness import Machine, Options, Report, machine, machine_text, text
from ._plot import svg

PROGRAMS = (
    "codec",
    "dispatch",
    "stats",
    "shapes",
    "jsonstream",
    "tuya",
    "roundtrip",
    "gateway",
    "fleet",
    "latency",
    "proxy",
    "udp",
    "uart",
    "segments",
    "seal",
    "http",
    "gatt",
    "files",
    "memory",
    "novacloud",
    "nodes",
    "startup",
)


class Output(msgspec.Struct):
    """What `--json` prints."""

    machine: Machine
    reports: list[Report]


def main() -> None:
    """Run the chosen programs, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("program", nargs="*", help=f"{', '.join(PROGRAMS)}; all without any")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the results as well")
    parser.add_argument("--repeat", type=int, metavar="N", help="rounds of each program")
    parser.add_argument("--quick", action="store_true", help="show that it works, measure little")
    parser.add_argument(
        "--backend",
        choices=("asyncio", "uvloop", "trio"),
        default="asyncio",
        help="event loop of the servers in roundtrip, udp, segments and novacloud",
    )
    arguments = parser.parse_args()
    for name in arguments.program:
        if name not in PROGRAMS:
            parser.error(f"no program {name!r}; there are {', '.join(PROGRAMS)}")
    if arguments.repeat is not None and arguments.repeat < 1:
        parser.error("--repeat takes a number from 1")

    options = Options(repeat=arguments.repeat, quick=arguments.quick, backend=arguments.backend)
    facts = machine()
    if not arguments.json:
        print(machine_text(facts), flush=True)
    reports: list[Report] = []
    with TemporaryDirectory() as folder:  # servers are killed, and leave their sockets behind
        os.environ["JSONRPC_IOT_RUNTIME_DIR"] = folder
        for name in arguments.program or PROGRAMS:
            reports.append(importlib.import_module(f"{__package__}.{name}").run(options))
            if not arguments.json:
                print(text(reports[-1]), flush=True)
    if arguments.plot is not None:
        arguments.plot.write_text(svg(facts, reports), encoding="utf-8")
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(Output(facts, reports)), indent=2).decode())


if __name__ == "__main__":
    main()
