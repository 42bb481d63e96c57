"""The NovaCloud platform: memory of idle devices, values stored a second, round trips of commands.

The platform is a process of its own; the devices are plain blocking sockets in this one, on the
same machine. Next to it stands a plain asyncio server with `json` and one INSERT for each message,
which checks no value, keeps no order of commits and answers no query. A value counts as stored once
another process reads it from the file.
"""

import selectors
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import msgspec

from jsonrpc_iot import connect_sync

from ._harness import Options, Report
from ._novacloud import (
    VALUES,
    Platform,
    connected,
    data,
    device_id,
    platform,
    values_on_disk,
    wait_stored,
)

IDLE = 10_000
IDLE_TARGET = 16 * 1024
DEVICES = 1000
MESSAGES = 40
RATE_TARGET = 50_000.0
COMMANDS = 2000
SPREAD_TARGET = 5.0
GROUPS = 200
BYTES_TARGET = 150.0
BACKUP_TARGET = 10.0

_PATIENCE = 60.0


def run(options: Options) -> Report:
    """Measure and compare."""
    idle, devices = (200, 20) if options.quick else (IDLE, DEVICES)
    messages, commands = (5, 20) if options.quick else (MESSAGES, COMMANDS)
    report = Report(
        "novacloud",
        [
            f"platform on {options.backend}; {idle:,} idle devices with {VALUES} sensors each",
            f"{devices:,} devices send {messages} messages of {VALUES} values, as fast as they can",
            f"{commands:,} commands, one at a time, while {devices:,} devices are connected",
            "bytes on the disk: 5,000 sensors, a value of each in each group",
        ],
    )
    _allow_open_files(idle + 500)
    memory: dict[str, list[float]] = {"ours": [], "plain": []}
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    times: dict[str, list[list[float]]] = {"ours": [], "no_fsync": []}
    for _ in range(options.rounds(3)):
        for kind in ("ours", "plain"):
            if Path("/proc/self/smaps_rollup").exists():
                with _running(kind, options.backend, idle) as running:
                    memory[kind].append(_idle(running, idle))
            with _running(kind, options.backend, devices) as running:
                rates[kind].append(_store(running, kind, devices, messages))
        for kind, samples in times.items():
            with _running(kind, options.backend, devices) as running:
                samples.append(sorted(_command(running, devices, commands)))
    _add(report, memory, rates)
    _add_disk(report, [_disk(5 if options.quick else GROUPS) for _ in range(options.rounds(3))])
    for kind, name in (("ours", ""), ("no_fsync", ", disk not waited for")):
        halves = [each[len(each) // 2] for each in times[kind]]
        tails = [each[len(each) * 99 // 100] for each in times[kind]]
        report.add(f"command{name}, median", "us", [seconds * 1e6 for seconds in halves])
        report.add(f"command{name}, p99", "us", [seconds * 1e6 for seconds in tails])
        what = f"command round trip{name}, p99 / median"
        if kind == "ours":
            report.compare(what, tails, halves, "<=", SPREAD_TARGET)
        else:
            report.compare(what, tails, halves)
    return report


def _add(
    report: Report,
    memory: dict[str, list[float]],
    rates: dict[str, list[float]],
) -> None:
    for kind, name in (("ours", "platform"), ("plain", "plain asyncio")):
        if memory[kind]:
            report.add(f"{name}, an idle device", "KiB", [size / 1024 for size in memory[kind]])
    for kind, name in (("ours", "platform"), ("plain", "plain asyncio, json, INSERT")):
        report.add(f"{name}, stored", "values/s", rates[kind])
    if memory["ours"]:
        bounds = [float(IDLE_TARGET)] * len(memory["ours"])
        report.compare("an idle device / 16 KiB", memory["ours"], bounds, "<=", 1.0)
        report.compare("an idle device, platform / plain", memory["ours"], memory["plain"])
    bounds = [RATE_TARGET] * len(rates["ours"])
    report.compare("values stored / 50,000 a second", rates["ours"], bounds, ">=", 1.0)
    report.compare("values stored, platform / plain", rates["ours"], rates["plain"])


def _add_disk(report: Report, samples: list[tuple[float, float]]) -> None:
    per_value, seconds = ([each[index] for each in samples] for index in (0, 1))
    report.add("a backup", "ms", [each * 1e3 for each in seconds])
    bounds = [BACKUP_TARGET] * len(seconds)
    report.compare("a backup / 10 s", seconds, bounds, "<=", 1.0)
    if all(per_value):  # elsewhere they are not counted
        kibibytes = [each / 1024 for each in per_value]
        report.add("written to the disk for a value", "KiB", kibibytes)
        bounds = [BYTES_TARGET] * len(per_value)
        report.compare("bytes written / 150 a value", per_value, bounds, "<=", 1.0)


def _disk(groups: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(dir=".") as folder:  # /tmp may be no disk
        return values_on_disk(Path(folder) / "nova.db", groups)


@contextmanager
def _running(kind: str, backend: str, devices: int) -> Iterator[Platform]:
    with (
        tempfile.TemporaryDirectory() as folder,
        platform(kind, backend, Path(folder), devices) as running,
    ):
        yield running


def _idle(running: Platform, count: int) -> float:
    """Bytes that each of many idle devices adds to the platform."""
    with connected(running, 10):
        pass  # what is made for the first devices alone
    before = _resident(running)
    with connected(running, count):
        return (_resident(running) - before) / count


def _store(running: Platform, kind: str, devices: int, messages: int) -> float:
    """Values that are stored in a second."""
    with connected(running, devices) as links:
        lines = [data(number) for number in range(messages)]
        start = perf_counter()
        for line in lines:
            for link in links:
                link.sendall(line)
        wait_stored(running.db, kind == "plain", devices * messages * VALUES, _PATIENCE)
        return devices * messages * VALUES / (perf_counter() - start)


def _command(running: Platform, devices: int, count: int) -> list[float]:
    """Seconds of each of many commands, from the call to the final status.

    Each device gets its turn, as a single one may say no more than 100 messages a second.
    """
    with connected(running, devices) as links, connect_sync(running.url) as client:
        answering = threading.Thread(target=_answer, args=(links,))
        answering.start()
        times = []
        for number in range(count):
            params = {"device_id": device_id(number % devices), "payload": {"light": "ON"}}
            start = perf_counter()
            outcome = client.call("command.send", params)
            times.append(perf_counter() - start)
            if outcome["status"] != "SUCCESS":
                raise AssertionError(outcome)
        for link in links:
            link.shutdown(socket.SHUT_RDWR)
        answering.join()
        return times[count // 10 :]  # without those that warm it up


def _answer(links: list[socket.socket]) -> None:
    """Be devices that do what they are told, until their connections end."""
    with selectors.DefaultSelector() as selector:
        for link in links:
            selector.register(link, selectors.EVENT_READ, link)
        while selector.get_map():
            for key, _ in selector.select():
                link = key.data
                line = link.recv(65536)
                if not line:
                    selector.unregister(link)
                    continue
                message = msgspec.json.decode(line)
                response = {
                    "type": "command_response",
                    "command_id": message["command_id"],
                    "status": "success",
                    "payload": message["payload"],
                }
                link.sendall(msgspec.json.encode(response) + b"\n")


def _resident(running: Platform) -> int:
    for line in Path(f"/proc/{running.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no resident size in smaps_rollup")


def _allow_open_files(wanted: int) -> None:
    import resource  # only Unix has it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
