"""`demo`: every transport at once, without hardware."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jsonrpc_iot import __main__
from jsonrpc_iot.cli.demo import _program

from .program import run


def test_a_report_in_json() -> None:
    done = run("demo", "--json")

    assert (done.code, done.err) == (0, "")
    report = done.result
    rows = {row["transport"]: row for row in report["transports"]}
    assert {"memory", "pipe", "tcp", "udp"} <= rows.keys()
    assert all(row["error"] is None and row["calls"] > 0 for row in rows.values())
    assert all(0 < row["median"] <= row["p99"] for row in rows.values())
    assert (rows["memory"]["limit"], rows["pipe"]["limit"]) == (None, 65_536)
    assert (rows["tcp"]["limit"], report["unit"]) == (1_048_576, "ms")
    assert rows["udp"]["limit"] == 1400 - 25  # what a seal takes
    assert rows["mqtt"]["limit"] == 4096 - 25
    assert rows["gatt"]["limit"] == 220 - 25
    sealed = {name for name, row in rows.items() if row["sealed"]}
    assert sealed == {"udp", "uart", "tuya-dp", "mqtt", "gatt"}
    assert "coffee-corner" in [network["ssid"] for network in report["wifi.scan"]]
    lamp = {row["transport"]: row for row in report["gateway"]}
    assert lamp.keys() == {"http", "mqtt"}
    assert all(row["error"] is None and row["calls"] > 3 for row in lamp.values())


def test_what_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)  # too long for the path of a socket
    folder.mkdir()
    broker = tmp_path / "mosquitto"
    broker.write_text("#!/bin/sh\nexit 1\n")
    broker.chmod(0o755)

    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = run("demo", TMPDIR=str(folder), PATH=path)

    lines = done.out.splitlines()
    rows = {line.split()[0]: line for line in lines[: lines.index("")]}
    assert done.code == 1
    assert done.err == "jsonrpc-iot: not all calls were right: pipe, mqtt, mqtt\n"
    assert rows["pipe"].split()[1] == "failed:"
    assert rows["mqtt"] == f"{'mqtt':12} failed: the MQTT broker did not start"
    assert rows["memory"].endswith("none")
    assert rows["tcp"].endswith("1048576 bytes")
    of_lamp = lines[lines.index("a Tuya lamp on a serial line, behind a gateway") + 1 :]
    assert of_lamp[0].startswith("http ")
    assert of_lamp[0].endswith(" bytes")
    assert of_lamp[1] == rows["mqtt"]
    assert "coffee-corner" in done.out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("called", ["script", "module"])
def test_the_program_that_it_names_runs(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(sys.executable).with_name("jsonrpc-iot")
    monkeypatch.setattr(sys, "argv", [str(script if called == "script" else __main__.__file__)])
    for path in ("/nowhere", str(script.parent)):
        monkeypatch.setenv("PATH", path)
        words = [*shlex.split(_program()), "--version"]
        shown = subprocess.run(words, capture_output=True, check=True)
        assert shown.stdout.startswith(b"jsonrpc-iot ")
