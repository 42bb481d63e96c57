"""`--record` and `replay`: a device in a file."""

import stat
from pathlib import Path

import msgspec
import pytest

from .conftest import Simulated
from .program import Done, listening, run, serving, started


def test_a_recorded_call_is_answered_again(device: Simulated, tmp_path: Path) -> None:
    file = str(tmp_path / "lamp.jsonl")
    recorded = run("call", device.tcp, "sys.info", "--record", file)

    with serving("replay", file, "--bind", "tcp://127.0.0.1:0") as (url,):
        assert run("call", url, "sys.info") == recorded
        unknown = run("call", url, "sys.inf")
    assert recorded.code == 0
    assert unknown.code == 1
    assert msgspec.json.decode(unknown.err)["data"]["hint"] == "did you mean sys.info?"
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600


@pytest.mark.parametrize("server", [("serve", "--wifi", "simulated"), ("simulate",)])
def test_what_servers_and_listen_record(server: tuple[str, ...], tmp_path: Path) -> None:
    served, heard = tmp_path / "served", tmp_path / "heard"
    bind = ("--bind", "tcp://127.0.0.1:0")
    with serving(*server, *bind, "--record", str(served)) as (url,):
        words = ("--count", "2", "--record", str(heard), "--trace")
        with started("listen", url, *words) as program:
            program.wait_for_error("<-")
            refused = run("call", url, "wifi.connect", "ssid=no network", "psk=secret words")
            lines = program.finish().out
    assert b"secret words" not in served.read_bytes()
    for file in (served, heard):
        with serving("replay", str(file), *bind, "--speed", "100") as (url,):
            assert run("listen", url, "--count", "2").out == lines
    with serving("replay", str(served), *bind, "--strict") as (url,):
        params = ("ssid=no network", "psk=other words")  # as both are masked
        assert run("call", url, "wifi.connect", *params) == refused


def test_an_empty_recording_says_so(tmp_path: Path) -> None:
    file = tmp_path / "nothing.jsonl"
    file.touch()
    with started("replay", str(file), "--bind", "tcp://127.0.0.1:0") as program:
        program.wait_for_error(f"jsonrpc-iot: WARNING: {file}: nothing is recorded there")
        listening(program)
        assert program.stop().code == 0
    done = run("monitor", "--replay", str(file))
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"jsonrpc-iot: {file}: nothing is recorded there\n")


def test_what_a_bridge_records(device: Simulated, tmp_path: Path) -> None:
    file = str(tmp_path / "home.jsonl")
    bind = ("--bind", "tcp://127.0.0.1:0")
    with started("bridge", f"lamp={device.tcp}", *bind, "--record", file) as program:
        answered = run("call", listening(program), "lamp.echo", "value=7")
        assert program.stop().code == 0
    with serving("replay", file, *bind) as (url,):
        assert run("call", url, "lamp.echo", "value=7") == answered == Done(0, '"7"\n', "")


def test_a_broken_recording(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text('{"time":0,"url":"tcp://h","direction":"<-","message":{}}\n{"time":1')

    done = run("replay", str(file), "--bind", "tcp://127.0.0.1:0")

    assert done.code == 2
    assert done.complaint.startswith(f"jsonrpc-iot: {file}:2: cut off: ")


def test_a_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("precious")

    for words in (("call", "tcp://127.0.0.1:1", "x"), ("serve", "--bind", "tcp://127.0.0.1:0")):
        done = run(*words, "--record", str(file))

        expected = f"jsonrpc-iot: {file} is there already: remove it, or take another name\n"
        assert done == Done(2, "", expected)
    assert file.read_text() == "precious"


def test_a_recording_is_of_one_run() -> None:
    done = run("serve", "--bind", "tcp://127.0.0.1:0", "--reload", "--record", "x")

    assert done.code == 2
    assert (
        done.complaint == "jsonrpc-iot: --record keeps what one run says, and --reload makes many"
    )
