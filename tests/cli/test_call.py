"""`call`: one call, its result on standard output, and the exit code."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.places import ROOT

from .conftest import Simulated
from .device import answer_with, bad_device, hang_up, lines, say_nothing, wait_for_message
from .program import COMMAND, Done, environment, run, run_unread, run_with, serving, started

REFUSED = "tcp://127.0.0.1:1"
HOSTILE = "\x1b[2J \x7f \x9b31m \u202e"
HOSTILE_JSON = r"\u001b[2J \u007f \u009b31m \u202e"


def test_a_result_is_alone_on_standard_output(device: Simulated) -> None:
    done = run("call", device.tcp, "wifi.scan")

    assert (done.code, done.err) == (0, "")
    assert {"ssid", "rssi"} <= done.result[0].keys()


def test_a_result_of_nothing_is_null(device: Simulated) -> None:
    assert run("call", device.tcp, "wifi.disconnect") == Done(0, "null\n", "")


@pytest.mark.parametrize(
    ("words", "stdin", "value"),
    [
        (["value=ä b"], b"", "ä b"),
        (['value:={"a":[1.5,null]}'], b"", {"a": [1.5, None]}),
        (['{"value": 1}'], b"", 1),
        (["[[1]]"], b"", [1]),
        (["-"], b'{\n "value": true\n}\n', True),
    ],
)
def test_params_arrive(device: Simulated, words: list[str], stdin: bytes, value: Any) -> None:
    done = run("call", device.pipe, "echo", *words, stdin=stdin)

    assert (done.code, done.result, done.err) == (0, value, "")


def test_params_from_a_file_and_options_after_them(device: Simulated, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text('{"value": "from a file"}')

    done = run("call", device.tcp, "echo", "@params.json", "--timeout", "5", cwd=tmp_path)

    assert done == Done(0, '"from a file"\n', "")


def test_numbers_are_printed_as_they_came() -> None:
    numbers = "[1.10,1e400,123456789012345678901234567890,-0.0]"
    with bad_device(answer_with(f'{{"id":$ID, "result": {numbers} }}')) as url:
        assert run("call", url, "m") == Done(0, f"{numbers}\n", "")


def test_output_is_utf_8_whatever_the_locale(device: Simulated) -> None:
    done = run("call", device.tcp, "echo", 'value:="grün 😀"', PYTHONIOENCODING="ascii", LC_ALL="C")

    assert done == Done(0, '"grün 😀"\n', "")


def test_what_steers_a_terminal_is_escaped_in_a_result() -> None:
    result = msgspec.json.encode(HOSTILE).decode()
    with bad_device(answer_with(f'{{"id":$ID,"result":{result}}}')) as url:
        assert run("call", url, "m") == Done(0, f'"{HOSTILE_JSON}"\n', "")


def test_what_steers_a_terminal_is_escaped_in_an_error() -> None:
    error = msgspec.json.encode({"code": 7, "message": HOSTILE, "data": [HOSTILE]}).decode()
    with bad_device(answer_with(f'{{"id":$ID,"error":{error}}}')) as url:
        done = run("call", url, "m")

    expected = f'{{"code":7,"message":"{HOSTILE_JSON}","data":["{HOSTILE_JSON}"]}}\n'
    assert done == Done(1, "", expected)


def test_an_error_of_the_device(device: Simulated) -> None:
    done = run("call", device.tcp, "no.such")

    error = '{"code":-32601,"message":"Method not found","data":{"method":"no.such"}}'
    assert done == Done(1, "", f"{error}\n")


def test_wrong_params_for_the_device(device: Simulated) -> None:
    done = run("call", device.tcp, "wifi.connect", "ssid=")

    error = msgspec.json.decode(done.complaint)
    assert (done.code, error["code"], error["data"]["path"]) == (1, -32602, "$.ssid")


def test_a_text_in_place_of_a_number_gets_a_hint(device: Simulated) -> None:
    done = run("call", device.tcp, "rpc.methods", "limit=5")
    assert "hint" not in done.complaint  # there is no such parameter at all

    done = run("call", device.tcp, "rpc.discover", "method=5")
    assert "hint" not in done.complaint  # it is no such method, but a text is right

    with serving("serve", "--bind", "tcp://127.0.0.1:0", "tests.cli.kettle:kettle") as (url,):
        done = run("call", url, "boil", "litres=1")

    error, hint = done.err.splitlines()
    assert msgspec.json.decode(error)["data"]["path"] == "$.litres"
    assert (done.code, hint) == (
        1,
        "jsonrpc-iot: hint: litres=1 sends a text; litres:=1 sends it as JSON",
    )


def test_a_deadline_of_the_device_is_a_timeout() -> None:
    error = '{"code":-32002,"message":"Deadline exceeded"}'
    with bad_device(answer_with(f'{{"id":$ID,"error":{error}}}')) as url:
        assert run("call", url, "m") == Done(124, "", f"{error}\n")


def test_a_device_that_does_not_answer() -> None:
    with bad_device(say_nothing) as url:
        done = run("call", url, "lamp.on", "--timeout", "0.3")

    assert done == Done(124, "", "jsonrpc-iot: lamp.on: no answer within 0.3 s\n")


@contextmanager
def never_accepting() -> Iterator[str]:
    """A port that no connection gets through to, as its queue is full; yields its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        host, port = listening.getsockname()
        yield f"tcp://{host}:{port}"


