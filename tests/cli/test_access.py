"""`--keys` and `--require-key`: who may do what on a server of the command line."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jsonrpc_iot import Keyring
from jsonrpc_iot.trust.keyring import bearer_token

from .program import Done, Running, listening, run, started

LAMP = """
from jsonrpc_iot import Dispatcher, Unauthorized

dispatcher = Dispatcher()

@dispatcher.method(requires="switch")
def switch() -> str:
    return "switched"

@dispatcher.method
def unlock(pin: str) -> None:
    raise Unauthorized("Wrong PIN")
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "lamp.py").write_text(LAMP)
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    return path


@contextmanager
def lamp(keys: Path, url: str, *more: str) -> Iterator[tuple[Running, str]]:
    words = ("serve", "lamp:dispatcher", "--keys", str(keys), "--bind", url, *more)
    with started(*words, cwd=keys.parent) as program:
        yield program, listening(program)


def test_a_token_may_do_what_the_keyring_says(keys: Path) -> None:
    token = bearer_token(Keyring(keys).add("app", permissions=["switch"]))
    with lamp(keys, "http://127.0.0.1:0/rpc") as (program, url):
        done = run("call", f"{url}?token=env:TOKEN", "switch", TOKEN=token)
        assert done.result == "switched"
        assert "switch" in run("describe", f"{url}?token=env:TOKEN", TOKEN=token).out
        assert "switch" not in run("describe", url).out
        refused = run("call", url, "switch")
        assert refused.code == 1
        assert '"code":-32005' in refused.err
        assert "hint: this device wants a key: ?token=env:NAME" in refused.err
        left = program.stop()
    assert (left.code, left.out) == (0, "")
    assert "switch was refused to a stranger: it needs 'switch'" in left.err
    assert token not in left.err


def test_without_a_keyring_the_server_warns_and_the_hint_says_that_a_key_may_not_help(
    keys: Path,
) -> None:
    with started("serve", "lamp:dispatcher", "--bind", "tcp://127.0.0.1:0", cwd=keys.parent) as it:
        refused = run("call", listening(it), "switch")
        assert "; without a keyring there nobody may call that" in refused.err
        left = it.stop()
    assert "switch: nobody may call what requires a permission, without keyring=" in left.err


def test_a_server_without_segments_is_a_hint_at_the_option(keys: Path) -> None:
    with started("simulate", "--bind", "udp://127.0.0.1:0") as it:
        refused = run("call", f"{listening(it)}?segment=1", "echo", f"value={'x' * 3000}")
    assert refused.code == 1
    assert '"code":-32700' in refused.err
    assert "hint: the other end may not know ?segment=; try without it" in refused.err


def test_a_reason_of_the_devices_own_is_no_hint_at_a_key(keys: Path) -> None:
    with lamp(keys, "tcp://127.0.0.1:0") as (_, url):
        done = run("call", url, "unlock", "pin=1")
    assert done.code == 1
    assert "Wrong PIN" in done.complaint


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_strangers_are_kept_out(keys: Path, command: str) -> None:
    words = (command, "--keys", str(keys), "--require-key", "--bind", "udp://0.0.0.0:0")
    with started(*words) as program:
        url = listening(program).replace("0.0.0.0", "127.0.0.1")
        assert run("ping", url, "--count", "1").code == 0
        for asked in (("call", url, "sys.info"), ("describe", url)):
            refused = run(*asked)
            assert refused.code == 1
            assert '"code":-32005' in refused.err
            assert "hint: this device wants a key: ?psk=env:NAME" in refused.err
        left = program.stop()
    assert (left.code, left.out) == (0, "")
    assert "sys.info was refused to a stranger" in left.err
    assert "nobody has to authenticate" not in left.err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no users of pipes, and no SIGHUP")
def test_the_keyring_is_read_again_on_sighup(keys: Path) -> None:
    with lamp(keys, f"unix://{keys.parent}/lamp.sock") as (program, url):
        assert run("call", url, "switch").code == 1
        keys.write_text("[uids.nobody\n")
        program.process.send_signal(signal.SIGHUP)
        said = program.wait_for_error("jsonrpc-iot: ERROR")
        assert f"{keys}" in said
        assert "line 1" in said
        keys.write_text(f'[uids.{os.getuid()}]\npermissions = ["switch"]\n')
        program.process.send_signal(signal.SIGHUP)
        done = run("call", url, "switch")
        assert done.result == "switched"
        assert program.stop().code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "--bind", "memory://a"),
        ("simulate", "--bind", "memory://a"),
        ("nova", "platform", "--db", "{folder}/nova.db"),
    ],
    ids=lambda words: words[0],
)
def test_a_keyring_with_a_mistake(keys: Path, words: tuple[str, ...]) -> None:
    keys.write_text("[peers.app]\n\nkey = 'short'\n")
    done = run(*(word.format(folder=keys.parent) for word in words), "--keys", str(keys))
    assert done.code == 2
    assert str(keys) in done.complaint
    assert "line 3" in done.complaint


def test_a_key_cannot_be_required_where_nobody_has_one() -> None:
    done = run("simulate", "--bind", "tcp://127.0.0.1:0", "--require-key")
    assert done.code == 2
    assert "--keys" in done.complaint


def test_management_of_a_platform_takes_the_keyring(keys: Path) -> None:
    ring = Keyring(keys)
    names = ("nova:read", "nova:command", "nova:admin")
    tokens = {name: bearer_token(ring.add(name[5:], permissions=[name])) for name in names}
    words = ("--db", str(keys.parent / "nova.db"), "--port", "0", "--keys", str(keys))
    urls = ("--manage", "http://127.0.0.1:0/rpc")
    with started("nova", "platform", *words, *urls) as program:
        assert listening(program).startswith("novacloud://")
        url = listening(program)

        def call(name: str | None, *call: str) -> Done:
            if name is None:
                return run("call", url, *call)
            return run("call", f"{url}?token=env:TOKEN", *call, TOKEN=tokens[name])

        made = call("nova:admin", "device.create", "name=lamp").result
        device = f"device_id={made['device_id']}"
        for name in names:
            assert [each["name"] for each in call(name, "device.list").result] == ["lamp"]
        for unable in (None, "nova:read", "nova:command"):
            assert call(unable, "device.delete", device).code == 1
        for unable, code in (("nova:read", "-32006"), (None, "-32005")):
            refused = call(unable, "command.send", device, "payload:={}")
            assert f'"code":{code}' in refused.err
        allowed = call("nova:command", "command.send", device, "payload:={}", "wait:=false")
        assert '"code":-3200' not in allowed.err
        left = program.stop()
    assert (left.code, left.out) == (0, "")
    assert "may do everything" not in left.err
