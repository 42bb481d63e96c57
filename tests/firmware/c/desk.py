"""The peer in C on this machine: built with sanitizers, and asked over its standard input."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.places import ROOT
from tests.waiting import SECONDS

from .compiling import SOURCES, STRICT, compiled, library, run_compiler

HERE: Final = ROOT / "tests" / "firmware" / "c"
_SANITIZED: Final = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build_here(program: Path, *sources: Path, flags: Sequence[str] = ()) -> Path:
    """Build a program for this machine, with the library; any undefined behaviour ends it.

    Args:
        program: what to make.
        sources: files of C, or objects, beside those of the library.
        flags: more for the compiler of these sources, and the linker.
    """
    own = [*STRICT, *_SANITIZED, f"-I{SOURCES}"]
    objects = [compiled("cc", own, source) for source in library()]
    run_compiler("cc", *own, *flags, "-o", program, *sources, *objects)
    return program


class Driver:
    """A program that takes a command a line, and answers with lines up to an empty one."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, *command: object) -> list[str]:
        """Give a command; returns the lines that answer it."""
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        print(*command, file=questions, flush=True)
        lines: list[str] = []
        while line := answers.readline():
            if line == "\n":
                return lines
            lines.append(line.removesuffix("\n"))
        raise EOFError(f"the program has ended at {command!r:.200}")


def heard(lines: list[str], what: str) -> list[str]:
    """What follows that word in the lines that begin with it."""
    return [line.removeprefix(what + " ") for line in lines if line.startswith(what + " ")]


@contextmanager
def driven(program: Path, *arguments: str) -> Iterator[Driver]:
    """Run a program with a driver while the block runs; it has to end well."""
    with subprocess.Popen(
        [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Driver(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(SECONDS) == 0
