"""`--log-json`: all that a program says on standard error is one JSON object a line."""

import json
import logging
import re
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jsonrpc_iot.cli._log import JsonFormatter

from .program import Done, listening, run, started
from .test_serve import LAMP

OLD = """
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("default")
    warnings.warn("an old lamp")
"""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def lines_of(done: Done) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in done.err.splitlines()]
    for line in lines:
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert TIME.fullmatch(line["time"])
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    return lines


def test_a_record_is_one_line_of_ascii() -> None:
    record = logging.LogRecord("a.b", logging.ERROR, "f", 1, "%s\n", ("\x1b\x7fü\ud800",), None)
    record.created = 1_700_000_000.5
    text = JsonFormatter().format(record)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "ERROR",
        "logger": "a.b",
        "message": "\x1b\x7fü\ud800\n",
    }


def test_the_exception_of_a_handler(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(LAMP)
    words = ("lamp:dispatcher", "--bind", "tcp://127.0.0.1:0", "--log-json", "--trace")
    with started("serve", *words, cwd=tmp_path) as program:
        url = listening(program)
        assert run("call", url, "fail").code == 1
        done = program.stop()
    lines = lines_of(done)
    (failed,) = (line for line in lines if "exception" in line)
    assert failed["level"] == "ERROR"
    assert failed["exception"].startswith("Traceback")
    assert "RuntimeError: \x1b[31mno light" in failed["exception"]
    assert any(line["logger"].endswith("trace") and '"fail"' in line["message"] for line in lines)


def test_the_whole_log_of_a_platform(tmp_path: Path) -> None:
    words = ("--db", str(tmp_path / "nova.db"), "--port", "0", "--manage", "http://127.0.0.1:0/")
    with started("nova", "platform", *words, "--log-json", "--verbose") as program:
        listening(program)
        listening(program)
        done = program.stop()
    lines = lines_of(done)
    assert done.code == 0
    loggers = {line["logger"].partition(".")[0] for line in lines}
    assert loggers >= {"jsonrpc_iot", "uvicorn"}


@pytest.mark.parametrize("command", ["platform", "device"])
def test_the_reason_for_an_end_is_in_the_log(tmp_path: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = {
            "platform": ("--db", str(tmp_path / "nova.db"), "--port", port),
            "device": ("--id", "x", "--key-file", str(tmp_path / "none.toml")),
        }[command]
        done = run("nova", command, *words, "--log-json")
    assert done.code != 0
    assert done.out == ""
    (line,) = (line for line in lines_of(done) if line["level"] == "ERROR")
    assert str(tmp_path if command == "device" else port) in line["message"]


def test_warnings_of_python_are_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(LAMP + OLD)
    words = ("lamp:dispatcher", "--bind", "tcp://127.0.0.1:0", "--log-json")
    with started("serve", *words, cwd=tmp_path) as program:
        listening(program)
        (line,) = lines_of(program.stop())
    assert line["logger"] == "py.warnings"
    assert "UserWarning: an old lamp" in line["message"]
