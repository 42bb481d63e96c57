"""Writing a keyring's file: nothing else in it changes, and two writers lose nothing."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import Keyring, KeyringError, MissingExtra
from jsonrpc_iot.trust.entries import read_entries
from jsonrpc_iot.trust.keyfile import add, revoke
from jsonrpc_iot.trust.keyring import key_id, new_key
from jsonrpc_iot.trust.keys import key_text
from tests.cli.program import environment

KEYS = [new_key() for _ in range(4)]

COMMENTED = f"""\
# The keys of the lamp.

[peers.app]  # Anna's phone
# from the shop
key = "{key_text(KEYS[0])}"
permissions = [
    "wifi",  # to set it up
]

# The hall.
[peers.monitor]
key = "{key_text(KEYS[1])}"

# Those with certificates.
[certificates."gateway.example"]
permissions = ["*"]

[peers.late]
key = "{key_text(KEYS[2])}"
# the end
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(COMMENTED)
    return path


def names(path: Path) -> list[str]:
    return [entry.name for entry in read_entries(path.read_text(), path)]


def test_the_first_key_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    key = add(path, "app", permissions=["wifi", "firmware"], expires=date(2027, 1, 1))
    assert path.read_text() == (
        "[peers.app]\n"
        f'key = "{key_text(key)}"\n'
        'permissions = ["wifi", "firmware"]\n'
        "expires = 2027-01-01\n"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["keys.toml"]
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_comes_behind_what_is_there(path: Path) -> None:
    key = add(path, "new one", expires=datetime(2027, 1, 1, 12, tzinfo=UTC))
    assert path.read_text() == (
        f'{COMMENTED}\n[peers."new one"]\nkey = "{key_text(key)}"\nexpires = 2027-01-01T12:00:00Z\n'
    )


def test_a_given_key_is_written(path: Path) -> None:
    assert add(path, "x", key=KEYS[3]) == KEYS[3]
    shared = Keyring(path).by_key_id(key_id(KEYS[3]))
    assert shared is not None
    assert shared.principal.name == "x"


def test_a_revoked_peer_takes_its_lines_along(path: Path) -> None:
    revoke(path, "app")
    begin, end = COMMENTED.index("[peers.app]"), COMMENTED.index("# The hall.")
    assert path.read_text() == COMMENTED[:begin] + COMMENTED[end:]
    revoke(path, "late")
    assert path.read_text().endswith('permissions = ["*"]\n\n# the end\n')
    assert names(path) == ["monitor", "gateway.example"]


@given(st.permutations(["app", "monitor", "late"]), st.integers(0, 3))
def test_what_is_added_and_revoked_leaves_the_comments(order: list[str], more: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "keys.toml")
        path.write_text(COMMENTED)
        for number, name in enumerate(order):
            if number < more:
                add(path, f"more {number}")
            revoke(path, name)
        for number in range(more):
            revoke(path, f"more {number}")
        assert names(path) == ["gateway.example"]
        kept = path.read_text()
        for comment in ("keys of the lamp.", "The hall.", "Those with certificates.", "the end"):
            assert f"# {comment}" in kept or f"# The {comment}" in kept


@pytest.mark.parametrize(
    "text",
    [
        '[peers]\napp = {{key = "{0}"}}  # mine\nlate = {{key = "{1}"}}\n',
        'peers = {{app = {{key = "{0}"}}, late = {{key = "{1}"}}}}\n',
        '[peers]\napp.key = "{0}"\napp.permissions = ["a"]\nlate.key = "{1}"\n',
        'peers.app.key = "{0}"\npeers.late.key = "{1}"\n',
        '[peers.app]\npermissions = [\n"[x]",\n\n]\nkey = "{0}"\n[peers.late]\nkey = "{1}"',
        '[peers."app"]\r\nkey = "{0}"\r\n[ peers . late ]\r\nkey = "{1}"\r\n',
        '[uids.5]\n[peers.app]\nkey = "{0}"\n[uids.6]\n[peers.late]\nkey = "{1}"\n[uids.7]\n',
        '\ufeff[peers.app]\nkey = "{0}"\n[peers.late]\nkey = """\n{1}"""\n',
    ],
)
def test_every_way_to_write_a_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text.format(*map(key_text, KEYS)), newline="")
    before = set(names(path)) if "\ufeff" not in text else {"app", "late"}
    add(path, "more")
    assert set(names(path)) == before | {"more"}
    for name in ("app", "late", "more"):
        revoke(path, name)
        before -= {name}
        assert set(names(path)) - {"more"} == before
    assert "more" not in names(path)


