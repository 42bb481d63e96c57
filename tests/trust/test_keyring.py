"""The keyring: who is proved by what, mistakes in its file, and changes of it."""

import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import Keyring, KeyringError
from jsonrpc_iot.trust.entries import read_entries
from jsonrpc_iot.trust.keyring import bearer_token, key_id, new_key
from jsonrpc_iot.trust.keys import key_text, token_digest
from jsonrpc_iot.trust.principal import Principal

pytestmark = pytest.mark.anyio

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
TEXT, OTHER_TEXT = key_text(KEY), key_text(OTHER)
TOKEN = "a token that somebody else makes"

GOOD = f"""
[peers.app]
key = "{TEXT}"
permissions = ["wifi", "firmware"]

[peers.monitor]  # reads
token_sha256 = "{token_digest(TOKEN).hex()}"
[certificates."gateway.example"]
permissions = ["*"]
[uids.1000]
permissions = ["wifi"]
"""

Write = Callable[[str], Path]


class Clock:
    """A wall clock that tests set."""

    def __init__(self, now: str) -> None:
        self.set(now)

    def set(self, now: str) -> None:
        """Set it to a time of UTC."""
        self.now = datetime.fromisoformat(f"{now}+00:00").timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the keyring's file, as editors do that put a new one in place."""

    def write(text: str) -> Path:
        path, new = tmp_path / "keys.toml", tmp_path / "new"
        new.touch(mode=0o600)
        new.write_text(text)
        return new.rename(path)

    return write


@pytest.fixture
def keyring(write: Write) -> Keyring:
    return Keyring(write(GOOD))


def test_a_key_proves_its_peer(keyring: Keyring) -> None:
    found = keyring.by_key_id(key_id(KEY))
    assert found is not None
    assert found.principal == Principal("app", frozenset({"wifi", "firmware"}), "key")
    assert (found.key, found.id) == (KEY, key_id(KEY))
    assert keyring.by_key_id(key_id(OTHER)) is None


def test_a_token_proves_its_peer(keyring: Keyring) -> None:
    app = keyring.by_token(bearer_token(KEY))
    assert app == Principal("app", frozenset({"wifi", "firmware"}), "token")
    assert keyring.by_token(TOKEN) == Principal("monitor", frozenset(), "token")
    for wrong in ("", TOKEN[:-1], TEXT, bearer_token(OTHER), "\ud800", "x" * 10_000):
        assert keyring.by_token(wrong) is None


def test_a_certificate_proves_its_name(keyring: Keyring) -> None:
    gateway = keyring.by_certificate(["other.example", "gateway.example"])
    assert gateway is not None
    assert (gateway.name, gateway.proof) == ("gateway.example", "certificate")
    assert gateway.permits("anything")
    assert keyring.by_certificate(["other.example"]) is None
    assert keyring.by_certificate([]) is None


def test_a_process_is_its_user(keyring: Keyring) -> None:
    assert keyring.by_uid(1000) == Principal("1000", frozenset({"wifi"}), "uid")
    assert keyring.by_uid(0) is None


@pytest.mark.parametrize("text", ["", "# nobody yet\n", "[peers]\n[uids]\n", "\ufeff[peers]\r\n"])
def test_an_empty_keyring_knows_nobody(write: Write, text: str) -> None:
    assert Keyring(write(text)).by_key_id(key_id(KEY)) is None


