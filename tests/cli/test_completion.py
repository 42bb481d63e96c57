"""What the shells offer where somebody presses Tab."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests._system import require_command
from tests.waiting import SECONDS

from .conftest import Simulated
from .device import answer_with, bad_device
from .program import COMMAND, environment, serving

PROGRAM = Path(sys.executable).with_name("jsonrpc-iot")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these shells are not there")


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    """Where what devices say is kept, and that a busy machine may take its time to ask."""
    return {"XDG_CACHE_HOME": str(tmp_path), "JSONRPC_IOT_COMPLETION_SECONDS": "10"}


def answered(shell: str, *words: str, **variables: str) -> str:
    """What a shell is told that asks by its script; nothing else is printed."""
    done = subprocess.run(
        (*COMMAND, *words),
        env=environment(_JSONRPC_IOT_COMPLETE=shell, **variables),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def offered(*words: str, **variables: str) -> list[str]:
    """What fish is told to offer for the last of these words, without their help."""
    lines = answered("fish", *words, **variables).splitlines()
    return [line.partition("\t")[0] for line in lines]


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["d"], ["describe", "discover", "demo"]),
        (["nova", "l"], ["load"]),
        (["--v"], ["--version"]),
        (["call", "t"], ["tcp://", "tls://", "tuya-dp://"]),
        (["call", "ua"], ["uart://"]),
        (["monitor", "ua"], ["uart://", "uart+pty://"]),
        (["monitor", "t"], ["tuya-dp://"]),
        (["simulate", "--bind", "ua"], ["uart://", "uart+pty://"]),
        (["simulate", "--bind=ua"], ["--bind=uart://", "--bind=uart+pty://"]),
        (["simulate", "--bind", "udp://", "--b"], ["--bind"]),
        (["bench", "--con"], ["--concurrency"]),
        (["call", "--trace", "tcp://x", "--t"], ["--timeout"]),
        (["call", "--dialect", ""], ["iot", "jsonrpc2"]),
        (["call", "--dialect=j"], ["--dialect=jsonrpc2"]),
        (["call", "-h", "--he"], ["--help"]),
        (["demo", ""], []),
        (["nonsense", ""], []),
        (["call", "--nonsense", ""], []),
    ],
)
def test_what_is_offered(words: list[str], offers: list[str]) -> None:
    assert offered(*words) == offers


def test_methods_of_a_device_and_their_params(device: Simulated, cache: dict[str, str]) -> None:
    assert offered("call", device.tcp, "ec", **cache) == ["echo"]
    assert "wifi.scan" in offered("bench", device.udp, "", **cache)
    assert offered("notify", device.pipe, "wifi.sta", **cache) == ["wifi.status"]
    assert offered("call", device.tcp, "echo", "", **cache) == ["value:="]
    connect = ["call", "--timeout", "3", device.tcp, "wifi.connect"]
    assert sorted(offered(*connect, "", **cache)) == ["psk=", "ssid="]
    assert offered(*connect, "ssid=home", "", **cache) == ["psk="]
    assert offered("call", device.tcp, "nonsense", "", **cache) == []


def test_they_come_with_what_they_do(device: Simulated, cache: dict[str, str]) -> None:
    assert answered("fish", "call", device.tcp, "ech", **cache) == "echo\tReturns its argument.\n"


LAMP = """
from typing import Literal
from jsonrpc_iot import Dispatcher

lamp = Dispatcher()

@lamp.method
def switch(mode: Literal["on", "off"], fast: bool = False, level: int = 3) -> None:
    pass
"""


def test_values_where_there_are_few(tmp_path: Path, cache: dict[str, str]) -> None:
    (tmp_path / "lamp.py").write_text(LAMP)
    serve = ("serve", "lamp:lamp", "--bind", "tcp://127.0.0.1:0")
    with serving(*serve, cwd=tmp_path) as (url,):
        assert offered("call", url, "switch", "", **cache) == ["mode=", "fast:=", "level:="]
        assert offered("call", url, "switch", "mode=", **cache) == ["mode=off", "mode=on"]
        assert offered("call", url, "switch", "fast:=t", **cache) == ["fast:=true"]
        assert offered("call", url, "switch", "level:=", **cache) == ["level:="]
    # The device is gone, and what it said is not.
    assert offered("call", url, "sw", **cache) == ["switch"]
    (kept,) = (tmp_path / "jsonrpc-iot").glob("*.json")
    os.utime(kept, (0, 0))
    assert offered("call", url, "sw", **cache) == ["switch"]
    kept.write_text("[")
    assert offered("call", url, "sw", **cache) == []


def described(*methods: object) -> str:
    """A device's answer to every request: the document of these methods."""
    document = {"methods": [{"name": name, "params": []} for name in methods]}
    return f'{{"id":$ID,"result":{msgspec.json.encode(document).decode()}}}'


@pytest.mark.parametrize(
    ("answer", "offers"),
    [
        (described("$(reboot)", "a b", "-rf", "--trace", "x;y", "`z`", "*", "d\x1b[2J", "é"), []),
        (described("door.open", "door\nopen", ""), ["door.open"]),
        (described(7), []),
        ('{"id":$ID,"result":["one","two two"]}', ["one"]),
        ('{"id":$ID,"result":"methods"}', []),
        ('{"id":$ID,"error":{"code":-32601,"message":"\x1b[31m"}}', []),
        ("ERROR", []),
        ("", []),
    ],
)
def test_a_device_cannot_say_what_harms(
    answer: str, offers: list[str], cache: dict[str, str]
) -> None:
    if not offers:  # it may be that nothing more comes
        cache["JSONRPC_IOT_COMPLETION_SECONDS"] = "2"
    with bad_device(answer_with(answer)) as url:
        assert offered("call", url, "", **cache) == offers