@pytest.mark.parametrize("command", [["call"], ["notify"]])
def test_a_device_that_takes_no_connection(command: list[str]) -> None:
    with never_accepting() as url:
        done = run(*command, url, "m", "--timeout", "0.3")

    assert done.code == 124
    assert done.complaint.endswith("within 0.3 s")


def test_nobody_listens() -> None:
    done = run("call", REFUSED, "m")

    assert done.code == 3
    assert done.complaint.startswith(f"jsonrpc-iot: {REFUSED}: ")


def test_no_socket_of_that_name(tmp_path: Path) -> None:
    done = run("call", f"pipe://nobody?dir={tmp_path}", "m")

    assert done.code == 3
    assert "No such file or directory" in done.complaint


def close_with_garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x00\xff\xfe{[" * 100)
    wait_for_message(connection)


@pytest.mark.parametrize("behave", [hang_up, close_with_garbage])
def test_a_connection_that_ends(behave: Any) -> None:
    with bad_device(behave) as url:
        done = run("call", url, "m")

    assert done.code == 3
    assert "closed" in done.complaint


@pytest.mark.parametrize(
    "answer",
    [
        '{"id":$ID}',
        '{"id":$ID,"result":1,"error":{"code":1,"message":"x"}}',
        '{"id":$ID,"error":"x"}',
    ],
)
def test_an_answer_that_is_no_response(answer: str) -> None:
    with bad_device(answer_with(answer)) as url:
        done = run("call", url, "m")

    assert done.code == 3
    assert done.complaint.startswith("jsonrpc-iot: m: ")


@pytest.mark.parametrize("garbage", ["HTTP/1.1 400 Bad Request", "\x00\x01"])
def test_garbage_is_no_answer(garbage: str) -> None:
    with bad_device(answer_with(garbage)) as url:
        assert run("call", url, "m", "--timeout", "0.3").code == 124


def test_an_answer_that_is_too_large() -> None:
    with bad_device(answer_with(b'{"id":$ID,"result":"%s"}' % (b"x" * 2_000_000))) as url:
        done = run("call", url, "m")

    assert done.code == 3
    assert done.complaint


@pytest.mark.parametrize("command", ["call", "notify"])
def test_params_over_the_limit_are_not_sent(command: str) -> None:
    seen: list[str] = []

    def behave(connection: socket.socket) -> None:
        seen.extend(message["method"] for message in lines(connection))

    with bad_device(behave) as url:
        done = run(command, f"{url}?max=1000", "big.one", f"value={'x' * 1000}")

    assert done.code == 3
    assert "exceeds the channel's limit of 1000 bytes" in done.complaint
    assert "big.one" not in seen


def test_the_limit_of_a_pipe(device: Simulated) -> None:
    done = run("call", device.pipe, "echo", "-", stdin=b'["%s"]' % (b"x" * 65_536))

    assert done.code == 3
    assert "limit of 65536 bytes" in done.complaint


def test_ctrl_c() -> None:
    called = threading.Event()

    def behave(connection: socket.socket) -> None:
        for message in lines(connection):
            if message["method"] == "slow":
                called.set()

    with bad_device(behave) as url, started("call", url, "slow") as program:
        assert called.wait(20)
        assert program.stop(signal.SIGINT) == Done(130, "", "")


@pytest.mark.parametrize(
    ("dialect", "request_", "response"),
    [
        ("iot", {"method": "echo", "params": [1]}, {"result": 1}),
        (
            "jsonrpc2",
            {"jsonrpc": "2.0", "method": "echo", "params": [1]},
            {"jsonrpc": "2.0", "result": 1},
        ),
    ],
)
def test_a_trace_shows_every_message(
    device: Simulated, dialect: str, request_: Any, response: Any
) -> None:
    done = run("call", device.tcp, "echo", "[1]", "--dialect", dialect, "--trace")

    shown = [line.split(" ", 2) for line in done.err.splitlines()]
    assert all(url == device.tcp for _, url, _ in shown)
    sent = [msgspec.json.decode(text) for way, _, text in shown if way == "->"]
    came = [msgspec.json.decode(text) for way, _, text in shown if way == "<-"]
    assert (done.code, done.out, len(shown)) == (0, "1\n", 4)
    number = {"id": sent[1]["id"]}
    assert sent[1] == request_ | number
    assert response | number in came


def test_a_trace_shows_binary_in_hex() -> None:
    with bad_device(answer_with(b'{"id":$ID,"result":"\xff"}')) as url:
        done = run("call", url, "m", "--trace", "--timeout", "0.3")

    assert f"<- {url} 7b 22 69 64 22 3a" in done.err
    assert " 22 ff 22 7d\n" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_trace_shows_the_frames_of_a_serial_line_in_hex() -> None:
    with serving("simulate", "--bind", "uart+pty://") as (url,):
        done = run("call", url, "echo", "[1]", "--trace")

    shown = [line.split(" ", 2) for line in done.err.splitlines()]
    assert (done.code, done.out) == (0, "1\n")
    for message, frame in (("->", "=>"), ("<-", "<=")):
        messages = [text for mark, _, text in shown if mark == message]
        frames = [text for mark, _, text in shown if mark == frame]
        assert messages
        for text, digits in zip(messages, frames, strict=True):
            assert digits.startswith(f"55 aa 00 fe 00 {len(text):02x} {text.encode().hex(' ')} ")


def test_a_trace_shows_segments() -> None:
    with serving("simulate", "--bind", "udp://127.0.0.1:0?segment=1") as (url,):
        done = run("call", url, "echo", f"value={'x' * 4000}", "--trace")

    assert (done.code, done.result) == (0, "x" * 4000)
    marks = [line.split(" ~")[0].split(" ")[0] for line in done.err.splitlines() if " ~" in line]
    assert set(marks) == {"=>", "<="}
    assert min(marks.count("=>"), marks.count("<=")) >= 3


def test_nobody_reads_standard_output(device: Simulated) -> None:
    assert run_unread("call", device.tcp, "wifi.scan") == Done(141, "", "")


@pytest.mark.parametrize(
    ("redirect", "method", "code", "output"),
    [(">&-", "rpc.ping", 0, b""), ("2>&-", "rpc.ping", 0, b"true\n"), ("2>&-", "none", 1, b"")],
)
def test_a_standard_stream_that_is_closed(
    device: Simulated, redirect: str, method: str, code: int, output: bytes
) -> None:
    command = ("sh", "-c", f'"$@" {redirect}', "sh", *COMMAND, "call", device.tcp, method)
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment(), check=False)

    assert (done.returncode, done.stdout, done.stderr) == (code, output, b"")


FULL = "standard output cannot be written: No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [("--version",), ("call", "--help"), ("serve", "--bind")])
def test_a_full_disk_is_told_of_by_all_that_prints(words: tuple[str, ...]) -> None:
    bind = ("tcp://127.0.0.1:0",) if words[0] == "serve" else ()
    with Path("/dev/full").open("wb") as full:
        assert run_with(full, *words, *bind) == Done(3, "", f"jsonrpc-iot: {FULL}\n")


def test_a_full_disk(device: Simulated) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_with(full, "call", device.tcp, "rpc.ping")

    assert done == Done(3, "", f"jsonrpc-iot: {FULL}\n")