def test_keys_stand_elsewhere(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMP_KEY", f"{TEXT}\n")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text(f"{OTHER_TEXT}\n")
    keyring = Keyring(
        write('[peers.a]\nkey_env = "LAMP_KEY"\n[peers.b]\nkey_file = "secret/key"\n')
    )
    for name, key in (("a", KEY), ("b", OTHER)):
        found = keyring.by_key_id(key_id(key))
        assert found is not None
        assert found.principal.name == name


@pytest.mark.parametrize(
    ("written", "last", "first_without"),
    [
        ("2027-01-01", "2026-12-31T23:59:59", "2027-01-01T00:00:00"),
        ("2027-01-01T12:00:00", "2027-01-01T11:59:59", "2027-01-01T12:00:00"),
        ("2027-01-01T12:00:00+02:00", "2027-01-01T09:59:59", "2027-01-01T10:00:00"),
    ],
)
def test_what_expires(write: Write, written: str, last: str, first_without: str) -> None:
    expires = f"\nexpires = {written}\n"
    text = f'[peers.app]\nkey = "{TEXT}"{expires}[certificates.c]{expires}[uids.5]{expires}'
    clock = Clock(last)
    keyring = Keyring(write(text), clock=clock)

    def found() -> list[Principal | None]:
        shared = keyring.by_key_id(key_id(KEY))
        principals = [
            None if shared is None else shared.principal,
            keyring.by_token(bearer_token(KEY)),
            keyring.by_certificate(["c"]),
            keyring.by_uid(5),
        ]
        return [each and keyring.renewed(each) for each in principals]

    known = found()
    assert None not in known
    clock.set(first_without)
    assert found() == [None] * 4
    assert [each and keyring.renewed(each) for each in known] == [None] * 4
    clock.set(last)  # the clock is put right
    assert found() == known


P = f'[peers.app]\nkey = "{TEXT}"\n'

MISTAKES = {
    "no TOML": ("[peers.app]\nkey = secret words\n", 2, "not valid TOML"),
    "an open text": ('[peers.app]\n\nkey = "abc\n', 3, "not valid TOML"),
    "the same table": (f"{P}[peers.app]\n", 3, "not valid TOML"),
    "a number without end": (f"a = 1{'0' * 5000}", 1, "not valid TOML"),
    "too deep": (f"a = {'[' * 5000}", 1, "not valid TOML"),
    "an unknown table": ("[peer.app]\n", 1, "[peers.NAME]"),
    "a table that is none": ("\npeers = 5\n", 2, "[peers.NAME]"),
    "a peer that is none": ("[peers]\napp = 'secret'\n", 2, "[peers.app]"),
    "an unknown member": (f"{P}permission = ['wifi']\n", 3, "there are permissions, expires, key"),
    "a passphrase": ("[peers.app]\nkey = 'secret words'\n", 2, "jsonrpc-iot keys new"),
    "a key of 31 bytes": ("[peers.app]\n# x\nkey = 'AAAA'\n", 3, "jsonrpc-iot keys new"),
    "a key that is a number": ("[peers.app]\nkey = 5\n", 2, "jsonrpc-iot keys new"),
    "no key": (f'{P}\n[peers."b c"]\npermissions = []\n', 4, '[peers."b c"]: it has no key'),
    "two keys": (f"{P}key_env = 'X'\n", 3, "it has key and key_env; give one of"),
    "a key and its token": (f"{P}token_sha256 = 'x'\n", 3, "key and token_sha256"),
    "a variable that is missing": ("[peers.app]\nkey_env = 'NO_SUCH'\n", 2, "has no NO_SUCH"),
    "a variable without a name": ("[peers.app]\nkey_env = ''\n", 2, "variable without a name"),
    "a file that is missing": ("[peers.app]\nkey_file = 'none'\n", 2, "none: no such file"),
    "a folder": ("[peers.app]\nkey_file = '.'\n", 2, "no regular one"),
    "a path with a NUL": ('[peers.app]\nkey_file = "\\u0000"\n', 2, "[peers.app] key_file"),
    "a token itself": ("[peers.app]\ntoken_sha256 = 'secret words'\n", 2, "64 hex digits"),
    "a date in quotes": (f"{P}expires = '2027-01-01'\n", 3, "a date without quotes"),
    "a time of day": (f"{P}expires = 12:00:00\n", 3, "a date without quotes"),
    "a date that is none": (f"{P}expires = 2027-02-30\n", 3, "not valid TOML"),
    "permissions as a text": (f"{P}permissions = 'wifi'\n", 3, "a list of names"),
    "permissions as numbers": (f"{P}permissions = [5]\n", 3, "a list of names"),
    "a pattern": (f"{P}permissions = [\n  'wifi.*',\n]\n", 3, "no pattern"),
    "an empty permission": (f"{P}permissions = ['']\n", 3, "not empty"),
    "an empty name": ("[certificates.'']\n", 1, "a name of printable characters"),
    "a name with a line break": ('[peers."a\\nb"]\n', 1, "printable"),
    "a long name": (f"[peers.{'x' * 65}]\n", 1, "longer than 64"),
    "a user by name": (f"{P}[uids.root]\n", 3, "[uids.1000]"),
    "a user below 0": (f"{P}[uids.-1]\n", 3, "[uids.1000]"),
    "a user beyond all": (f"{P}[uids.{'9' * 5000}]\n", 3, "[uids.1000]"),
    "a key of a certificate": (f"[certificates.c]\nkey = '{TEXT}'\n", 2, "permissions, expires"),
    "one key, two names": (
        f'{P}[peers.b]\nkey = "{TEXT}"\n',
        3,
        "the same key as that of [peers.app]",
    ),
    "one token, two names": (
        f"{P}[peers.b]\ntoken_sha256 = '{token_digest(bearer_token(KEY)).hex()}'\n",
        3,
        "the same token as that of [peers.app]",
    ),
    "inline": (
        f"[peers]\na = {{key = '{TEXT}'}}\nb = {{key = '{OTHER_TEXT}', x = 1}}\n",
        3,
        "b] x",
    ),
}


@pytest.mark.parametrize(("text", "line", "advice"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_line(write: Write, text: str, line: int, advice: str) -> None:
    path = write(text)
    with pytest.raises(KeyringError) as caught:
        Keyring(path)
    problem = str(caught.value)
    assert problem.startswith(f"{path}, line {line}: ")
    assert advice in problem
    assert "secret" not in problem.replace(str(path), "")
    assert TEXT not in problem


def test_a_line_is_found_among_many() -> None:
    peers = [
        f'[peers.p{i}]\nkey = "{key_text(new_key())}"\npermissions = [\n"a",\n]\n'
        for i in range(200)
    ]
    peers[123] = peers[123].replace("permissions", "expires = 5\n#\npermissions")
    with pytest.raises(KeyringError, match=rf"line {123 * 5 + 3}: \[peers.p123\] expires"):
        read_entries("".join(peers), Path("keys.toml"))


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "not text", "forbidden"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "keys.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "not text":
        path.write_bytes(b"\n\xff")
    elif kind == "forbidden":
        path.touch(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    with pytest.raises(KeyringError, match=re.escape(str(path))):
        Keyring(path)


@given(st.text(alphabet="[]{}=\"'\n#.peersuidkaA1, *", max_size=60))
def test_any_text_is_a_keyring_or_a_mistake_with_a_line(text: str) -> None:
    try:
        read_entries(text, Path("keys.toml"))
    except KeyringError as error:
        found = re.match(r"keys.toml, line (\d+): ", str(error))
        assert found is not None
        assert 1 <= int(found[1]) <= text.count("\n") + 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_wide_permissions_are_a_warning(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "key").touch(mode=0o640)
    (tmp_path / "key").write_text(TEXT)
    path = write("[peers.app]\nkey_file = 'key'\n")
    path.chmod(0o644)
    keyring = Keyring(path)
    keyring.refresh(force=True)
    warned = [record.getMessage() for record in caplog.records]
    assert [text.partition(" ")[0] for text in warned] == [str(path), str(tmp_path / "key")]
    assert all("chmod 600" in text for text in warned)


def test_a_private_file_is_no_warning(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    Keyring(write(GOOD))
    assert not caplog.records


def test_a_change_is_read(write: Write, keyring: Keyring) -> None:
    assert not keyring.refresh()
    write(GOOD.replace(TEXT, OTHER_TEXT))
    assert keyring.by_key_id(key_id(OTHER)) is None
    assert keyring.refresh()
    assert keyring.by_key_id(key_id(OTHER)) is not None
    assert keyring.by_key_id(key_id(KEY)) is None
    write(GOOD.replace(TEXT, OTHER_TEXT) + "# says the same")
    assert not keyring.refresh()


def test_a_change_of_a_keys_own_file_is_read(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(TEXT)
    keyring = Keyring(write("[peers.app]\nkey_file = 'key'\n"))
    file.write_text(OTHER_TEXT)
    os.utime(file, (0, 0))
    assert keyring.refresh()
    assert keyring.by_key_id(key_id(OTHER)) is not None
    file.unlink()
    assert not keyring.refresh()
    assert keyring.by_key_id(key_id(OTHER)) is not None
    file.write_text(TEXT)
    assert keyring.refresh()
    assert keyring.by_key_id(key_id(KEY)) is not None


@pytest.mark.parametrize("broken", ["[peers.app]\nkey = 'short'\n", None])
def test_a_broken_file_keeps_what_was(
    write: Write, keyring: Keyring, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    if broken is None:
        keyring.path.unlink()
    else:
        write(broken)
    for _ in range(3):
        assert not keyring.refresh()
    assert keyring.by_key_id(key_id(KEY)) is not None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert (f"{keyring.path}, line 2: " if broken else f"{keyring.path}: ") in record.getMessage()
    write(GOOD.replace("[peers.monitor]", "[peers.reader]"))
    assert keyring.refresh()


def test_forced_it_reads_what_looks_the_same(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMP_KEY", TEXT)
    keyring = Keyring(write('[peers.app]\nkey_env = "LAMP_KEY"\n'))
    monkeypatch.setenv("LAMP_KEY", OTHER_TEXT)
    assert not keyring.refresh()
    assert keyring.refresh(force=True)
    assert keyring.by_key_id(key_id(OTHER)) is not None


MAY = 'permissions = ["*"]\n'


def test_principals_are_renewed(write: Write, keyring: Keyring) -> None:
    app, monitor = keyring.by_token(bearer_token(KEY)), keyring.by_token(TOKEN)
    assert app is not None
    assert monitor is not None
    assert keyring.renewed(app) is app
    write(GOOD.replace("firmware", "sound"))
    keyring.refresh()
    now = keyring.renewed(app)
    assert now == Principal("app", frozenset({"wifi", "sound"}), "token")
    assert keyring.renewed(now) is now
    assert keyring.renewed(monitor) is monitor
    write(GOOD.replace(token_digest(TOKEN).hex(), token_digest("x").hex()))
    keyring.refresh()
    assert keyring.renewed(monitor) is None
    write("")
    keyring.refresh()
    assert keyring.renewed(now) is None


def test_who_may_do_everything_is_renewed_and_revoked_too(write: Write, keyring: Keyring) -> None:
    uid, name = "[uids.7]\n", '[certificates."a.example"]\n'
    write(f'[peers.app]\nkey = "{TEXT}"\n{MAY}{uid}{MAY}{name}{MAY}')
    keyring.refresh()
    shared = keyring.by_key_id(key_id(KEY))
    assert shared is not None
    known = [
        shared.principal,
        keyring.by_token(bearer_token(KEY)),
        keyring.by_uid(7),
        keyring.by_certificate(["a.example"]),
    ]
    assert all(each and each.permits("all there is") for each in known)
    write(f'[peers.app]\nkey = "{TEXT}"\n{uid}{name}')
    keyring.refresh()
    now = [each and keyring.renewed(each) for each in known]
    assert not any(each is None or each.permits("all there is") for each in now)
    write("")
    keyring.refresh()
    assert [each and keyring.renewed(each) for each in known] == [None] * 4


def test_another_key_of_the_same_name_is_another_peer(write: Write, keyring: Keyring) -> None:
    shared = keyring.by_key_id(key_id(KEY))
    assert shared is not None
    write(GOOD.replace(TEXT, OTHER_TEXT))
    keyring.refresh()
    assert keyring.renewed(shared.principal) is None
    write("")
    keyring.refresh()
    write(GOOD)
    keyring.refresh()
    assert keyring.renewed(shared.principal) is None
    assert keyring.by_key_id(key_id(KEY)) is not None


def test_a_principal_that_is_not_ours_keeps_its_permissions(write: Write, keyring: Keyring) -> None:
    narrowed = Principal("app", frozenset({"wifi"}), "key")
    hooked = Principal("nobody here", frozenset({"wifi"}))
    write(GOOD.replace("firmware", "sound"))
    keyring.refresh()
    assert keyring.renewed(narrowed) is narrowed
    assert keyring.renewed(hooked) is hooked
    assert keyring.renewed(Principal("nobody here", frozenset(), "key")) is None


async def test_changes_are_watched(write: Write, keyring: Keyring) -> None:
    changed = anyio.Event()

    def tell() -> None:
        changed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keyring.watch, tell)
        for key in (OTHER, KEY):
            changed = anyio.Event()
            await anyio.lowlevel.checkpoint()
            write(GOOD.replace(TEXT, key_text(key)))
            with anyio.fail_after(10):
                await changed.wait()
            assert keyring.by_key_id(key_id(key)) is not None
        tasks.cancel_scope.cancel()


async def test_what_expires_is_a_change(write: Write) -> None:
    clock = Clock("2026-12-31T00:00:00")
    keyring = Keyring(write(f"{P}expires = 2027-01-01\n"), clock=clock)
    changed = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keyring.watch, changed.set)
        await anyio.lowlevel.checkpoint()
        clock.set("2027-01-02T00:00:00")
        with anyio.fail_after(10):
            await changed.wait()
        tasks.cancel_scope.cancel()


async def test_a_change_by_ourselves_is_told_to_who_watches(keyring: Keyring) -> None:
    changed = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keyring.watch, changed.set)
        await anyio.wait_all_tasks_blocked()
        key = keyring.add("more")
        assert keyring.by_key_id(key_id(key)) is not None
        with anyio.fail_after(10):
            await changed.wait()
        tasks.cancel_scope.cancel()


def test_a_thousand_peers_are_found(write: Write) -> None:
    keys = [new_key() for _ in range(1000)]
    path = write("".join(f'[peers.p{i}]\nkey = "{key_text(k)}"\n' for i, k in enumerate(keys)))
    keyring = Keyring(path)
    for i, key in enumerate(keys):
        found = keyring.by_key_id(key_id(key))
        assert found is not None
        assert found.principal.name == f"p{i}"