@pytest.mark.parametrize(
    ("name", "permissions", "complaint"),
    [
        ("app", [], "'app' exists"),
        ("", [], "printable"),
        ("a\nb", [], "printable"),
        ("x" * 65, [], "longer than 64"),
        ("x", ["wifi.*"], "no pattern"),
        ("x", [""], "not empty"),
    ],
)
def test_what_cannot_be_added(
    path: Path, name: str, permissions: list[str], complaint: str
) -> None:
    with pytest.raises(KeyringError, match=complaint):
        add(path, name, permissions=permissions)
    assert path.read_text() == COMMENTED


def test_a_key_that_somebody_has_cannot_be_added(path: Path) -> None:
    with pytest.raises(KeyringError):
        add(path, "x", key=KEYS[0])
    assert path.read_text() == COMMENTED


def test_who_is_not_there_cannot_be_revoked(path: Path) -> None:
    with pytest.raises(KeyringError, match="no peer is called 'nobody'"):
        revoke(path, "nobody")
    with pytest.raises(KeyringError, match="no peer is called"):
        revoke(path, "gateway.example")


def test_a_broken_file_stays_as_it_is(path: Path) -> None:
    path.write_text("[peers.app]\nkey = 'short'\n")
    for change in (add, revoke):
        with pytest.raises(KeyringError, match="line 2"):
            change(path, "app")
    assert path.read_text() == "[peers.app]\nkey = 'short'\n"


def test_keys_that_stand_elsewhere_need_not_be_there(path: Path) -> None:
    path.write_text("[peers.a]\nkey_env = 'NO_SUCH'\n[peers.b]\nkey_file = 'none'\n")
    add(path, "c")
    revoke(path, "a")
    assert path.read_text().startswith("[peers.b]\nkey_file = 'none'\n\n[peers.c]\n")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_link_its_mode_and_owner_are_kept(path: Path, tmp_path: Path, mode: int) -> None:
    path.chmod(mode)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(path, 12, 34)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links/keys.toml"
    link.symlink_to("../keys.toml")
    add(link, "x")
    assert link.is_symlink()
    assert "x" in names(path)
    found = path.stat()
    assert found.st_mode & 0o777 == mode
    assert not is_root or (found.st_uid, found.st_gid) == (12, 34)


@pytest.mark.parametrize("place", ["none/keys.toml", "."])
def test_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(KeyringError, match=str(tmp_path)):
        add(tmp_path / place, "x")


def test_a_disk_that_fails_leaves_what_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyringError, match="cannot write it: No space left"):
        add(path, "x")
    assert path.read_text() == COMMENTED
    assert [each.name for each in tmp_path.iterdir()] == ["keys.toml"]


WRITER = """
import sys
from jsonrpc_iot.trust.keyfile import add, revoke
path, me = sys.argv[1:]
sys.stdin.readline()
for i in range(15):
    add(path, f"{me}{i}")
    if i % 3 == 0:
        revoke(path, f"{me}{i}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_writers_at_the_same_time_lose_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, me], stdin=subprocess.PIPE, env=environment()
        )
        for me in "abc"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()  # go
    while any(writer.poll() is None for writer in writers):
        read_entries(path.read_text(), path)  # is whole at all times
    assert [writer.wait(50) for writer in writers] == [0, 0, 0]
    added = {f"{me}{i}" for me in "abc" for i in range(15) if i % 3}
    assert set(names(path)) == added | {"app", "monitor", "late", "gateway.example"}


def test_without_the_library_it_says_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    for change in (add, revoke):
        with pytest.raises(MissingExtra, match=r"pip install 'jsonrpc-iot\[seal\]'"):
            change(path, "app")
