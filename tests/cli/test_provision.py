"""`provision`, and `serve --improv`: a device and a client at the two ends of a terminal."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jsonrpc_iot.cli import _improv
from jsonrpc_iot.cli._presence import Presence
from jsonrpc_iot.cli._wifi import make_radio
from jsonrpc_iot.protocol.improv.messages import Command, State
from jsonrpc_iot.protocol.improv.serial import LineDecoder, state_packet
from tests.places import ROOT
from tests.services._wifi import HOME, KEY

from .program import COMMAND, SECONDS, Done, Running, environment, listening, run, started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")

SERVE = ("serve", "--wifi", "simulated", "--improv", "uart+pty://", "--bind", "tcp://127.0.0.1:0")


@contextmanager
def device(*options: str) -> Iterator[tuple[str, str, Running]]:
    """A device on a terminal: where it is told of networks, where it serves, the program."""
    with started(*SERVE, *options) as program:
        word, _, port = program.next_line().rstrip("\n").partition(" ")
        assert word == "improv"
        yield port, listening(program), program


def test_a_device_is_set_up_and_says_where_it_is() -> None:
    with device("--trace") as (port, url, program):
        done = run(
            "provision", port, "--ssid", HOME, "--psk-stdin", "--trace", stdin=f"{KEY}\n".encode()
        )
        assert (done.code, done.out) == (0, f"{url}\n")
        assert run("call", url, "wifi.status").result["ssid"] == HOME
        served = program.stop()
    for text in (done.err, served.err):
        shown = bytes.fromhex("".join(_hex_of(line) for line in text.splitlines()))
        assert b"IMPROV" in shown + text.encode()
        assert HOME.encode() in shown + text.encode()
        for secret in (KEY, KEY.encode().hex(" ")):
            assert secret not in text


def _hex_of(line: str) -> str:
    digits = line.split(" ", 2)[-1]
    try:
        bytes.fromhex(digits)
    except ValueError:
        return ""
    return digits


def test_one_port_for_calls_too() -> None:
    lines = ("--bind", "uart+pty://", "--improv", "uart+pty://")
    with started("serve", "--wifi", "simulated", *lines, "--bind", "tcp://127.0.0.1:0") as program:
        port = program.next_line().removeprefix("improv ").rstrip("\n")
        assert listening(program) == port
        url = listening(program)
        assert run("call", port, "wifi.status").result["state"] == 0
        done = run("provision", port, "--ssid", HOME, "--psk-stdin", stdin=KEY.encode())
        assert (done.code, done.out) == (0, f"{url}\n")
        assert run("call", port, "wifi.status").result["ssid"] == HOME
        assert program.stop() == Done(0, "", "")


def test_two_programs_at_one_port() -> None:
    with device() as (port, _, _program), started("monitor", port) as other:
        other.wait_for_error("watching")
        done = run("provision", port, "--ssid", HOME, "--psk-stdin", stdin=KEY.encode())
    assert done.code == 3
    assert "another program has" in done.complaint


def test_a_wrong_key() -> None:
    with device() as (port, _, _program):
        done = run("provision", port, "--ssid", HOME, "--psk-stdin", stdin=b"not the right key")
    assert (done.code, done.out) == (1, "")
    error, hint = done.err.splitlines()
    assert error == '{"code":3,"message":"Unable to connect"}'
    assert "is the key right" in hint


def test_the_key_is_asked_for_without_echo() -> None:
    import pty

    with device() as (port, url, _program):
        leader, far = pty.openpty()
        with subprocess.Popen(
            (*COMMAND, "provision", port, "--ssid", HOME),
            stdin=far,
            stdout=subprocess.PIPE,
            stderr=far,
            cwd=ROOT,
            env=environment(),
            start_new_session=True,  # without a terminal of its own, it asks on standard error
        ) as client:
            os.close(far)
            seen = b""
            while b": " not in seen:
                seen += os.read(leader, 1000)
            os.write(leader, f"{KEY}\n".encode())
            out, _ = client.communicate(timeout=SECONDS)
        os.set_blocking(leader, False)
        try:
            while more := os.read(leader, 1000):
                seen += more
        except OSError:  # the other end is closed
            pass
        os.close(leader)
    assert (client.returncode, out.decode()) == (0, f"{url}\n")
    assert b"Key of home-network-2g" in seen
    assert KEY.encode() not in seen


@pytest.mark.parametrize(
    ("arguments", "stdin", "problem"),
    [
        (("uart:///dev/nothing", "--ssid", HOME), b"", "--psk-stdin"),
        (("uart:///dev/nothing", "--ssid", HOME, "--psk-stdin"), b"\xff", "no UTF-8"),
        (("tcp://127.0.0.1:1", "--ssid", HOME, "--psk-stdin"), b"", "needs a serial port"),
        (("uart:///dev/null?frame=1", "--ssid", HOME, "--psk-stdin"), b"", "unknown option"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], stdin: bytes, problem: str) -> None:
    done = run("provision", *arguments, stdin=stdin)
    assert done.code == 2
    assert problem in done.complaint


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--improv", "uart+pty://"), "--wifi, which is missing"),
        (("--wifi", "simulated", "--improv", "tcp://127.0.0.1:1"), "needs a serial port"),
        (
            (
                *("--wifi", "simulated", "--bind", "uart:///dev/nothing"),
                *("--improv", "uart:///dev/nothing?baudrate=9600"),
            ),
            "name one port",
        ),
    ],
)
def test_serving_with_wrong_usage(options: tuple[str, ...], problem: str) -> None:
    done = run("serve", "--bind", "tcp://127.0.0.1:0", *options)
    assert done.code == 2
    assert problem in done.complaint


def test_an_adapter_that_is_unplugged_while_the_device_joins() -> None:
    import pty
    import tty

    leader, far = pty.openpty()
    tty.setraw(far)
    where = f"uart://{os.ttyname(far)}"
    decoder = LineDecoder()
    with started("provision", where, "--ssid", HOME, "--psk-stdin") as program:
        state = State.AUTHORIZED
        while state is not State.PROVISIONING:
            decoder.feed(os.read(leader, 1000), 0.0)
            for packet in decoder.take_packets():
                if packet.call.command == Command.WIFI_SETTINGS:
                    state = State.PROVISIONING
                os.write(leader, state_packet(state).encode())
        os.close(leader)
        os.close(far)
        done = program.finish()
    assert done.code == 3
    assert "the serial line is gone; was the adapter unplugged?" in done.complaint


def test_a_port_that_is_not_there() -> None:
    absent = "uart:///dev/nothing-there"
    client = run("provision", absent, "--ssid", HOME, "--psk-stdin", stdin=KEY.encode())
    server = run(*SERVE[:4], absent, *SERVE[5:])
    for done in (client, server):
        assert done.code == 3
        assert "there is no device /dev/nothing-there" in done.complaint


def test_a_device_that_serves_everywhere_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the address that packets to others have, of the family that it serves."""
    local = {
        "0.0.0.0": (socket.AF_INET, "127.0.0.1"),
        "::": (socket.AF_INET6, "::1"),
    }
    monkeypatch.setattr(_improv, "_ELSEWHERE", local)
    radio = make_radio("simulated")
    provisioning = _improv.Provisioning("uart+pty://", [], radio, Presence(), trace=False)
    served = ["tcp://0.0.0.0:8805", "gatt://lamp", "http://[::]:8080/rpc", "ws://192.0.2.7:8081/"]
    for url in [*served, "pipe://lamp", "uart:///dev/ttyS0"]:
        provisioning.options["on_listening"](url)
    assert provisioning.urls() == [
        "http://[::1]:8080/rpc",
        "tcp://127.0.0.1:8805",
        "ws://192.0.2.7:8081/",
    ]
    nowhere = {"0.0.0.0": (socket.AF_INET, "255.255.255.255")}  # which is not to be connected to
    monkeypatch.setattr(_improv, "_ELSEWHERE", {**local, **nowhere})
    assert provisioning.urls() == ["http://[::1]:8080/rpc", "ws://192.0.2.7:8081/"]


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_the_url_that_is_told_is_one_that_answers(host: str) -> None:
    with started(*SERVE[:6], f"tcp://{host}:0") as program:
        port = program.next_line().split()[1]
        listening(program)
        done = run("provision", port, "--ssid", HOME, "--psk-stdin", stdin=KEY.encode())
        if done.out:  # the machine has a way to others
            assert run("call", done.out.strip(), "wifi.status").result["ssid"] == HOME
        else:
            assert "does not say where" in done.err
