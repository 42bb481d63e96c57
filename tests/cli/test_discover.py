"""`discover`: who is there."""

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from jsonrpc_iot import Found
from jsonrpc_iot.cli.discover import Via, _row
from tests.places import ROOT

from .conftest import Simulated
from .device import Answer, udp_device
from .program import Done, run, serving, started
from .test_terminal import COLOUR, run_on_terminal

HINT = "jsonrpc-iot: no devices answered; those that listen elsewhere need --target HOST or --port"


def found(done: Done) -> list[dict[str, Any]]:
    assert (done.code, done.err) == (0, "")
    return [msgspec.json.decode(line) for line in done.out.splitlines()]


def find(*targets: str, timeout: float = 0.3) -> list[dict[str, Any]]:
    words = [word for target in targets for word in ("--target", target)]
    return found(run("discover", "--json", "--timeout", str(timeout), *words))


def refuse(message: dict[str, Any]) -> Iterator[bytes]:
    yield msgspec.json.encode({"id": message["id"], "error": {"code": 7, "message": "busy"}})


def say_nothing(message: dict[str, Any]) -> Iterator[bytes]:
    yield from ()


def test_a_device_on_this_host_is_found_once(device: Simulated) -> None:
    port = device.udp.rpartition(":")[2]

    (lamp,) = found(run("discover", "--json", "--timeout", "0.5", "--via", "udp", "--port", port))

    assert (lamp["url"], lamp["name"], lamp["error"]) == (device.udp, "lamp", None)
    assert lamp["address"] == device.udp.removeprefix("udp://")
    assert lamp["platform"]
    assert lamp["version"]
    assert lamp["uptime"] > 0
    assert 0 < lamp["round_trip_ms"] < 1000
    assert run("call", lamp["url"], "sys.info").result["name"] == "lamp"


