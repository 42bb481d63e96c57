"""`conformance`: reports and exit codes."""

import json
import re
import socket
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from .conftest import Simulated
from .device import bad_device, udp_device
from .program import run
from .test_terminal import run_on_terminal


def test_a_device_that_conforms(device: Simulated, tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    done = run("conformance", device.udp, "--profile", "full", "--junit", str(junit))

    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"{device.udp} conforms to the profile full\n")
    assert ET.parse(junit).getroot().tag == "testsuites"


def test_a_given_method_and_a_report_in_json(device: Simulated) -> None:
    given = ("--method", "echo", '{"value":[7]}', "--method", "sys.info", "")
    done = run("conformance", device.pipe, *given, "--json")

    report = done.result
    assert done.code == 0
    assert list(report) == ["url", "profile", "ok", "sections"]
    assert (report["profile"], report["ok"]) == ("standard", True)
    first = report["sections"][0]["cases"][0]
    assert list(first) == ["name", "verdict", "sent", "received", "rule"]
    assert json.loads(first["sent"])["params"] == {"value": [7]}
    assert json.loads(first["received"])["result"] == [7]


def test_a_report_that_cannot_be_written_is_shown_all_the_same(
    device: Simulated, tmp_path: Path
) -> None:
    junit = tmp_path / "none/report.xml"
    done = run("conformance", device.pipe, "--profile", "minimal", "--junit", str(junit))
    assert done.code == 2
    assert "conforms to the profile minimal" in done.out
    assert done.err == f"jsonrpc-iot: {junit}: No such file or directory\n"


def test_who_answers_nothing_that_was_asked() -> None:
    with udp_device(lambda request: [b'{"id":"x","result":true}']) as place:
        done = run("conformance", f"udp://{place}", "--profile", "minimal", "--timeout", "0.05")

    assert done.code == 3
    assert 'nobody answers within 0.05 s; what came is no answer: {"id":"x"' in done.complaint


def test_a_device_with_a_fault() -> None:
    def behave(connection: socket.socket) -> None:
        for line in connection.makefile("rb"):
            if b'"method"' in line:  # notifications are answered too
                id = re.search(rb'"id":([^,]+)', line)
                connection.sendall(b'{"id":%s,"result":1}\n' % (id[1] if id else b"null"))

    with bad_device(behave) as url:
        given = ("--method", "get", "", "--profile", "minimal")
        done = run("conformance", url, *given)

    assert done.code == 1
    assert "fail            answers (1 pass, 1 fail)" in done.out
    assert "fail            notifications (2 fail)" in done.out
    assert done.out.endswith(f"{url} does not conform to the profile minimal\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
def test_what_is_checked_is_shown_on_a_terminal(device: Simulated) -> None:
    done = run_on_terminal("conformance", device.udp, "--profile", "full", error=True)

    assert done.code == 0
    assert "conforms to the profile full" in done.out
    assert re.search(r"\(\d+ of \d+\)", done.out)  # a picture is drawn twelve times a second


def test_who_waits_for_minutes_is_told_so() -> None:
    done = run("conformance", "tuya-dp:///no/such/port", "--profile", "full")
    quick = run("conformance", "tuya-dp:///no/such/port?gap=0", "--profile", "full")

    assert (done.code, quick.code) == (3, 3)
    assert done.err.startswith("1 s pass between two messages on this line, so this takes some 8 ")
    assert "pass between" not in quick.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--method", "get"), "Option '--method' requires 2 arguments."),
        (("--method", "get", "5"), "one JSON object or array"),
        (("--method", "get", "{"), "is no JSON"),
        (("--profile", "best"), "'best' is not one of 'minimal', 'standard', 'full'"),
    ],
)
def test_wrong_words(words: tuple[str, ...], complaint: str) -> None:
    done = run("conformance", "tcp://127.0.0.1:1", *words)

    assert done.code == 2
    assert complaint in done.complaint
