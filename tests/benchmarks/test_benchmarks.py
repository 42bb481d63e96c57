"""The benchmark programs run and report in the promised shape; their figures are not judged."""

import json
import operator
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# What each program has to hold against a target: the ratio's name, and the target.
TARGETS: dict[str, dict[str, tuple[str, float]]] = {
    "dispatch": {
        "dispatch_sync / floor": ("<=", 1.6),
        "await dispatch / floor": ("<=", 2.0),
        "pyjsonrpc2 / dispatch_sync": (">=", 1.5),
        "json-rpc / dispatch_sync": (">=", 10.0),
        "pjrpc / dispatch_sync": (">=", 10.0),
        "ajsonrpc / dispatch_sync": (">=", 10.0),
    },
    "roundtrip": {
        "pipelined, JSON-RPC 2.0 / aiorpcX": (">=", 15.0),
        "ping-pong / anyio echo": (">=", 0.85),
    },
    "jsonstream": {
        "100-byte messages with newline, 64 KiB pieces / 500 MB/s": (">=", 1.0),
        "objects: time per byte, long / short": ("<=", 1.5),
    },
    "memory": {
        "asyncio, connected: serve / echo": ("<=", 1.5),
        "asyncio, after a call: serve / echo": ("<=", 1.5),
    },
    "codec": {},
}
PEERS = ("pyjsonrpc2", "json-rpc", "pjrpc", "ajsonrpc", "jsonrpcserver", "aiorpcX", "orjson")


def benchmarks(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return python("-m", "benchmarks", *arguments)


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )


def in_order(spread: dict[str, float]) -> bool:
    return 0 < spread["low"] <= spread["median"] <= spread["high"]


@pytest.mark.parametrize("program", TARGETS)
def test_a_program_reports_figures_and_targets(program: str) -> None:
    if program == "memory" and not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("memory is measured on Linux only")
    done = benchmarks(program, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    output: dict[str, Any] = json.loads(done.stdout)

    machine = output["machine"]
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert machine["python"].endswith(sys.version.split()[0])
    assert {"anyio", "msgspec"} <= machine["libraries"].keys()

    (report,) = output["reports"]
    assert report["benchmark"] == program
    assert report["setup"]
    assert len(report["rows"]) >= 2
    for row in report["rows"]:
        assert row["unit"] in {"us", "calls/s", "MB/s", "KiB"}
        assert in_order(row["value"]), row
    assert set(report["missing"]) <= set(PEERS)

    checks = {check["what"]: check for check in report["checks"]}
    for what, (comparison, target) in TARGETS[program].items():
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
