"""The benchmark programs run and report in the promised shape; their figures are not judged."""

import json
import operator
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks._harness import equals, sync_loop
from benchmarks._servers import server
from benchmarks._udp_load import PING, TRUE, Exchange, ping_pong, storm
from tests.places import ROOT

pytestmark = pytest.mark.timeout(300)

SECONDS = 240.0  # not a bound on anything: a run of all programs on a busy machine takes its time
SVG = "{http://www.w3.org/2000/svg}"

# What each program has to hold against a target: the ratio's name, and the target.
TARGETS: dict[str, dict[str, tuple[str, float]]] = {
    "codec": {"decode 60 KB: time, ours in MessagePack / ours": ("<=", 2.5)},
    "dispatch": {
        "dispatch_sync / floor": ("<=", 1.6),
        "await dispatch / floor": ("<=", 2.0),
        "await dispatch, async handler / floor": ("<=", 2.5),
        "await dispatch, async handler in middleware / floor": ("<=", 12.0),
        "pyjsonrpc2 / dispatch_sync": (">=", 1.5),
        "json-rpc / dispatch_sync": (">=", 10.0),
        "pjrpc / dispatch_sync": (">=", 10.0),
        "ajsonrpc / dispatch_sync": (">=", 10.0),
    },
    "stats": {
        f"{what}, {handler} handler, counted / not": ("<=", target)
        for handler in ("sync", "async")
        for what, target in (("dispatch", 1.4), ("tcp", 1.05))
    },
    "shapes": {
        "named / floor, gc=False": ("<=", 1.75),
        "positional / named": ("<=", 1.15),
        "notification / named": ("<=", 1.0),
        "batch of 10 / named": ("<=", 12.0),
        "wrong type / 8 us": ("<=", 1.0),
        "result dict[str, float]: ours / pyjsonrpc2": ("<=", 1.0),
        "unknown method: ours / pyjsonrpc2": ("<=", 3.0),
    },
    "jsonstream": {
        "100-byte messages with newline, 64 KiB pieces / 500 MB/s": (">=", 1.0),
        "objects: time per byte, long / short": ("<=", 1.5),
    },
    "tuya": {
        "64-byte frames, 64 KiB pieces / smallest loop": (">=", 0.7),
        "random noise / 20 MB/s": (">=", 1.0),
    },
    "roundtrip": {
        "pipelined, JSON-RPC 2.0 / aiorpcX": (">=", 15.0),
        "pipelined, JSON-RPC 2.0, async handler / aiorpcX": (">=", 6.0),
        "time of a pipelined call, async handler / sync": ("<=", 6.0),
        "ping-pong / anyio echo": (">=", 0.85),
        "time of a call, connect_sync / portal": ("<=", 1.3),
    },
    "gateway": {
        "gateway / relay": ("<=", 1.3),
        "gateway / straight": ("<=", 2.2),
        "pipelined / 20,000 a second": (">=", 1.0),
    },
    "fleet": {
        "99 % of the calls / 100 ms": ("<=", 1.0),
        "a device of the gateway, beside its link / 40 KiB": ("<=", 1.0),
        "a device with an address of its own, beside its link / 40 KiB": ("<=", 1.0),
    },
    "latency": {
        "tcp, sync handler / asyncio.Protocol echo": ("<=", 1.5),
        "tcp, async handler / asyncio.Protocol echo": ("<=", 1.9),
        "tcp, async handler / aiorpcX, tcp": ("<=", 0.55),
        "udp, sync handler / asyncio.DatagramProtocol echo": ("<=", 1.1),
        "udp, async handler / asyncio.DatagramProtocol echo": ("<=", 1.4),
        "memory, sync handler / anyio memory streams": ("<=", 1.7),
        "tcp, 100 tasks, sync handler / aiorpcX, tcp, 100 tasks": ("<=", 0.2),
        "tcp, 100 tasks, async handler / aiorpcX, tcp, 100 tasks": ("<=", 0.35),
    },
    "proxy": {"proxy / client.call": ("<=", 1.15)},
    "udp": {
        "ping-pong, idempotent / anyio echo": (">=", 0.85),
        "100 clients at once: answered / made": (">=", 1.0),
    },
    "uart": {"client.call / bare echo": ("<=", 1.5)},
    "segments": {
        "segmented UDP / TCP, 1 MB result": ("<=", 3.0),
    },
    "seal": {
        "seal and open 200 bytes / 8 us": ("<=", 1.0),
        "handshake, the client's CPU / 0.5 ms": ("<=", 1.0),
        "handshake, the server's CPU / 0.5 ms": ("<=", 1.0),
        "hellos with a wrong key / 50,000 a second": (">=", 1.0),
        "a call over UDP: sealed / plain": ("<=", 1.35),
        "an idle peer over UDP, sealed / 4 KiB": ("<=", 1.0),
    },
    "http": {
        "serve / Starlette": (">=", 0.8),
        "serve, async handler / Starlette": (">=", 0.8),
        "serve, WebSocket / echo": (">=", 0.8),
    },
    "gatt": {
        "time of a call / bare bleak": ("<=", 1.3),
        "connect to first reply / 1 s": ("<=", 1.0),
    },
    "files": {
        f"{link}: {ours} / plain calls {way}": (">=", 0.6)
        for link in ("tcp", "udp", "uart", "gatt")
        for ours, way in (("put", "there"), ("get", "back"))
    },
    "memory": {
        "asyncio, connected: serve / echo": ("<=", 1.0),
        "asyncio, after a call: serve / echo": ("<=", 1.0),
        "asyncio, UDP, idle / 2 KiB": ("<=", 1.0),
    },
    "novacloud": {
        "an idle device / 16 KiB": ("<=", 1.0),
        "values stored / 50,000 a second": (">=", 1.0),
        "command round trip, p99 / median": ("<=", 5.0),
        "an idle device with TLS / 40 KiB": ("<=", 1.0),
        "bytes written / 150 a value": ("<=", 1.0),
        "bytes written / 150 a value, sensors in turns": ("<=", 1.0),
        "a file with retention, largest / smallest": ("<=", 1.2),
        "1,000 values of 2 million / 2 ms": ("<=", 1.0),
        "hourly means of 2 million / 0.65 s": ("<=", 1.0),
        "100,000 values streamed / 2 s": ("<=", 1.0),
        "behind reports: an authentication, p99 / 500 ms": ("<=", 1.0),
        "behind reports: a command, p99 / 250 ms": ("<=", 1.0),
        "a backup / 10 s": ("<=", 1.0),
        "the hungriest query / 64 MiB": ("<=", 1.0),
        "CPU of a message, PostgreSQL / SQLite": ("<=", 1.5),
    },
    "nodes": {
        "messages for a second of CPU, two nodes / one process": (">=", 0.8),
        "messages for a second of CPU, two workers / one process": (">=", 0.85),
        "a crowd let in / 30 s": ("<=", 1.0),
    },
    "startup": {"call / floor": ("<=", 1.6)},
}
UNITS = {"us", "ms", "messages/s", "messages", "calls/s", "calls", "MB/s", "KiB", "values/s"}
UNITS |= {"% of a core"}
PEERS = ("pyjsonrpc2", "json-rpc", "pjrpc", "ajsonrpc", "jsonrpcserver", "aiorpcX", "orjson")


