"""The examples run, and the documents show them as they are."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.places import ROOT

from .cli.program import serving

EXAMPLES = ROOT / "examples"
QUOTED = re.compile(r"<!-- ((?:firmware|examples)/\S+) -->\n```(?:python|c)\n(.*?)```", re.DOTALL)
SECONDS = 50.0  # a noisy line takes 15 on a machine that is busy with ten other things

needs_ptys = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")


def run(name: str, *arguments: str, source: str | None = None) -> str:
    """What an example prints, or the code on standard input when the name is `-`."""
    command = [sys.executable, name if name == "-" else str(EXAMPLES / name), *arguments]
    done = subprocess.run(
        command, input=source, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@contextmanager
def served(name: str, *urls: str) -> Iterator[list[str]]:
    """The URLs of an example that serves."""
    command = [sys.executable, str(EXAMPLES / name), *urls]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield [process.stdout.readline().strip() for _ in urls]
        finally:
            process.terminate()
            assert process.wait(SECONDS) == 0


DOCUMENTS = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
CODE = re.compile(r"(?<!-->\n)```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_quotes_the_examples_as_they_are(document: str) -> None:
    quotes = QUOTED.findall((ROOT / document).read_text(encoding="utf-8"))
    for path, code in quotes:
        assert code == (ROOT / path).read_text(encoding="utf-8"), path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_code_in_a_document_runs(document: str) -> None:
    blocks = CODE.findall((ROOT / document).read_text(encoding="utf-8"))
    run("-", source="\n".join(blocks))


def test_the_readme_keeps_its_promise_of_shortness() -> None:
    def lines(name: str) -> int:
        return sum(
            bool(line.strip()) and "import" not in line
            for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
        )

    assert lines("lamp.py") <= 15
    assert lines("lamp_client.py") <= 12


def test_lamp(tmp_path: Path) -> None:
    with served("lamp.py", f"pipe://lamp?dir={tmp_path}", "tcp://127.0.0.1:0") as urls:
        outputs = [run("lamp_client.py", url) for url in urls]
    for output, previous in zip(outputs, (0, 40), strict=True):
        was, news, refused = output.splitlines()
        assert was == f"was {previous}"
        assert "lamp.changed" in news
        assert "$.level" in refused


def test_lamp_script() -> None:
    with served("lamp.py", "tcp://127.0.0.1:0") as (url,):
        lines = run("lamp_script.py", url).splitlines()
    assert lines[:3] == ["was 0", "was 100", "was 0"]
    assert "$.level" in lines[3]
    assert lines[4:] == [f"news {{'level': {level}}}" for level in (100, 0, 40)]


def test_thermostat() -> None:
    with served("thermostat.py", "tcp://127.0.0.1:0") as (url,):
        program = [sys.executable, "-m", "jsonrpc_iot", "call", url, "thermostat.target"]
        done = subprocess.run(
            [*program, "celsius:=21.5"], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        assert done.stdout == "null\n"
        done = subprocess.run(
            [*program, "celsius:=99"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 1
        assert "$.celsius" in done.stderr


def test_both_ways() -> None:
    assert run("both_ways.py") == "open\n"


def test_files() -> None:
    lines = run("files.py").splitlines()
    assert lines == ["0 of 17 bytes", "17 of 17 bytes", "notes/today.txt 17 Water the plants."]


def test_firmware() -> None:
    assert run("firmware.py") == "1.1.0 confirmed before: 1.0.0\n"


def test_blinds() -> None:
    with served("blinds_device.py", "tcp://127.0.0.1:0") as (url,):
        lines = run("blinds_client.py", url).splitlines()
    assert lines == [
        "moved to 10",
        "news Position(open=10, moving=False)",
        "passes 30",
        "passes 50",
        "refused {'path': '$.open', 'message': 'Expected `int` <= 100'}",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the transport is for Linux")
@pytest.mark.timeout(120)  # many tests, on a machine that may be busy
def test_a_transport_passes_its_own_tests() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [*command, str(EXAMPLES / "seqpacket_test.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@needs_ptys
def test_tuya() -> None:
    with served("tuya_lamp.py", "uart+pty://") as (url,):
        lines = run("tuya_gateway.py", url).splitlines()
    assert lines == [
        "product lamp-demo",
        "switch False",
        "switch True",
        "toggled to False",
        "switch False",
        "toggled to True",
    ]


@needs_ptys
def test_raw_uart() -> None:
    with serving("simulate", "--bind", "uart+pty://") as (url,):
        reply = run("raw_uart.py", url.removeprefix("uart://"))
    assert reply == '{"id":1,"result":{"ssid":"","state":0,"signal":0}}\n'
