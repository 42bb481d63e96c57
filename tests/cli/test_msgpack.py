"""The commands with `?codec=msgpack`: what they print is JSON all the same."""

import datetime as dt
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from jsonrpc_iot.cli._json import encode_json

from .program import SECONDS, Done, run, serving, started

CODEC = "?codec=msgpack"


@pytest.fixture(scope="module")
def device() -> Iterator[str]:
    """A simulated device that speaks MessagePack."""
    with serving("simulate", "--name", "lamp", "--bind", f"udp://127.0.0.1:0{CODEC}") as (url,):
        yield url


@contextmanager
def scripted(*answers: Any) -> Iterator[tuple[str, list[bytes]]]:
    """A device that answers one message after the other; `$ID` becomes the id.

    Yields:
        Its URL, and what it has received.
    """
    received: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.bind(("127.0.0.1", 0))
        raw.settimeout(SECONDS)

        def answer() -> None:
            for each in answers or (None,):
                data, address = raw.recvfrom(65_535)
                received.append(data)
                if each is not None:
                    id = msgspec.msgpack.decode(data)["id"]
                    raw.sendto(msgspec.msgpack.encode({"id": id, **each}), address)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"udp://127.0.0.1:{raw.getsockname()[1]}{CODEC}", received
        thread.join()


def test_the_url_that_serve_prints_can_be_called_as_it_stands(device: str) -> None:
    assert device.endswith(CODEC)
    assert run("call", device, "echo", 'value:={"a":[1.5,null,"ä"]}') == Done(
        0, '{"a":[1.5,null,"ä"]}\n', ""
    )


def test_both_options_are_in_the_url() -> None:
    with serving("serve", "--bind", "udp://127.0.0.1:0?segment=1&codec=msgpack") as (url,):
        assert url.endswith(f"{CODEC}&segment=1")
        text = "x" * 10_000
        assert run("call", url, "echo", f"value={text}").result == text


def test_an_error_is_printed_as_json(device: str) -> None:
    done = run("call", device, "echo")

    assert (done.code, done.out) == (1, "")
    assert msgspec.json.decode(done.err)["code"] == -32602


def test_a_number_that_messagepack_lacks_is_refused(device: str) -> None:
    done = run("call", device, "echo", f"value:={2**64}")

    assert done.code != 0
    assert "jsonrpc-iot: " in done.complaint


def test_describe(device: str) -> None:
    document = run("describe", device).result
    assert "wifi.scan" in [method["name"] for method in document["methods"]]


def test_ping(device: str) -> None:
    assert run("ping", device, "--count", "2", "--json").result["received"] == 2


def test_bench(device: str) -> None:
    report = run("bench", device, "echo", "value=x", "--duration", "0.1", "--json").result
    assert report["calls"] > 0
    assert report["errors"] == {}


def test_a_trace_is_hex(device: str) -> None:
    done = run("call", device, "echo", "value=x", "--trace")

    assert done.out == '"x"\n'
    sent, received = [line.split(" ", 2) for line in done.err.splitlines()]
    assert (sent[0], received[0]) == ("->", "<-")
    request = msgspec.msgpack.decode(bytes.fromhex(sent[2]))
    assert (request["method"], request["params"]) == ("echo", {"value": "x"})
    answer = {"id": request["id"], "result": "x"}
    assert bytes.fromhex(received[2]) == msgspec.msgpack.encode(answer)


def test_notify_writes_messagepack() -> None:
    with scripted() as (url, received):
        assert run("notify", url, "lamp.on", "level:=5") == Done(0, "", "")

    assert [msgspec.msgpack.decode(each) for each in received] == [
        {"method": "lamp.on", "params": {"level": 5}}
    ]


def test_listen_prints_notifications_as_json(device: str) -> None:
    with started("listen", device, "--count", "1", "--trace") as program:
        program.wait_for_error("<-")  # so the device knows it
        assert run("call", device, "wifi.connect", "ssid=nowhere").code == 1
        assert msgspec.json.decode(program.next_line())["method"] == "wifi.status"
        assert program.finish().code == 0


MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00\xff", '"AP8="'),
        ({"a": [b"x"], "b": {}}, '{"a":["eA=="],"b":{}}'),
        (2**64 - 1, "18446744073709551615"),
        (0.1, "0.1"),
        (MOMENT, '"2026-01-02T03:04:05Z"'),
        (msgspec.msgpack.Ext(5, b"x"), '{"ext":5,"data":"eA=="}'),
        ({1: "a", b"x": "b", 1.5: "c"}, '{"1":"a","eA==":"b","1.5":"c"}'),
        (
            {None: [{True: b"x"}], (1, (2,)): msgspec.msgpack.Ext(1, b"")},
            '{"null":[{"true":"eA=="}],"[1,[2]]":{"ext":1,"data":""}}',
        ),
    ],
)
def test_any_result_has_a_form_in_json(value: object, text: str) -> None:
    assert encode_json(value) == text.encode()


def test_such_a_result_and_such_an_error_are_printed() -> None:
    value = {None: [MOMENT, b"x", msgspec.msgpack.Ext(5, b"")]}
    text = '{"null":["2026-01-02T03:04:05Z","eA==",{"ext":5,"data":""}]}'
    with scripted({"result": value}) as (url, _):
        assert run("call", url, "m") == Done(0, f"{text}\n", "")
    with scripted({"error": {"code": 7, "message": "m", "data": value}}) as (url, _):
        expected = f'{{"code":7,"message":"m","data":{text}}}\n'
        assert run("call", url, "m") == Done(1, "", expected)


def test_two_codecs_that_differ_end_in_a_time_out(device: str) -> None:
    done = run("call", device.removesuffix(CODEC), "rpc.ping", "--timeout", "0.5")
    assert (done.code, done.out) == (124, "")
    assert run("call", device, "rpc.ping").result is True
