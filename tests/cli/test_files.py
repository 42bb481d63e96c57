"""`put`, `get` and `ls`, and the option --files."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import pytest

from jsonrpc_iot import cli
from tests.waiting import eventually

from .program import Done, listening, run, started

DATA = bytes(number * number % 251 for number in range(50_000))

Command: TypeAlias = Callable[..., Done]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def run_here(*words: str | Path) -> Done:
        code = cli.run([str(word) for word in words])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run_here


@contextmanager
def device(root: Path, url: str = "tcp://127.0.0.1:0", *options: str | Path) -> Iterator[str]:
    """A simulated device with files; yields its URL."""
    root.mkdir(exist_ok=True)
    words = ("simulate", "--files", str(root), "--bind", url, *map(str, options))
    with started(*words) as program:
        yield listening(program)
        assert program.stop().code == 0


def test_a_file_goes_there_and_back(tmp_path: Path, command: Command) -> None:
    (tmp_path / "log.txt").write_bytes(DATA)
    hash = sha256(DATA).hexdigest()
    with device(tmp_path / "root") as url:
        done = command("put", url, tmp_path / "log.txt")
        assert done == (0, f"log.txt: 50,000 bytes, sha256 {hash}\n", "")
        assert (tmp_path / "root/log.txt").read_bytes() == DATA
        done = command("put", url, tmp_path / "log.txt", "a/b.txt", "--json")
        assert done.result == {"name": "a/b.txt", "size": 50_000, "sha256": hash}

        done = command("ls", url)
        assert done.code == 0
        listed = [json.loads(line) for line in done.out.splitlines()]
        assert [each.pop("modified") > 0 for each in listed] == [True, True]
        facts = {"size": 50_000, "sha256": hash}
        assert listed == [{"name": "log.txt", **facts}, {"name": "a/b.txt", **facts}]
        assert command("ls", url, "a").result["name"] == "a/b.txt"

        assert run("get", url, "a/b.txt", cwd=tmp_path).code == 0
        assert (tmp_path / "b.txt").read_bytes() == DATA
        (tmp_path / "b.txt").write_bytes(b"another")
        done = command("get", url, "a/b.txt", tmp_path / "b.txt")
        assert done.code == 1
        assert "hint: --replace" in done.err
        assert command("get", url, "a/b.txt", tmp_path / "b.txt", "--replace").code == 0
        assert (tmp_path / "b.txt").read_bytes() == DATA

        assert json.loads(command("get", url, "nothing").complaint)["code"] == 3001
        assert json.loads(command("put", url, tmp_path / "b.txt", "../x").complaint)["code"] == 3004
        assert json.loads(command("ls", url, "..").complaint)["code"] == 3004
        missing = command("put", url, tmp_path / "nowhere")
        assert (missing.code, "No such file" in missing.complaint) == (2, True)
    assert command("put", url, tmp_path / "log.txt").code == 3
    no_folder = command("simulate", "--files", tmp_path / "nowhere", "--bind", url)
    assert (no_folder.code, "No such file" in no_folder.complaint) == (2, True)


def test_with_a_keyring_the_permission_is_needed(tmp_path: Path, command: Command) -> None:
    (tmp_path / "file").write_bytes(DATA)
    keys = tmp_path / "keys.toml"
    secrets = {}
    for name, permission in (("app", "files"), ("other", "wifi")):
        done = command("keys", "new", keys, name, "--permission", permission)
        (tmp_path / name).write_text(done.out)
        secrets[name] = f"?psk=file:{tmp_path / name}"
    with device(tmp_path / "root", "udp://127.0.0.1:0", "--keys", keys) as url:
        stranger = command("put", url, tmp_path / "file")
        assert stranger.code == 1
        assert json.loads(stranger.err.splitlines()[0])["code"] == -32005
        other = command("put", url + secrets["other"], tmp_path / "file")
        assert json.loads(other.complaint)["code"] == -32006
        assert command("put", url + secrets["app"], tmp_path / "file").code == 0
    assert (tmp_path / "root/file").read_bytes() == DATA


@pytest.mark.anyio
async def test_both_ends_are_killed_and_the_next_ones_go_on(tmp_path: Path) -> None:
    data = os.urandom(1_500_000)
    file, root = tmp_path / "file", tmp_path / "root"
    file.write_bytes(data)
    root.mkdir()
    words = ("simulate", "--files", str(root), "--bind", "tcp://127.0.0.1:0?max=200")
    with started(*words) as killed:
        url = listening(killed)
        with started("put", url, str(file)) as sender:
            await eventually(lambda: any(root.glob(".jsonrpc-iot/*.part")))  # after a second
            sender.process.send_signal(signal.SIGKILL)
        killed.process.send_signal(signal.SIGKILL)
    assert not (root / "file").exists()
    with device(root) as url:
        (part,) = root.glob(".jsonrpc-iot/*.part")
        assert run("put", url, str(file)).code == 0
        assert not part.exists()
    assert (root / "file").read_bytes() == data


def test_everybody_may_where_there_is_no_keyring(tmp_path: Path) -> None:
    words = ("simulate", "--files", str(tmp_path), "--bind", "tcp://127.0.0.1:0")
    with started(*words) as program:
        warning = program.wait_for_error("jsonrpc-iot: WARNING:")
        assert "may do what needs the permission files" in warning


def test_a_file_goes_into_a_folder(tmp_path: Path, command: Command) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/log.txt").write_bytes(DATA)
    (tmp_path / "logs").mkdir()
    with device(tmp_path / "root") as url:
        assert command("get", url, "log.txt", tmp_path / "logs").code == 0
    assert (tmp_path / "logs/log.txt").read_bytes() == DATA


def test_standard_input_and_output(tmp_path: Path, command: Command) -> None:
    with device(tmp_path / "root") as url:
        done = run("put", url, "-", "note.txt", stdin=b"\xef\xbb\xbfWater the plants.")
        assert (done.code, done.out[:20]) == (0, "note.txt: 20 bytes, ")
        done = command("get", url, "note.txt", "-")
        assert (done.code, done.out) == (0, "\ufeffWater the plants.")
        assert done.err.startswith("note.txt: 20 bytes, ")
        assert command("put", url, "-").complaint.endswith("standard input has no name: say NAME")


def test_a_place_where_no_file_can_be_is_refused_at_once(tmp_path: Path, command: Command) -> None:
    place = tmp_path / "none/log.txt"
    complaint = f"jsonrpc-iot: {place}: there is no folder {place.parent}\n"
    assert command("get", "tcp://127.0.0.1:1", "log.txt", place) == (2, "", complaint)


@pytest.mark.parametrize(
    ("words", "service"),
    [
        (("put", "{url}", "{file}"), "files"),
        (("get", "{url}", "log.txt"), "files"),
        (("ls", "{url}"), "files"),
        (("update", "{url}", "{file}", "--version", "2"), "firmware"),
    ],
)
def test_a_device_without_the_service(
    tmp_path: Path, command: Command, words: tuple[str, ...], service: str
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with started("simulate", "--bind", "tcp://127.0.0.1:0") as program:
        url = listening(program)
        done = command(*(word.format(url=url, file=tmp_path / "file") for word in words))
    assert done.code == 1
    error, hint = done.err.splitlines()
    assert json.loads(error)["code"] == -32601
    assert f"has no service '{service}'" in hint
    assert f"--{service} DIR" in hint


def test_who_has_to_wait_is_told_how_long(tmp_path: Path, command: Command) -> None:
    (tmp_path / "log.txt").write_bytes(DATA)
    with device(tmp_path / "root") as url:
        begun = {"name": "log.txt", "size": 1, "sha256": sha256(b"1").hexdigest()}
        assert command("call", url, "files.begin", json.dumps(begun)).code == 0
        done = command("put", url, tmp_path / "log.txt")
    assert done.code == 1
    assert "hint: another one is being written" in done.err
    assert " s\n" in done.err
