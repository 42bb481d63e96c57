"""`keys`: the peers of a keyring, from the command line."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jsonrpc_iot import Keyring
from jsonrpc_iot.trust.keyring import bearer_token, key_id, read_key
from jsonrpc_iot.trust.keys import key_text

from .program import environment, run

KEY = key_text(bytes(range(32)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def put(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def test_a_key_is_printed_once_and_the_file_is_private(file: Path) -> None:
    made = run("keys", "new", str(file), "app", "--permission", "wifi", "--permission", "*")
    assert (made.code, made.err) == (0, "")
    key = read_key(made.out.removesuffix("\n"))
    shared = Keyring(file).by_key_id(key_id(key))
    assert shared is not None
    assert shared.principal.name == "app"
    assert shared.principal.permits("anything")
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600

    again = run("keys", "new", str(file), "app")
    assert again.code == 2
    assert "'app' exists" in again.complaint
    assert Keyring(file).by_key_id(key_id(key)) is not None


def test_the_token_is_that_of_the_key(file: Path) -> None:
    put(file, f'[peers.app]\nkey = "{KEY}"\n[peers.web]\ntoken_sha256 = "{"ab" * 32}"\n')
    assert run("keys", "token", str(file), "app").out == f"{bearer_token(read_key(KEY))}\n"
    for name in ("web", "nobody"):
        done = run("keys", "token", str(file), name)
        assert done.code == 2
        assert repr(name) in done.complaint


def test_the_list_shows_everything_but_keys(file: Path) -> None:
    put(
        file,
        f'[peers.app]\nkey = "{KEY}"\npermissions = ["wifi", "firmware"]\nexpires = 2027-01-01\n'
        f'[peers.web]\ntoken_sha256 = "{"ab" * 32}"\n[peers.far]\nkey_env = "NO_SUCH"\n'
        '[certificates."gateway.example"]\npermissions = ["*"]\n[uids.1000]\n',
    )
    done = run("keys", "list", str(file))
    names = ["name", "proof", "permissions", "expires", "key_id"]
    expires, id = "2027-01-01T00:00:00Z", "86e7a7892a55daa9"
    assert [json.loads(line) for line in done.out.splitlines()] == [
        dict(zip(names, values, strict=True))
        for values in (
            ("app", "key", ["firmware", "wifi"], expires, id),
            ("web", "token", [], None, None),
            ("far", "key", [], None, None),
            ("gateway.example", "certificate", ["*"], None, None),
            ("1000", "uid", [], None, None),
        )
    ]
    assert (done.code, done.err) == (0, "")
    assert run("keys", "list", str(file), "--json").out == done.out


def test_a_revoked_key_is_gone(file: Path) -> None:
    put(file, f'# mine\n[peers.app]\nkey = "{KEY}"\n')
    assert run("keys", "revoke", str(file), "app") == (0, "", "")
    assert file.read_text() == "# mine\n"
    done = run("keys", "revoke", str(file), "app")
    assert done.code == 2
    assert "no peer is called 'app'" in done.complaint


@pytest.mark.parametrize("command", ["new", "token", "list", "revoke"])
def test_a_broken_keyring_is_told_with_the_line(file: Path, command: str) -> None:
    put(file, "[peers.app]\nkey = 'correct horse battery staple'\n")
    done = run("keys", command, str(file), *(() if command == "list" else ("app",)))
    assert done.code == 2
    assert f"{file}, line 2: [peers.app] key: a key is 32 random bytes" in done.complaint
    assert "horse" not in done.complaint


@pytest.mark.parametrize("command", ["token", "list", "revoke"])
def test_a_file_that_is_not_there(file: Path, command: str) -> None:
    done = run("keys", command, str(file), *(() if command == "list" else ("app",)))
    assert done.code == 2
    assert done.complaint == f"jsonrpc-iot: {file}: no such file"
    assert not file.exists()


@pytest.mark.parametrize(
    ("date", "complaint"),
    [
        ("tomorrow", "is no date such as 2027-01-01"),
        ("2020-01-01", "is past"),
        ("20270101T", "is no date"),
    ],
)
def test_dates_that_are_none(file: Path, date: str, complaint: str) -> None:
    done = run("keys", "new", str(file), "app", "--expires", date)
    assert done.code == 2
    assert complaint in done.complaint
    assert not file.exists()


def test_a_key_expires(file: Path) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    key = read_key(run("keys", "new", str(file), "app", "--expires", soon.isoformat()).out)
    assert Keyring(file).by_key_id(key_id(key)) is not None
    after = Keyring(file, clock=(soon + timedelta(seconds=1)).timestamp)
    assert after.by_key_id(key_id(key)) is None


def test_permissions_are_exact_names(file: Path) -> None:
    done = run("keys", "new", str(file), "app", "--permission", "wifi.*")
    assert done.code == 2
    assert "no pattern" in done.complaint


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_a_file_that_others_may_read_is_told(file: Path) -> None:
    put(file, f'[peers.app]\nkey = "{KEY}"\n')
    file.chmod(0o644)
    done = run("keys", "list", str(file))
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert "chmod 600" in done.err


def test_without_the_extra_it_says_what_to_install(file: Path) -> None:
    program = (
        "import sys; sys.modules['tomlkit'] = None; from jsonrpc_iot.cli import run; "
        f"sys.exit(run(['keys', 'new', {str(file)!r}, 'app']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'jsonrpc-iot[seal]'" in done.stderr


def test_names_are_completed(file: Path) -> None:
    from jsonrpc_iot.cli import ROOT
    from jsonrpc_iot.cli.command.complete import offers

    put(file, f'[peers.app]\nkey = "{KEY}"\n[uids.5]\n')
    assert [each.word for each in offers(ROOT, ["keys", "revoke", str(file)], "")] == ["app"]
