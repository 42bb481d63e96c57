"""MicroPython on this machine, and programs in it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests._system import lack
from tests.places import ROOT
from tests.waiting import SECONDS

SOURCES: Final = ROOT / "firmware" / "micropython"
PROGRAMS: Final = ROOT / "tests" / "firmware" / "micropython" / "programs"


def command(name: str) -> str:
    """The path of a program of the dependency group `firmware`."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        lack(f"{name} is not installed: `make test-firmware` does, where there is one")
    return str(path)


@contextmanager
def started(
    program: Path, *arguments: str, modules: Path | str = SOURCES, options: Sequence[str] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """Run a program while the block runs.

    Args:
        program: its file.
        arguments: for it.
        modules: where it finds what it imports.
        options: for MicroPython.
    """
    with subprocess.Popen(
        [command("micropython"), *options, str(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"MICROPYPATH": f"{modules}:.frozen"},
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Driver:
    """The program that takes commands."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, do: str, **more: object) -> dict[str, Any]:
        """Give a command; returns what it led to."""
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        print(json.dumps({"do": do, **more}), file=questions, flush=True)
        line = answers.readline()
        assert line.startswith("{"), f"{do}: {line}{answers.read()}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def output_of(program: Path, *arguments: str, modules: Path | str = SOURCES) -> str:
    """What a program prints, that ends well."""
    done = subprocess.run(
        [command("micropython"), str(program), *arguments],
        capture_output=True,
        env={"MICROPYPATH": f"{modules}:.frozen"},
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
