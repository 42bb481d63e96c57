"""`demo`: every transport at once, without hardware."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from jsonrpc_iot import __main__
from jsonrpc_iot.cli.demo import _program

from .program import SECONDS, environment, run


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


def test_what_it_keeps_open_is_a_device_that_browsers_get_a_page_of() -> None:
    program = "import anyio; from jsonrpc_iot.cli._demo_stay import stay; anyio.run(stay, 'lamp')"
    with subprocess.Popen(
        (sys.executable, "-W", "error", "-c", program),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            word, url = lines[-1].split()
            assert word == "console"
            with build_opener(ProxyHandler({})).open(
                Request(url, headers={"Accept": "text/html"}), timeout=SECONDS
            ) as page:
                assert page.headers["Content-Type"].startswith("text/html")
            done = run("listen", url, "--count", "1")
            assert done.result["method"] == "room.climate"
            assert run("call", url, "lamp.get").result == {"level": 40, "colour": "warm"}
            assert run("call", url, "lamp.fade", "to:=50", "seconds:=0.3", "--stream").code == 0
            process.send_signal(signal.SIGINT)
            assert (process.wait(SECONDS), process.stderr and process.stderr.read()) == (0, "")
        finally:
            process.kill()


def test_a_report_for_programs_ends() -> None:
    assert run("demo", "--json", "--stay").code == 2
