"""`bench`: calls per second, times, errors."""

import signal
import socket
from itertools import count

import msgspec
import pytest

from .conftest import Simulated
from .device import answer_with, bad_device, hang_up, lines, say_nothing
from .program import Done, run, started
from .test_terminal import COLOUR, run_on_terminal


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_report_in_json(device: Simulated, transport: str) -> None:
    url: str = getattr(device, transport)
    words = ("--duration", "0.3", "--concurrency", "4", "--json")

    done = run("bench", url, "echo", "value=x", *words)

    report = done.result
    assert (done.code, done.err) == (0, "")
    assert (report["url"], report["method"], report["concurrency"]) == (url, "echo", 4)
    assert (report["errors"], report["unit"]) == ({}, "ms")
    assert 0.3 <= report["seconds"] < 2
    assert report["calls_per_second"] == pytest.approx(
        report["calls"] / report["seconds"], rel=0.01
    )
    assert 0 < report["p50"] <= report["p90"] <= report["p99"] <= report["max"]
    assert sum(number for _, number in report["histogram"]) == report["calls"] > 10


def test_elsewhere_than_on_a_terminal_it_is_json(device: Simulated) -> None:
    done = run("bench", device.tcp, "rpc.ping", "--duration", "0.1")

    assert done.result["calls"] > 0


def answer_every_other(connection: socket.socket) -> None:
    for number, message in zip(count(), lines(connection), strict=False):
        if "id" in message:
            reply = {"result": True} if number % 2 else {"error": {"code": 7, "message": "no"}}
            connection.sendall(msgspec.json.encode({"id": message["id"], **reply}) + b"\n")


def test_errors_are_counted_by_their_code() -> None:
    with bad_device(answer_every_other) as url:
        done = run("bench", url, "m", "--duration", "0.3")

    assert (done.code, done.err) == (0, "")
    assert done.result["errors"].keys() == {"7"}
    successes = sum(number for _, number in done.result["histogram"])
    assert done.result["errors"]["7"] + successes == done.result["calls"]


def test_all_calls_fail(device: Simulated) -> None:
    done = run("bench", device.tcp, "no.such.method", "--duration", "0.2")

    assert (done.code, msgspec.json.decode(done.err)["code"]) == (1, -32601)
    assert done.result["errors"]["-32601"] == done.result["calls"] > 0
    assert (done.result["calls_per_second"], done.result["p50"]) == (0, None)


def test_nobody_answers() -> None:
    with bad_device(say_nothing) as url:
        done = run("bench", url, "m", "--duration", "0.1", "--timeout", "0.2")

    assert done.code == 124
    assert done.result["errors"] == {"timeout": 8}


def test_answers_that_are_none() -> None:
    with bad_device(answer_with('{"id":$ID}')) as url:
        done = run("bench", url, "m", "--duration", "0.1")

    assert done.code == 3
    assert done.result["errors"].keys() == {"malformed"}


def test_a_connection_that_ends() -> None:
    with bad_device(hang_up) as url:
        done = run("bench", url, "m")

    assert done.code == 3
    assert done.complaint


def test_params_that_are_too_large() -> None:
    with bad_device(say_nothing) as url:
        done = run("bench", f"{url}?max=64", "m", f"text={'x' * 64}")

    assert done.code == 3
    assert done.complaint


def test_a_dead_port() -> None:
    done = run("bench", "tcp://127.0.0.1:1", "m")

    assert done.code == 3
    assert done.complaint.startswith("jsonrpc-iot: tcp://127.0.0.1:1: ")


def test_ctrl_c_shows_what_there_is(device: Simulated) -> None:
    answered = 0

    def answer_and_tell(connection: socket.socket) -> None:
        nonlocal answered
        for message in lines(connection):
            connection.sendall(msgspec.json.encode({"id": message["id"], "result": 1}) + b"\n")
            answered += 1
            if answered == 50:
                program.process.send_signal(signal.SIGINT)

    with bad_device(answer_and_tell) as url, started("bench", url, "m") as program:
        done = program.finish()

    assert (done.code, done.err) == (130, "")
    assert done.result["calls"] >= 40


def test_a_report_on_a_terminal(device: Simulated) -> None:
    done = run_on_terminal("bench", device.tcp, "rpc.ping", "--duration", "0.5")

    plain = COLOUR.sub("", done.out)
    assert (done.code, done.err) == (0, "")
    assert " calls/s  " in plain
    assert "8 at a time\np50 " in plain
    assert "\u2588" in plain


def test_json_on_a_terminal() -> None:
    with bad_device(answer_every_other) as url:
        done = run_on_terminal("bench", url, "m", "--duration", "0.1", "--json")

    plain = COLOUR.sub("", done.out)
    assert '"calls_per_second": ' in plain
    assert done == Done(0, done.out, "")
