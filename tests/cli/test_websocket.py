"""The commands with a `ws://` URL."""

import json
import socket
from collections.abc import Iterator

import pytest

from .program import run, serving, started


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    """Give the URLs of a device on HTTP and WebSocket, one address."""
    bind = ("--bind", "http://127.0.0.1:0/rpc", "--bind", "ws://127.0.0.1:0/rpc")
    with serving("simulate", "--name", "lamp", *bind, urls=2) as (http, ws):
        yield http, ws


def test_the_lines_of_simulate_name_one_address(urls: tuple[str, str]) -> None:
    http, ws = urls
    assert http.removeprefix("http") == ws.removeprefix("ws")


def test_call(urls: tuple[str, str]) -> None:
    for url in urls:
        done = run("call", url, "echo", "value=hello")
        assert (done.code, done.result, done.err) == (0, "hello", "")


def test_an_error_of_the_device(urls: tuple[str, str]) -> None:
    done = run("call", urls[1], "no.such.method")
    assert done.code == 1
    assert json.loads(done.complaint)["code"] == -32601


def test_a_stream(urls: tuple[str, str]) -> None:
    done = run("call", urls[1], "echo", "value:=[1,2,3]", "--stream")
    assert (done.code, done.out) == (0, "1\n2\n3\n")


def test_the_trace_shows_messages_both_ways(urls: tuple[str, str]) -> None:
    done = run("call", urls[1], "echo", "value=hello", "--trace")
    assert done.result == "hello"
    sent, received = (
        [line for line in done.err.splitlines() if way in line] for way in ("->", "<-")
    )
    assert any('"echo"' in line and '"hello"' in line for line in sent)
    assert any('"result":"hello"' in line for line in received)


def test_describe(urls: tuple[str, str]) -> None:
    done = run("describe", urls[1])
    assert done.code == 0
    assert "wifi.scan" in {method["name"] for method in json.loads(done.out)["methods"]}


def test_ping_and_bench(urls: tuple[str, str]) -> None:
    assert run("ping", urls[1], "--count", "3").code == 0
    done = run("bench", urls[1], "echo", "value=x", "--duration", "0.2", "--concurrency", "4")
    assert done.code == 0
    assert done.result["calls"] > 0
    assert done.result["errors"] in (0, {})


def test_listen(urls: tuple[str, str]) -> None:
    with started("listen", urls[1], "--count", "1", "--trace") as listening:
        listening.wait_for_error("<-")  # the answer to what it asks first: it is connected
        ssid = run("call", urls[0], "wifi.scan").result[0]["ssid"]
        run("call", urls[0], "wifi.connect", f"ssid={ssid}", "psk=12345678")  # whatever comes of it
        news = json.loads(listening.next_line())
        assert news["method"] == "wifi.status"
        assert listening.finish().code == 0


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/rpc"
        done = run("call", url, "echo")
    assert done.code == 3
    assert url in done.complaint


def test_a_wrong_path(urls: tuple[str, str]) -> None:
    done = run("call", urls[1] + "/elsewhere", "echo")
    assert done.code == 3
    assert "404" in done.complaint