@pytest.mark.parametrize(
    "url",
    [
        "tcp://127.0.0.1:1",
        "udp://127.0.0.1:1",
        "pipe://nobody-is-here",
        "mqtt://127.0.0.1:1/rpc",
        "http://[::1",
        "tcp://host.invalid",
        "tcp://",
        "nonsense",
        "uart:///dev/nothing",
        "uart+pty://",
        "",
    ],
)
def test_where_nobody_answers_nothing_is_said(url: str, cache: dict[str, str]) -> None:
    cache["JSONRPC_IOT_COMPLETION_SECONDS"] = "1"
    assert offered("call", url, "m", **cache) == []


def test_a_cache_that_cannot_be_written(
    device: Simulated, tmp_path: Path, cache: dict[str, str]
) -> None:
    (tmp_path / "file").touch()

    cache["XDG_CACHE_HOME"] += "/file"
    assert offered("call", device.tcp, "ec", **cache) == ["echo"]


@contextmanager
def terminal(*command: str, **variables: str) -> Iterator[int]:
    """A shell on a terminal; gives the terminal's other end."""
    import pty

    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    shown = {**environment(**variables), "PATH": path, "PS1": "$ ", "TERM": "dumb"}
    process, end = pty.fork()
    if process == 0:
        os.execvpe(command[0], command, shown)
    try:
        yield end
    finally:
        os.close(end)
        os.waitpid(process, 0)


def read_until(end: int, text: str) -> str:
    """What a terminal shows until that text has come."""
    import select
    import time

    shown = ""
    until = time.monotonic() + SECONDS
    while text not in shown:
        ready, _, _ = select.select([end], [], [], max(0, until - time.monotonic()))
        assert ready, shown
        shown += os.read(end, 4096).decode(errors="replace")
    return shown


@pytest.mark.parametrize(
    ("shell", "prepare"),
    [
        (["bash", "--norc", "-i"], 'eval "$(jsonrpc-iot --show-completion)"'),
        (
            ["zsh", "-f", "-i"],
            'autoload -Uz compinit; compinit -u -D; eval "$(jsonrpc-iot --show-completion)"',
        ),
    ],
    ids=["bash", "zsh"],
)
def test_somebody_presses_tab(
    shell: list[str], prepare: str, device: Simulated, cache: dict[str, str]
) -> None:
    require_command(shell[0])
    with terminal(*shell, **cache) as end:
        os.write(end, f"{prepare}; echo re''ady\n".encode())
        read_until(end, "ready")
        os.write(end, f"jsonrpc-iot ca\t{device.tcp} ec\tva\t3\n".encode())
        read_until(end, "\n3\r\n")


def test_fish_asks_too(device: Simulated, cache: dict[str, str]) -> None:
    fish = require_command("fish")
    wanted = f"complete -C 'jsonrpc-iot call {device.tcp} ech'"
    done = subprocess.run(
        [fish, "--no-config", "-c", f"jsonrpc-iot --show-completion | source; {wanted}"],
        env={**environment(**cache), "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )

    assert done.stdout == "echo\tReturns its argument.\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("jsonrpc-iot ca", "call\n"),
        ("jsonrpc-iot 'ca", ""),
        ("jsonrpc-iot call uar", "uart://\n"),
        ("jsonrpc-iot call uart:", "//\n"),
        ("jsonrpc-iot call --dialect=j", "jsonrpc2\n"),
        ("jsonrpc-iot call --dialect=jsonrpc2 xyz", ""),
    ],
)
def test_bash_replaces_only_what_follows_the_last_break(line: str, answer: str) -> None:
    asked = {"COMP_LINE": f"{line} and on", "COMP_POINT": str(len(line))}

    assert answered("bash", **asked) == answer


@pytest.mark.parametrize("shell", ["nonsense", "complete_bash", "bash", "zsh"])
def test_a_shell_that_asks_otherwise_gets_no_offers(shell: str) -> None:
    assert answered(shell) == ""


@pytest.mark.parametrize(
    ("shell", "place", "line"),
    [
        ("bash", ".bash_completions/jsonrpc-iot.sh", ".bashrc"),
        ("zsh", ".zfunc/_jsonrpc-iot", ".zshrc"),
        ("fish", ".config/fish/completions/jsonrpc-iot.fish", None),
    ],
)
def test_completion_is_installed_once(
    shell: str, place: str, line: str | None, tmp_path: Path
) -> None:
    command = f"'{sys.executable}' -m jsonrpc_iot --install-completion; true"
    for _ in range(2):
        done = subprocess.run(
            [require_command(shell), "-c", command],
            env=environment(HOME=str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        assert done.stderr == ""
        assert done.stdout.startswith(f"{shell} completion installed in {tmp_path / place}\n")

    assert "_jsonrpc_iot_completion" in (tmp_path / place).read_text()
    if line is not None:
        assert (tmp_path / line).read_text().count("\n") == 1