@pytest.mark.parametrize(
    ("package", "way", "extra"), [("serial", "serial", "uart"), ("zeroconf", "mdns", "mdns")]
)
def test_a_way_without_its_extra_is_told_of(
    package: str, way: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError")
    words = ("discover", "--json", "--timeout", "0.1", "--port", "1")
    told = run(*words, PYTHONPATH=f"{tmp_path}:{ROOT}").err
    assert f"no look by {way}: " in told
    assert f"pip install 'jsonrpc-iot[{extra}]'" in told
    assert "no look by" not in run(*words, "--quiet", PYTHONPATH=f"{tmp_path}:{ROOT}").err
    assert "no look by" not in run(*words, "--via", "udp", PYTHONPATH=f"{tmp_path}:{ROOT}").err


def test_a_device_on_all_addresses_is_one_device() -> None:
    command = ("simulate", "--bind", "udp://0.0.0.0:0")
    with started(*command) as program:
        port = program.next_line().rstrip().rpartition(":")[2]
        devices = found(run("discover", "--timeout", "0.5", "--via", "udp", "--port", port))
        program.stop()

    assert [device["name"] for device in devices] == ["simulated-device"]


def test_targets(device: Simulated) -> None:
    port = device.udp.rpartition(":")[2]
    with udp_device(refuse) as other:
        devices = find(f"localhost:{port}", other, "::1")

    assert {device["name"]: device["error"] for device in devices} == {
        "lamp": None,
        None: {"code": 7, "message": "busy"},
    }


def test_a_default_port_for_targets(device: Simulated) -> None:
    port = device.udp.rpartition(":")[2]
    done = run("discover", "--json", "--timeout", "0.5", "--target", "127.0.0.1", "--port", port)

    assert [lamp["name"] for lamp in found(done)] == ["lamp"]


ANSWERS = (
    '{"id":$ID,"result":{"name":5,"uptime":1e300,"version":["x"]}}',
    '{"id":$ID,"result":null}',
    '{"id":$ID,"error":"no"}',
    '{"id":null,"error":{"code":-32700,"message":"Parse error"}}',
    '{"jsonrpc":"2.0","id":$ID,"result":' + "1" * 40 + "}",
)
JUNK = (b"", b"hello", b"[]", b"{}", b'{"id":1e400}', b"[" * 60_000)


def always(answer: str) -> Answer:
    return lambda message: [answer.replace("$ID", str(message["id"])).encode()]


def test_any_answer_counts() -> None:
    with ExitStack() as stack:
        places = [stack.enter_context(udp_device(always(answer))) for answer in ANSWERS]
        devices = find(*places)

    assert {device["address"] for device in devices} == set(places)
    assert all((device["name"], device["uptime"]) == (None, None) for device in devices)


def test_what_is_no_answer() -> None:
    def reply(message: dict[str, Any]) -> Iterator[bytes]:
        yield from JUNK
        yield msgspec.json.encode({"id": message["id"] + 99, "result": {"name": "elsewhere"}})

    with udp_device(reply) as place:
        done = run("discover", "--timeout", "0.3", "--target", place)

    assert (done.code, done.out) == (0, "")
    assert done.complaint.startswith(HINT)


def test_a_lost_request_is_sent_again() -> None:
    seen: list[int] = []

    def answer_the_second(message: dict[str, Any]) -> Iterator[bytes]:
        seen.append(message["id"])
        if len(seen) == 2:
            yield from refuse(message)

    with udp_device(answer_the_second) as place:
        (device,) = find(place, timeout=0.8)

    assert device["round_trip_ms"] < 390


def test_a_host_that_nobody_knows() -> None:
    done = run("discover", "--target", "lamp.invalid")

    assert done.code == 3
    assert done.complaint.startswith("jsonrpc-iot: udp://lamp.invalid: ")


def test_each_is_printed_at_once() -> None:
    words = ("discover", "--timeout", "60", "--target")
    with udp_device(refuse) as place, started(*words, place) as program:
        line = program.next_line()
        done = program.stop(signal.SIGINT)

    assert msgspec.json.decode(line)["address"] == place
    assert (done.code, done.out) == (130, "")


def test_a_table_on_a_terminal() -> None:
    def reply(message: dict[str, Any]) -> Iterator[bytes]:
        info = {"name": "\x1b[2J[b]\x07", "version": "1", "uptime": 93_784}
        yield msgspec.json.encode({"id": message["id"], "result": info})

    with udp_device(reply) as place, udp_device(refuse) as other:
        done = run_on_terminal("discover", "--timeout", "0.5", "--target", place, "--target", other)

    plain = COLOUR.sub("", done.out)
    assert (done.code, done.err) == (0, "")
    assert "\x1b[2J" not in plain
    assert r"  \u001b[2J[b]\u0007  1  " in plain
    assert "1 d 2 h" in plain
    assert "error 7 busy" in plain


ROWS: list[tuple[Via, dict[str, Any], tuple[str, ...]]] = [
    ("ble", {"rssi": -48}, ("url", "lamp", "", "", "", "-48 dBm")),
    ("mdns", {"host": "h.local"}, ("url", "lamp", "", "h.local", "", "")),
    (
        "serial",
        {"description": "Bridge", "vid": 0x10C4, "pid": 0xEA60},
        ("url", "Bridge", "", "10c4:ea60", "", ""),
    ),
    ("serial", {"description": "n/a", "vid": None}, ("url", "n/a", "", "", "", "")),
]


@pytest.mark.parametrize(("via", "info", "row"), ROWS)
def test_what_the_table_says(via: Via, info: dict[str, Any], row: tuple[str, ...]) -> None:
    assert _row(Found(url="url", name="lamp", via=via, info=info)) == row


def test_nobody_on_a_terminal() -> None:
    with udp_device(say_nothing) as place:
        done = run_on_terminal("discover", "--timeout", "0.2", "--target", place)

    assert done.code == 0
    assert done.err.startswith(HINT)


def test_a_device_that_cannot_send_much() -> None:
    with serving("simulate", "--bind", "udp://127.0.0.1:0?max=100") as (url,):
        (device,) = find(url.removeprefix("udp://"))

    assert device["error"]["code"] == -32001


@pytest.mark.parametrize("program", ["simulate", "bridge"])
def test_a_server_that_announces_itself(program: str, tmp_path: Path) -> None:
    name = f"lamp\u202f{secrets.token_hex(4)}"
    here = ("--via", "mdns", "--interface", "127.0.0.1")
    command = ["simulate", "--bind", "tcp://127.0.0.1:0", "--announce", name]
    if program == "bridge":
        file = tmp_path / "gateway.toml"
        file.write_text(f'bind = ["tcp://127.0.0.1:0"]\nannounce = "{name}"\n')
        command = ["bridge", "--config", str(file)]
    with started(*command) as server, started("discover", "--watch", *here) as watching:
        url = server.next_line().split()[1]
        while (lamp := msgspec.json.decode(watching.next_line()))["name"] != name:
            pass
        watching.stop(signal.SIGINT)
        called = run("call", f"mdns://{quote(name)}?interface=127.0.0.1", "rpc.discover")
        server.stop()

    assert (lamp["url"], lamp["via"], lamp["auth"]) == (url, "mdns", False)
    title = called.result["info"]["title"]
    assert title == {"simulate": "simulated-device", "bridge": "Gateway"}[program]