def benchmarks(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return python("-m", "benchmarks", *arguments)


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def in_order(spread: dict[str, float], least: float = 1e-9) -> bool:
    return least <= spread["low"] <= spread["median"] <= spread["high"]


def test_all_programs_run_without_arguments_and_report_figures_and_targets(
    tmp_path: Path,
) -> None:
    picture = tmp_path / "results.svg"
    done = benchmarks("--quick", "--json", "--plot", str(picture))
    assert done.returncode == 0, done.stderr
    everything = json.loads(done.stdout)
    check_machine(everything["machine"])
    reports = {report["benchmark"]: report for report in everything["reports"]}
    assert list(reports) == list(TARGETS)
    check_codec(reports["codec"])
    for program, report in reports.items():
        if program != "memory" or Path("/proc/self/smaps_rollup").exists():  # Linux's
            check_rows(report)
            check_targets(report)
    check_picture(picture, [*reports.values()])


def check_machine(machine: dict[str, Any]) -> None:
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert machine["python"].endswith(sys.version.split()[0])
    assert {"anyio", "msgspec"} <= machine["libraries"].keys()


def check_codec(report: dict[str, Any]) -> None:
    names = {row["name"] for row in report["rows"]}
    for step in ("decode", "encode", "both"):
        for size in ("100 B", "1 KB", "60 KB"):
            assert {
                f"{step} {size}, {name}" for name in ("ours", "msgspec's floor", "json")
            } <= names


def check_rows(report: dict[str, Any]) -> None:
    assert report["setup"]
    assert len(report["rows"]) >= 2
    for row in report["rows"]:
        assert row["unit"] in UNITS
        assert in_order(row["value"], least=0 if row["name"].endswith("lost") else 1e-9), row
    assert set(report["missing"]) <= set(PEERS)


def check_targets(report: dict[str, Any]) -> None:
    checks = {check["what"]: check for check in report["checks"]}
    for what, (comparison, target) in TARGETS[report["benchmark"]].items():
        if any(peer in what for peer in report["missing"]):
            continue
        check = checks[what]
        assert (check["comparison"], check["target"]) == (comparison, target)
    for check in checks.values():
        assert in_order(check["ratio"]), check
        if check["target"] is None:
            assert check["reached"] is None
        else:
            holds = {"<=": operator.le, ">=": operator.ge}[check["comparison"]]
            assert check["reached"] is holds(check["ratio"]["median"], check["target"])


def check_picture(picture: Path, reports: list[dict[str, Any]]) -> None:
    """A bar for each figure and ratio."""
    root = ET.parse(picture).getroot()
    checks = [check for report in reports for check in report["checks"]]
    bars = root.findall(f"{SVG}g")
    names = [bar.findtext(f"{SVG}text") for bar in bars]
    expected = [
        name
        for report in reports
        for name in (
            *(row["name"] for row in report["rows"]),
            *(check["what"] for check in report["checks"]),
        )
    ]
    assert names == expected
    marks = [path for path in root.findall(f"{SVG}path") if path.get("stroke-width") == "2"]
    assert len(marks) == sum(check["target"] is not None for check in checks)
    for bar in bars:
        box = bar.find(f"{SVG}rect")
        assert box is not None
        left, width = float(box.get("x", "nan")), float(box.get("width", "nan"))
        assert 400 <= left <= left + width <= 781


def test_calls_that_nobody_answers_are_counted_as_lost() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        result = storm(silent.getsockname()[1], Exchange(PING, TRUE), clients=3, calls=2)
    assert (result.made, result.answered) == (3, 0)


def test_wrong_datagrams_are_not_taken_for_replies() -> None:
    with server("udp_echo") as echo:
        with pytest.raises(AssertionError, match="expected"):
            ping_pong(echo.port, Exchange(PING, TRUE), 1)
        with pytest.raises(AssertionError, match="expected"):
            storm(echo.port, Exchange(PING, TRUE), clients=2, calls=1)


def test_wrong_results_are_not_timed() -> None:
    timed = sync_loop(lambda: b"wrong", equals(b"right"))
    with pytest.raises(AssertionError, match="wrong result"):
        timed(3)


def test_the_text_shows_machine_figures_and_verdicts() -> None:
    done = benchmarks("dispatch", "--quick", "--repeat", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "cores" in lines[0]
    assert "msgspec" in lines[1]
    assert "== dispatch" in lines
    verdicts = [line for line in lines if "dispatch_sync / floor  " in line]
    assert len(verdicts) == 1
    assert verdicts[0].rstrip().endswith("reached")


def test_missing_peers_are_named_and_the_rest_is_measured() -> None:
    modules = ["pyjsonrpc2.server", "jsonrpc", "pjrpc.server", "ajsonrpc.manager", "orjson"]
    modules += ["jsonrpcserver", "aiorpcx"]
    hidden = "; ".join(f"sys.modules[{name!r}] = None" for name in modules)
    program = f"import sys; {hidden}; from benchmarks.__main__ import main; main()"
    done = python("-c", program, "dispatch", "roundtrip", "--quick")
    assert done.returncode == 0, done.stderr
    missing = [line for line in done.stdout.splitlines() if "not installed" in line]
    assert len(missing) == 2
    dispatch, roundtrip = missing
    assert "pip install --group bench" in dispatch
    assert all(peer in dispatch for peer in PEERS if peer != "aiorpcX")
    assert "aiorpcX" in roundtrip
    assert "dispatch_sync / floor" in done.stdout


@pytest.mark.parametrize("arguments", [("nonsense",), ("codec", "--repeat", "0")])
def test_wrong_usage_is_refused(arguments: tuple[str, ...]) -> None:
    done = benchmarks(*arguments, "--quick")
    assert done.returncode == 2
    assert "error:" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_soak_draws_what_it_measured(tmp_path: Path) -> None:
    picture = tmp_path / "soak.svg"
    amounts = ("--minutes", "0.03", "--devices", "5", "--rate", "10")
    done = python("-m", "benchmarks.soak", *amounts, "--plot", str(picture))
    assert done.returncode == 0, done.stderr
    assert " 0 lost, 0 devices failed" in done.stdout
    assert len(ET.parse(picture).findall(f"{SVG}polyline")) == 4
