"""`provision --code`: a device gets a key and a network over one serial port."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from jsonrpc_iot.trust.keyring import read_key
from tests.services._wifi import HOME, KEY

from .program import Done, listening, run, started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")

CODE = "1234-5678"


class Ends(NamedTuple):
    """Where a device is: its serial port, and its address on the network."""

    port: str
    url: str

    def provision(self, *options: str, key: str = KEY) -> Done:
        arguments = ("--ssid", HOME, "--psk-stdin", *options)
        return run("provision", self.port, *arguments, stdin=key.encode())


@contextmanager
def device(keys: Path) -> Iterator[Ends]:
    """A device that lets nobody in without a key, and is open for pairing."""
    keys.touch(mode=0o600)
    trust = ("--keys", str(keys), "--pair", CODE, "--require-key")
    line = ("--bind", "uart+pty://", "--improv", "uart+pty://")
    net = ("--bind", "tcp://127.0.0.1:0")
    with started("serve", "--wifi", "simulated", *line, *net, *trust) as program:
        assert program.next_line().startswith("improv ")
        yield Ends(listening(program), listening(program))


def test_the_key_goes_into_a_file_and_opens_the_device(tmp_path: Path) -> None:
    file = tmp_path / "lamp.key"
    with device(tmp_path / "keys.toml") as ends:
        done = ends.provision("--code", CODE, "--name", "phone", "--out", str(file))
        assert done == (0, f"{ends.url}\n", "")
        for url in ends:
            status = run("call", f"{url}?psk=file:{file}", "wifi.status")
            assert status.result["ssid"] == HOME
    assert "phone" in (tmp_path / "keys.toml").read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_outcome_of_both_halves_is_told(tmp_path: Path) -> None:
    file = tmp_path / "lamp.key"
    with device(tmp_path / "keys.toml") as ends:
        done = ends.provision("--code", "1234-5679", "--out", str(file))
        assert (done.code, done.out) == (1, "")
        assert "told of no network" in done.err
        assert "Wrong code" in done.err
        assert not file.exists()

        done = ends.provision("--code", CODE, "--trace", key="not the right key")
        assert done.code == 1
        assert len(read_key(done.out)) == 32
        assert "is paired, and its key holds" in done.err
        assert '{"code":3,"message":"Unable to connect"}' in done.err
        assert "not the right key" not in done.err
        assert b"not the right key".hex(" ") not in done.err

        done = ends.provision("-v")
        assert (done.code, done.out) == (0, f"{ends.url}\n")
        assert KEY not in done.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--name", "phone"), "--code"),
        (("--out", "key"), "--code"),
        (("--code", "12-34"), "8 digits"),
        (("--code", CODE, "--out", "/nowhere/key"), "--out /nowhere/key"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], problem: str) -> None:
    done = Ends("uart:///dev/nothing-there", "").provision(*options)
    assert done.code == 2
    assert problem in done.complaint
