"""`notify`: one notification, which has left when the program ends."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from .conftest import Simulated
from .device import bad_device, hang_up, lines
from .program import Done, run

LARGE = 1_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lamp.on"], {"method": "lamp.on"}),
        (["lamp.on", "level:=5"], {"method": "lamp.on", "params": {"level": 5}}),
        (
            ["lamp.on", "[1]", "--dialect", "jsonrpc2"],
            {"jsonrpc": "2.0", "method": "lamp.on", "params": [1]},
        ),
    ],
)
def test_one_notification_and_nothing_else(arguments: list[str], message: Any) -> None:
    seen: list[Any] = []

    def behave(connection: socket.socket) -> None:
        seen.extend(lines(connection))

    with bad_device(behave) as url:
        assert run("notify", url, *arguments) == Done(0, "", "")

    assert seen == [message]


def test_a_device_that_reads_later_gets_it_whole() -> None:
    ended = threading.Event()
    seen: list[Any] = []

    def behave(connection: socket.socket) -> None:
        ended.wait(20)
        seen.extend(lines(connection))

    with bad_device(behave) as url:
        done = run("notify", url, "m", "-", stdin=b'{"text":"%s"}' % (b"x" * LARGE))
        ended.set()

    assert done == Done(0, "", "")
    assert seen == [{"method": "m", "params": {"text": "x" * LARGE}}]


def test_a_device_that_never_reads() -> None:
    ended = threading.Event()
    with bad_device(lambda connection: ended.wait(20)) as url:
        arguments = ("notify", f"{url}?max=100000000", "m", "-", "--timeout", "0.5")
        done = run(*arguments, stdin=b'{"text":"%s"}' % (b"x" * 20 * LARGE))
        ended.set()

    assert done == Done(124, "", "jsonrpc-iot: m: not sent within 0.5 s\n")


def test_what_the_device_says_meanwhile_does_no_harm() -> None:
    seen: list[Any] = []

    def behave(connection: socket.socket) -> None:
        connection.sendall(b'{"method":"hello"}\n\xff\n{"id":1,"method":"rpc.ping"}\n')
        seen.extend(lines(connection))

    with bad_device(behave) as url:
        assert run("notify", url, "m") == Done(0, "", "")

    assert seen == [{"method": "m"}]


def test_a_device_that_hangs_up_has_got_it_all_the_same() -> None:
    with bad_device(hang_up) as url:
        assert run("notify", url, "m") == Done(0, "", "")


def test_an_unknown_notification_is_never_answered(device: Simulated) -> None:
    assert run("notify", device.pipe, "no.such", "a=1") == Done(0, "", "")


def test_a_trace_shows_the_notification(device: Simulated) -> None:
    done = run("notify", device.tcp, "no.such", "--trace")

    assert done == Done(0, "", f'-> {device.tcp} {{"method":"no.such"}}\n')


def test_nobody_listens() -> None:
    done = run("notify", "tcp://127.0.0.1:1", "m")

    assert done.code == 3
    assert done.complaint


def test_over_http_to_a_path_that_takes_only_posts() -> None:
    seen: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = run("notify", f"http://127.0.0.1:{server.server_port}/rpc", "m", "a=1")
        server.shutdown()
        thread.join()

    assert done == Done(0, "", "")
    assert seen[1:] == [{"method": "m", "params": {"a": "1"}}]
