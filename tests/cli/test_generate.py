"""`generate`: the source of a client, from a device or a file."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jsonrpc_iot import cli
from tests.places import EXAMPLES
from tests.test_examples import needs_ptys, served
from tests.test_examples import run as run_example

from .conftest import Simulated
from .device import answer_by, bad_device
from .program import Done, run, serving

LAMP: dict[str, Any] = {
    "openrpc": "1.3.2",
    "info": {"title": "Lamp", "version": "2"},
    "methods": [{"name": "lamp.set", "params": [], "result": {"schema": {"type": "integer"}}}],
}


Generate = Callable[..., Done]


@pytest.fixture
def generate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Runs the command in this process, which takes milliseconds."""

    def run_here(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = cli.run(["generate", *arguments])
        return Done(code, *capsys.readouterr())

    return run_here


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A document."""
    path = tmp_path / "lamp.json"
    path.write_text(json.dumps(LAMP))
    return path


def first_lines(text: str, count: int = 3) -> list[str]:
    return text.splitlines()[:count]


def test_a_dash_is_standard_output(generate: Generate, file: Path) -> None:
    assert generate(str(file), "-o", "-") == generate(str(file)) == generate(str(file), "--out=-")
    assert not Path("-").exists()


def test_from_a_device(device: Simulated) -> None:
    done = run("generate", device.tcp)

    assert (done.code, done.err) == (0, "")
    assert f" from {device.tcp}. Make it again" in done.out
    assert "class Lamp(ABC):" in done.out
    assert "async def wifi_scan(self) -> list[AccessPoint]:" in done.out
    assert 'wifi_status_event = Event[WifiStatus]("wifi.status")' in done.out
    assert "rpc" not in done.out.replace("jsonrpc", "").replace("jsonrpc_iot", "")


def test_a_small_link() -> None:
    with serving("simulate", "--bind", "udp://127.0.0.1:0?max=220") as (url,):
        done = run("generate", url, "--prefix", "wifi")

    assert (done.code, done.err) == (0, "")
    assert "async def connect(self, ssid: Any, psk: Any = UNSET) -> Any" in done.out


def test_a_device_that_knows_only_names() -> None:
    with bad_device(answer_by({"rpc.methods": lambda _: ["switch"]})) as url:
        done = run("generate", url, "--service", "Lamp")

    assert done.code == 0
    assert done.err == "jsonrpc-iot: known by name alone: switch\n"
    assert "    async def switch(self) -> Any: ...\n" in done.out


def test_from_a_file_into_a_file(generate: Generate, file: Path, tmp_path: Path) -> None:
    made = tmp_path / "lamp_api.py"

    for _ in range(2):  # it replaces its own
        assert generate(str(file), "-o", str(made), "--prefix", "lamp") == Done(0, "", "")

    source = made.read_text(encoding="utf-8")
    assert source.startswith("# Made by jsonrpc-iot ")
    assert " from lamp.json. Make it again instead of changing it.\n" in source
    assert source.endswith("    async def set(self) -> int: ...\n")
    assert generate(str(file), "--prefix", "lamp").out == source
    again = generate("-", "--prefix", "lamp", stdin=b"\xef\xbb\xbf" + file.read_bytes()).out
    assert again.splitlines()[1:] == source.splitlines()[1:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lamp.json", "lamp_api.py"]


def test_typescript_into_a_file(generate: Generate, file: Path, tmp_path: Path) -> None:
    made = tmp_path / "lamp.ts"

    for _ in range(2):
        options = ["--language", "typescript", "--service", "Light", "-o", str(made)]
        assert generate(str(file), *options) == Done(0, "", "")

    source = made.read_text(encoding="utf-8")
    assert source.startswith("// Made by jsonrpc-iot ")
    assert "export class Light {" in source
    assert "lampSet(options: CallOptions = {}): Promise<number> {" in source
    assert source.endswith("}\n")


def test_a_file_of_somebody_else_stays(generate: Generate, file: Path, tmp_path: Path) -> None:
    made = tmp_path / "mine.py"
    made.write_text("# mine\n")

    done = generate(str(file), "-o", str(made))

    assert done.code == 2
    assert done.complaint.endswith("the file is there, and not from here; --force replaces it")
    assert made.read_text() == "# mine\n"
    assert generate(str(file), "-o", str(made), "--force") == Done(0, "", "")
    assert "class Lamp(ABC)" in made.read_text()


def test_a_file_stays_when_nothing_can_be_made(
    generate: Generate, file: Path, tmp_path: Path
) -> None:
    made = tmp_path / "lamp_api.py"
    assert generate(str(file), "-o", str(made)).code == 0
    before = made.read_text()
    file.write_text(json.dumps({**LAMP, "methods": [{"name": ""}]}))

    done = generate(str(file), "-o", str(made))

    assert done.complaint == (
        "jsonrpc-iot: lamp.json: #/methods/0/name: a text that is not empty is needed here"
    )
    assert (done.code, made.read_text()) == (2, before)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere.json"], "cannot read 'nowhere.json': No such file or directory"),
        (["-"], "cannot read '-': it is no JSON"),
        (["FILE", "--service", "import os"], "a class cannot be called 'import os'"),
        (["FILE", "--device", "lamp"], "--device asks a gateway: give its URL"),
        (["FILE", "--prefix", "wifi"], "nothing that the device describes is called wifi.…"),
        (["FILE", "--blocking", "--language", "typescript"], "--blocking is for Python"),
        (["FILE", "--language", "cobol"], "typescript"),
        (["FILE", "-o", "/nowhere/x.py"], "--out /nowhere/x.py: No such file or directory"),
        (["FILE", "-o", "/"], "--out /: there is something that is no file"),
        (["FILE", "-o", "/dev/null", "--force"], "--out /dev/null: there is something that is no"),
    ],
)
def test_wrong_usage(generate: Generate, file: Path, arguments: list[str], reason: str) -> None:
    done = generate(*(str(file) if each == "FILE" else each for each in arguments))

    assert done.code == 2
    assert reason in done.complaint


def test_what_a_device_says_is_escaped_in_errors(generate: Generate) -> None:
    document = {**LAMP, "methods": [{"name": "\x1b[31m", "params": 5}, {"name": "\u202e"}] * 2}
    done = generate("-", stdin=json.dumps(document).encode())

    assert done.code == 2
    assert done.complaint.isprintable()


def test_nested_too_deep(generate: Generate) -> None:
    done = generate("-", stdin=b"[" * 100_000)

    assert (done.code, done.out) == (2, "")


def test_the_example_is_what_the_command_makes() -> None:
    with served("blinds_device.py", "tcp://127.0.0.1:0") as (url,):
        made = run("generate", url, "--prefix", "blinds").out
        told = run_example("generated_client.py", url).splitlines()

    kept = (EXAMPLES / "blinds_api.py").read_text(encoding="utf-8")
    assert made.splitlines()[1:] == kept.splitlines()[1:], "make it again, see the page"
    assert first_lines(kept, 1) == [
        first_lines(made, 1)[0].replace(url, "tcp://192.168.1.20"),
    ]
    assert told == [
        "moved to 10",
        "news Position(open=10, moving=False)",
        "passes 30",
        "passes 50",
    ]


@needs_ptys
def test_a_tuya_lamp_on_its_line() -> None:
    with served("tuya_lamp.py", "uart+pty://") as (url,):
        described = run("call", url, "rpc.discover", "method=lamp.toggle")  # all takes many seconds
    done = run("generate", "-", stdin=described.out.encode())

    assert (done.code, done.err) == (0, "")
    assert "async def lamp_toggle(self) -> bool" in done.out
