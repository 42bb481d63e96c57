"""What people see on a terminal."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jsonrpc_iot.protocol.tuya.frame import Command, encode_frame
from tests.places import ROOT

from .conftest import Simulated
from .device import answer_with, bad_device
from .program import COMMAND, SECONDS, Done, environment, listening, started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")

COLOUR = re.compile(r"\x1b\[[\d;]*m")


def run_on_terminal(*arguments: str, error: bool = False) -> Done:
    """Run the program with a terminal as its standard output, and as its standard error too."""
    import os
    import pty

    master, slave = pty.openpty()
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(master, 65_536):
                seen.extend(data)
        except OSError:  # Linux: the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    variables = {**environment(TERM="xterm-256color", COLUMNS="80"), "PYTHONIOENCODING": "utf-8"}
    del variables["NO_COLOR"]
    done = subprocess.run(
        (*COMMAND, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave if error else subprocess.PIPE,
        cwd=ROOT,
        env=variables,
        timeout=SECONDS,
        check=False,
    )
    os.close(slave)
    reader.join()
    os.close(master)
    said = (done.stderr or b"").decode()
    return Done(done.returncode, seen.decode().replace("\r\n", "\n"), said)


def test_a_result_is_indented_and_coloured(device: Simulated) -> None:
    value = {"text": "[bold]grün[/] :smile: " + "long " * 40, "numbers": [1.5, None, True]}

    done = run_on_terminal("call", device.tcp, "echo", f"value:={json.dumps(value)}")

    plain = COLOUR.sub("", done.out)
    assert (done.code, done.err) == (0, "")
    assert COLOUR.search(done.out)
    assert plain == json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def test_how_far_a_file_is_shown_on_standard_error(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "logo.png").write_bytes(bytes(30_000))
    words = ("simulate", "--files", str(tmp_path / "root"), "--bind", "tcp://127.0.0.1:0")
    with started(*words) as program:
        url = listening(program)
        done = run_on_terminal("put", url, str(tmp_path / "logo.png"), error=True)
        assert done.code == 0
        shown, _, said = COLOUR.sub("", done.out).rpartition("logo.png: ")
        assert re.search(r"logo\.png .*30\.0/30\.0 kB", shown)
        assert said.startswith("30,000 bytes")
        listed = COLOUR.sub("", run_on_terminal("ls", url).out)
        assert re.search(r"^size +modified +name *$", listed, re.MULTILINE)
        assert re.search(r"^30,000 +\d{4}-\d\d-\d\d \d\d:\d\d +logo\.png$", listed, re.MULTILINE)
        assert "B/s" not in run_on_terminal("get", url, "logo.png", str(tmp_path / "copy")).err


def test_nothing_from_a_device_steers_the_terminal() -> None:
    hostile = r"\u001b]0;owned\u0007 \u001b[2J" + " \x7f \x9b31m \u202e"
    with bad_device(answer_with(f'{{"id":$ID,"result":["{hostile}"]}}')) as url:
        done = run_on_terminal("call", url, "m")

    plain = COLOUR.sub("", done.out)
    assert (done.code, done.err) == (0, "")
    assert all(character.isprintable() or character == "\n" for character in plain)
    assert json.loads(plain) == ["\x1b]0;owned\x07 \x1b[2J \x7f \x9b31m \u202e"]


def test_a_device_cannot_steer_it_by_a_notification() -> None:
    notification = '{"method":"\x9b","params":["\x7f"]}\n{"id":$ID,"result":1}'
    with bad_device(answer_with(notification)) as url:
        done = run_on_terminal("listen", url, "--count", "1")

    assert done == Done(0, '{"method":"\\u009b","params":["\\u007f"]}\n', "")


def test_nothing_on_a_serial_line_steers_it(tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e".encode()
    line = encode_frame(Command.RPC, hostile) + encode_frame(Command.PRODUCT, hostile)
    recording = tmp_path / "line"
    recording.write_text(json.dumps({"time": 0, "bytes": (b"\x1b[2J" + line).hex()}))

    done = run_on_terminal("monitor", "--replay", str(recording))

    noise, *frames = done.out.splitlines()
    assert noise == "\x1b[2m    0.000  noise: 4 bytes\x1b[0m"
    assert len(frames) == 2
    assert all(character.isprintable() for frame in frames for character in frame)
    assert all(r"\u001b]0;owned\u0007\u001b[2J\u000d\u000a\u009b31m\u202e" in f for f in frames)


def test_the_demo_shows_its_progress() -> None:
    done = run_on_terminal("demo")

    assert (done.code, done.err) == (0, "")
    assert "calling over pipe" in done.out
    assert re.search(r"\ntcp +\d+ +[\d.]+ ms +[\d.]+ ms +1048576 bytes\n", _lines(done.out))


def _lines(screen: str) -> str:
    """What stays on the screen, roughly: the last thing written on each line, without controls."""
    controls = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
    return "\n".join(controls.sub("", line).rpartition("\r")[2] for line in screen.split("\n"))
