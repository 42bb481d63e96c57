"""A platform under load for some minutes: `python -m benchmarks.soak --minutes 10 --plot FILE.svg`.

`nova platform` serves 5,000 devices of `nova load`, which report every ten seconds, while every
second one more device is told to do something. Drawn are the platform's resident memory, the
database and its log, and the round trips of these commands.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

from jsonrpc_iot import connect_sync

from ._novacloud import KEY, Platform, auth, check_in, device_id, link_to, prepare, resident
from ._novacloud_load import talking
from ._plot import lines

_MIB = 1 << 20


def run(minutes: float, devices: int, rate: float) -> dict[str, list[float]]:
    """Run it.

    Args:
        minutes: how long.
        devices: how many.
        rate: reports of each a second.

    Returns:
        What was measured each second.
    """
    series: dict[str, list[float]] = {
        "resident memory, MiB": [],
        "database, MiB": [],
        "its log, MiB": [],
        "a command's round trip, ms": [],
    }
    with tempfile.TemporaryDirectory(dir=".", prefix="benchmark-") as folder, ExitStack() as stack:
        db, keys = Path(folder, "nova.db"), Path(folder, "keys")
        prepare(db, devices + 1)
        keys.write_text("".join(f"{device_id(number)} {KEY}\n" for number in range(devices)))
        running = stack.enter_context(_platform(db))
        link = stack.enter_context(link_to(running))
        link.sendall(auth(devices))
        check_in(link)
        stack.enter_context(talking([link], 0.0))
        client = stack.enter_context(connect_sync(running.urls[0], timeout=60.0))
        seconds = 60 * minutes
        load = _nova(
            "load",
            "--keys",
            str(keys),
            "--port",
            str(running.port),
            "--json",
            "--rate",
            str(rate),
            "--duration",
            str(seconds),
        )
        stack.callback(load.kill)
        begin = perf_counter()
        while (now := perf_counter()) < begin + seconds and load.poll() is None:
            params = {"device_id": device_id(devices), "payload": {"light": "ON"}}
            if client.call("command.send", params)["status"] != "SUCCESS":
                raise AssertionError("a command was not carried out")
            figures = (
                resident(running.pid) / _MIB,
                db.stat().st_size / _MIB,
                db.with_name("nova.db-wal").stat().st_size / _MIB,
                (perf_counter() - now) * 1e3,
            )
            for name, figure in zip(series, figures, strict=True):
                series[name].append(figure)
            time.sleep(max(0.0, now + 1 - perf_counter()))
        report = json.loads(load.communicate()[0])
        stats = client.call("platform.stats")
        written = _written(running.pid) / max(stats["values"], 1)
    print(
        f"{report['reports']:,} reports, {report['lost']} lost, {report['failed']} devices failed"
    )
    print(f"acknowledged after {report['p50']} ms (median), {report['p99']} ms (p99)")
    print(f"{written:.0f} bytes written for a value")
    for name, figures_of in series.items():
        ordered = sorted(figures_of)
        print(
            f"{name}: median {ordered[len(ordered) // 2]:.1f}, "
            f"p99 {ordered[len(ordered) * 99 // 100]:.1f}, most {ordered[-1]:.1f}"
        )
    return series


@contextmanager
def _platform(db: Path) -> Iterator[Platform]:
    with _nova(
        "platform", "--db", str(db), "--port", "0", "--auto-define", "--manage", "tcp://127.0.0.1:0"
    ) as process:
        assert process.stdout is not None
        device_url, url = (process.stdout.readline().split()[1] for _ in range(2))
        try:
            yield Platform(process.pid, int(device_url.rpartition(":")[2]), [url], db)
        finally:
            process.terminate()


def _nova(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "jsonrpc_iot", "nova", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _written(pid: int) -> int:
    lines_of = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines_of)["write_bytes"])


def main() -> None:
    """Run it, print what it came to, and draw it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=0.1, help="reports of each device a second")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the figures as well")
    arguments = parser.parse_args()
    series = run(arguments.minutes, arguments.devices, arguments.rate)
    if arguments.plot is not None:
        title = f"nova platform, {arguments.devices:,} devices, {arguments.rate:g} reports/s each"
        arguments.plot.write_text(lines(title, series), encoding="utf-8")


if __name__ == "__main__":
    main()
