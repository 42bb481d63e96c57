"""What stands on standard error: `--log-json`, `--verbose`, `--quiet`, and what lines are about."""

import json
import logging
import re
import signal
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jsonrpc_iot import Keyring
from jsonrpc_iot.cli._log import JsonFormatter
from jsonrpc_iot.trust.keys import bearer_token
from tests.places import ROOT

from .program import Done, environment, listening, run, started
from .test_serve import LAMP

GUARDED = """
@dispatcher.method
async def slowly() -> None:
    raise RuntimeError

@dispatcher.method(requires="switch")
def switch() -> None: ...
"""
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
    assert json.loads(JsonFormatter("n-2").format(record)) == {**json.loads(text), "node": "n-2"}


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


def test_lines_say_whom_and_what_they_are_about(tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(LAMP + GUARDED)
    keys = tmp_path / "keys.toml"
    keys.touch(mode=0o600)
    token = bearer_token(Keyring(keys).add("app", permissions=["look"]))
    bind = ("--bind", "http://127.0.0.1:0/rpc", "--bind", "tcp://127.0.0.1:0")
    words = ("lamp:dispatcher", *bind, "--keys", str(keys), "--log-json")
    with started("serve", *words, cwd=tmp_path) as program:
        web, tcp = listening(program), listening(program)
        run("call", tcp, "fail")
        run("call", f"{web}?token=env:T", "slowly", T=token)
        run("call", f"{web}?token=env:T", "switch", T=token)
        run("call", tcp, "switch")
        lines = lines_of(program.stop())
    about = [(line.get("method"), line.get("principal")) for line in lines if "method" in line]
    assert about == [("fail", None), ("slowly", "app"), ("switch", "app"), ("switch", None)]
    peers = [line["peer"] for line in lines if "method" in line]
    assert [peer.partition(":")[0] for peer in peers] == ["tcp", "http", "http", "tcp"]


@pytest.mark.parametrize(
    ("option", "levels"),
    [("--quiet", {"ERROR"}), (None, {"ERROR", "WARNING"}), ("-v", {"ERROR", "WARNING", "INFO"})],
)
def test_how_much_is_shown(option: str | None, levels: set[str], tmp_path: Path) -> None:
    (tmp_path / "lamp.py").write_text(LAMP)
    words = ("lamp:dispatcher", "--bind", "tcp://0.0.0.0:0", "--log-json")
    with started("serve", *words, *filter(None, [option]), cwd=tmp_path) as program:
        url = listening(program).replace("0.0.0.0", "127.0.0.1")
        run("call", url, "fail")
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
            raw.sendall(b'{"id":9,"result":1}\n{"id":1,"method":"rpc.ping"}\n')
            raw.recv(100)
        lines = lines_of(program.stop())
    assert {line["level"] for line in lines} - {"DEBUG"} == levels


def test_more_and_less_at_once_is_wrong_usage() -> None:
    done = run("call", "tcp://127.0.0.1:1", "x", "-v", "-q")
    assert (done.code, done.complaint) == (
        2,
        "jsonrpc-iot: --verbose and --quiet contradict each other",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot be sent SIGINT alone")
def test_ctrl_c_while_the_program_is_loaded_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "anyio.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    path = f"{tmp_path}:{ROOT}"
    assert run("--version", PYTHONPATH=path) == Done(-signal.SIGINT, "", "")
    library = subprocess.run(
        [sys.executable, "-c", "import jsonrpc_iot"],
        capture_output=True,
        env=environment(PYTHONPATH=path),
        check=False,
    )
    assert b"KeyboardInterrupt" in library.stderr  # another program's own affair


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


def test_an_error_that_the_other_end_answers_with_is_its_own_object() -> None:
    with started("simulate", "--bind", "tcp://127.0.0.1:0") as program:
        done = run("call", listening(program), "nothing.like.that", "--log-json")
    assert done.code == 1
    assert json.loads(done.complaint)["code"] == -32601
