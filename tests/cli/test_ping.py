"""`ping`: round-trip times and loss."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from .conftest import Simulated
from .device import answer_with, bad_device, lines, say_nothing, udp_device
from .program import Done, run, started


def test_a_summary_for_people(device: Simulated) -> None:
    done = run("ping", device.tcp)

    first, second = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert first == "5 sent, 5 answered, 0 % lost"
    time_ = r"\d+(\.\d+)? ms"
    assert re.fullmatch(f"min {time_}, median {time_}, p99 {time_}, max {time_}", second)


def test_a_summary_in_json(device: Simulated) -> None:
    done = run("ping", device.pipe, "--count", "20", "--json")

    report = done.result
    times = [report.pop(name) for name in ("min", "median", "p99", "max")]
    assert (done.code, done.err) == (0, "")
    assert report == {"url": device.pipe, "sent": 20, "received": 20, "loss": 0.0, "unit": "ms"}
    assert 0 < times[0] <= times[1] <= times[2] <= times[3]


def test_an_interval(device: Simulated) -> None:
    started_at = time.monotonic()

    done = run("ping", device.tcp, "--count", "4", "--interval", "0.2")

    assert done.out.startswith("4 sent, 4 answered")
    assert time.monotonic() - started_at >= 0.6


@pytest.mark.parametrize(
    "answer",
    [
        '{"id":$ID,"error":{"code":-32601,"message":"Method not found"}}',
        '{"id":$ID,"error":{"code":-32002,"message":"Deadline exceeded"}}',
        '{"id":$ID,"result":"pong"}',
        '{"id":$ID}',
    ],
)
def test_any_answer_counts(answer: str) -> None:
    with bad_device(answer_with(answer)) as url:
        done = run("ping", url, "--count", "2")

    assert done.out.startswith("2 sent, 2 answered, 0 % lost\n")
    assert (done.code, done.err) == (0, "")


def answer_every_other(connection: socket.socket) -> None:
    for number, message in zip(count(), lines(connection), strict=False):
        if number % 2:
            connection.sendall(msgspec.json.encode({"id": message["id"], "result": True}) + b"\n")


def test_some_are_lost() -> None:
    with bad_device(answer_every_other) as url:
        done = run("ping", url, "--count", "2", "--timeout", "0.5", "--json")

    assert (done.code, done.err) == (0, "")
    assert (done.result["sent"], done.result["received"], done.result["loss"]) == (2, 1, 0.5)


def test_all_are_lost() -> None:
    with bad_device(say_nothing) as url:
        done = run("ping", url, "--count", "2", "--timeout", "0.2")

    assert done == Done(
        124,
        "2 sent, 0 answered, 100 % lost\n",
        f"jsonrpc-iot: {url}: no answer within 0.2 s each\n",
    )


def complain(connection: socket.socket) -> None:
    for _ in lines(connection):
        connection.sendall(b"ERR what?\n")


def test_all_are_answered_with_nonsense() -> None:
    with bad_device(complain) as url:
        done = run("ping", url, "--count", "2", "--timeout", "0.3")

    assert done.code == 124
    assert done.err.startswith(f"jsonrpc-iot: {url}: no answer within 0.3 s each; rpc.ping: ")
    assert "nothing that can be read: `ERR what?`" in done.err


def test_all_are_lost_in_json() -> None:
    with bad_device(say_nothing) as url:
        done = run("ping", url, "--count", "1", "--timeout", "0.2", "--json")

    assert done.code == 124
    assert (done.result["loss"], done.result["median"]) == (1.0, None)


def answer_once(connection: socket.socket) -> None:
    for number, message in enumerate(lines(connection)):
        connection.sendall(msgspec.json.encode({"id": message["id"], "result": True}) + b"\n")
        if number == 1:
            return


def test_a_connection_that_ends() -> None:
    with bad_device(answer_once) as url:
        done = run("ping", url, "--count", "9")

    assert done.code == 3
    assert re.match(r"[23] sent, [12] answered", done.out)
    assert done.err.count("\n") == 1


def test_ctrl_c_shows_what_has_been_measured() -> None:
    with bad_device(answer_every_other) as url, started("ping", url, "--trace") as program:
        program.wait_for_error("->")
        done = program.stop(signal.SIGINT)

    assert done == Done(130, "1 sent, 0 answered, 100 % lost\n", "")


def test_a_dead_port() -> None:
    done = run("ping", "tcp://127.0.0.1:1")

    assert done.code == 3
    assert done.complaint.startswith("jsonrpc-iot: tcp://127.0.0.1:1: ")


def test_packets_that_are_lost_over_udp() -> None:
    numbers = count()

    def answer(message: dict[str, Any]) -> Iterator[bytes]:
        if next(numbers) % 2:
            yield msgspec.json.encode({"id": message["id"], "result": True})

    with udp_device(answer) as place:
        done = run("ping", f"udp://{place}", "--count", "4", "--timeout", "0.6", "--json")

    assert (done.code, done.err) == (0, "")
    assert (done.result["sent"], done.result["received"], done.result["loss"]) == (4, 2, 0.5)
