"""The page "Firmware in C": whoever does what it says sees what it shows."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from tests._system import require_command
from tests.places import ROOT
from tests.ports import free_port

from .sizes import table

pytestmark = [pytest.mark.firmware, pytest.mark.timeout(400)]

PAGE: Final = (ROOT / "docs" / "firmware.md").read_text(encoding="utf-8")
FILE: Final = re.compile(r"<!-- (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
CONSOLE: Final = re.compile(r"```console\n(.*?)```", re.DOTALL)
OUTPUT: Final = re.compile(r"```text\n(.*?)```", re.DOTALL)
COMMAND: Final = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:[^$].*\n)*)", re.MULTILINE)
NOT_HERE: Final = ("sudo ", "pip ")
"""What tools/system-packages and the environment of the tests have done."""

SECONDS: Final = 90.0  # all of the library is compiled, three times
TOLERANCE: Final = 0.04
"""Another release of the compiler makes other code."""


class Desk:
    """A folder with the repository in it, and a shell there."""

    def __init__(self, folder: Path) -> None:
        (folder / "jsonrpc-iot").symlink_to(ROOT)
        self._ports = {shown: str(free_port()) for shown in ("24001", "24002", "24003")}
        self._path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._running = ExitStack()
        self.folder = folder

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def write_files(self) -> None:
        """Write what the page has of each file, one piece behind the other."""
        for name, text in FILE.findall(PAGE):
            with (self.folder / name).open("a", encoding="utf-8") as file:
                file.write(self.here(text))

    def run(self, command: str) -> str:
        """What a command prints."""
        command = self.here(command)
        if command.startswith("cd "):
            self.folder /= command[3:]
            return ""
        if command.endswith("&"):
            self._running.enter_context(self._in_background(command.removesuffix("&")))
            return ""
        done = subprocess.run(
            [require_command("bash"), "-ec", command],
            cwd=self.folder,
            env={**os.environ, "PATH": self._path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def here(self, text: str) -> str:
        """The same with the ports of this desk."""
        for shown, port in self._ports.items():
            text = text.replace(shown, port)
        return text

    @contextmanager
    def _in_background(self, command: str) -> Iterator[None]:
        """Run a command that serves a port, from when it does."""
        match = re.search(r"tcp:127.0.0.1:(\d+)", command)
        assert match is not None
        with subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"], cwd=self.folder, stdin=subprocess.DEVNULL
        ) as process:
            try:
                while True:
                    assert process.poll() is None
                    try:
                        socket.create_connection(("127.0.0.1", int(match[1])), 1).close()
                        break
                    except ConnectionRefusedError:
                        signal.sigtimedwait([], 0.02)
                yield
            finally:
                process.kill()


def says(printed: str, shown: str) -> bool:
    """Whether it prints what is shown, where `...` stands for any lines."""
    return fnmatch(
        printed.strip(), re.sub(r"([\[\]*?])", r"[\1]", shown.strip()).replace("...", "*")
    )


def test_the_lamp_from_an_empty_folder_and_the_one_with_more(tmp_path: Path) -> None:
    build = run_lamp = ""
    with Desk(tmp_path) as desk:
        for command, shown in COMMAND.findall("".join(CONSOLE.findall(PAGE))):
            if command.startswith(NOT_HERE):
                continue
            if "lamp.c board.c" in command:
                desk.write_files()
                build = command
            elif "-kernel lamp.elf" in command:
                run_lamp = command
            printed = desk.run(command)
            assert not shown or says(printed, desk.here(shown)), f"{command}\n{printed}"

        desk.run(build.replace("lamp.", "more."))
        desk.run(run_lamp.replace("lamp.", "more.").replace("24001", "24002"))
        (shown,) = OUTPUT.findall(PAGE)
        assert desk.run(f"{sys.executable} other_end.py") == shown


def test_the_sizes_are_those_of_the_page() -> None:
    rows = re.compile(r"^\| (.+?) \| ([\d,]+) \|$", re.MULTILINE)
    shown, true = (
        {name: int(size.replace(",", "")) for name, size in rows.findall(text)}
        for text in (PAGE, table())
    )

    assert shown.keys() == true.keys()
    assert {name: true[name] for name in true if true[name] > shown[name] * (1 + TOLERANCE)} == {}
