"""`pair`: a key for a code, from the command line."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from jsonrpc_iot import Dispatcher, Keyring, Pairing, serve
from jsonrpc_iot.trust.keyring import key_id, read_key

from .program import listening, run, serving, started

CODE = "1234-5678"


@pytest.fixture
def pairing(tmp_path: Path) -> Pairing:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    made = Pairing(Keyring(path), CODE, ["wifi"])
    made.open()
    return made


@contextmanager
def device(pairing: Pairing, url: str = "tcp://127.0.0.1:0") -> Iterator[str]:
    """Serve in a thread of its own; yields the URL."""
    serving = serve(Dispatcher(), url, pairing=pairing, strangers=False, grace=0)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving) as server:
        yield server.urls[0]


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "http://127.0.0.1:0/"])
def test_a_key_is_printed_and_counts_at_once(pairing: Pairing, url: str) -> None:
    with device(pairing, url) as where:
        done = run("pair", where, "12345678", "--name", "phone")
    assert (done.code, done.err) == (0, "")
    shared = pairing.keyring.by_key_id(key_id(read_key(done.out)))
    assert shared is not None
    assert shared.principal.name == "phone"
    assert shared.principal.permits("wifi")


def test_a_key_goes_into_a_new_private_file(pairing: Pairing, tmp_path: Path) -> None:
    out = tmp_path / "key"
    with device(pairing) as where:
        assert run("pair", where, CODE, "--out", str(out)) == (0, "", "")
        key = read_key(out.read_text())
        pairing.open()
        again = run("pair", where, CODE, "--out", str(out), "--name", "again")
    assert pairing.keyring.by_key_id(key_id(key)) is not None
    assert again.code == 2
    assert "File exists" in again.complaint
    assert "again" not in pairing.keyring
    if sys.platform != "win32":
        assert out.stat().st_mode & 0o777 == 0o600


def test_a_wrong_code_and_a_closed_window(pairing: Pairing, tmp_path: Path) -> None:
    out = tmp_path / "key"
    with device(pairing) as where:
        wrong = run("pair", where, "1234-5679", "--out", str(out))
        pairing.close()
        closed = run("pair", where, CODE)
    assert (wrong.code, closed.code) == (1, 1)
    assert json.loads(wrong.complaint) == {"code": -32005, "message": "Wrong code"}
    assert json.loads(closed.complaint) == {"code": -32006, "message": "Pairing is not open"}
    assert not out.exists()


def test_a_device_that_does_not_pair() -> None:
    with serving("serve", "--bind", "tcp://127.0.0.1:0") as (url,):
        done = run("pair", url, CODE)
    assert done.code == 1
    assert "this device gives no keys" in done.err


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_a_device_with_a_code_gives_its_first_key(tmp_path: Path, command: str) -> None:
    keys = tmp_path / "keys.toml"
    options = ("--keys", str(keys), "--require-key", "--pair", CODE)
    with started(command, "--bind", "tcp://127.0.0.1:0", *options) as program:
        url = listening(program)
        program.wait_for_error("jsonrpc-iot: WARNING: pairing is open for 300 s")
        assert run("call", url, "sys.info").code == 1
        done = run("pair", url, CODE)
        assert (done.code, done.err) == (0, "")
        assert run("pair", url, CODE, "--name", "another").code == 1
        stopped = program.stop()
    assert stopped.code == 0
    for event in ("sys.info was refused", "try 1 to pair: begun", "called 'app' from now on"):
        assert event in stopped.err
    shared = Keyring(keys).by_key_id(key_id(read_key(done.out)))
    assert shared is not None
    assert shared.principal.permits("anything")
    if sys.platform != "win32":
        assert keys.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--pair", CODE), "--pair needs --keys FILE"),
        (("--pair", "1234", "--keys", "{folder}/keys.toml"), "at least 8 digits"),
        (("--pair", CODE, "--keys", "{folder}/none/keys.toml"), "none/keys.toml: cannot make it"),
    ],
)
def test_a_device_that_cannot_pair(
    tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    given = [each.format(folder=tmp_path) for each in options]
    done = run("serve", "--bind", "tcp://127.0.0.1:0", *given)
    assert done.code == 2
    assert complaint in done.complaint
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("1234567",), "at least 8 digits: 1234-5678"),
        ((CODE, "--name", "x" * 65), "longer than 64"),
        ((CODE, "--out", "{folder}/none/key"), "--out"),
    ],
)
def test_wrong_usage(
    pairing: Pairing, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    with device(pairing) as where:
        done = run("pair", where, *(each.format(folder=tmp_path) for each in arguments))
    assert done.code == 2
    assert complaint in done.complaint


def test_nobody_is_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    done = run("pair", url, CODE, "--out", str(tmp_path / "key"))
    assert done.code == 3
    assert [*tmp_path.iterdir()] == []
