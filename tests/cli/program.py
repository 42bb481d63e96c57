"""Runs the real program, as a process of its own."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from tests.places import ROOT

COMMAND = (sys.executable, "-W", "error", "-m", "jsonrpc_iot")
SECONDS = 50.0  # not a bound on anything: the demo on a busy machine takes half of it


class Done(NamedTuple):
    """What a finished program left behind."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        """The one line of JSON on standard output."""
        assert self.out.count("\n") == 1, self
        return msgspec.json.decode(self.out)

    @property
    def complaint(self) -> str:
        """The one line on standard error; standard output is empty."""
        assert self.out == "", self
        assert self.err.endswith("\n"), self
        assert self.err.count("\n") == 1, self
        return self.err[:-1]


def environment(**extra: str) -> dict[str, str]:
    """The environment of a program that finds the package wherever it is started."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **extra}


def run(*arguments: str | bytes, stdin: bytes = b"", cwd: Path = ROOT, **extra: str) -> Done:
    """Run the program to its end.

    Args:
        arguments: its command line.
        stdin: what it reads.
        cwd: where it runs.
        extra: what its environment has besides.
    """
    done = subprocess.run(
        (*COMMAND, *arguments),
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(**extra),
        timeout=SECONDS,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def run_with(stdout: int | IO[bytes], *arguments: str) -> Done:
    """Run the program to its end.

    Args:
        stdout: its standard output; what it prints there is not in the result.
        arguments: its command line.
    """
    done = subprocess.run(
        (*COMMAND, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
        timeout=SECONDS,
        check=False,
    )
    return Done(done.returncode, "", done.stderr.decode())


def run_unread(*arguments: str) -> Done:
    """Run the program to its end with a standard output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return run_with(writing, *arguments)
    finally:
        os.close(writing)


class Running:
    """A program that runs.

    Args:
        process: it, with pipes for both outputs.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors: queue.Queue[str] = queue.Queue()
        self._threads = [
            threading.Thread(target=_pump, args=(process.stdout, self._lines)),
            threading.Thread(target=_pump, args=(process.stderr, self._errors)),
        ]
        for thread in self._threads:
            thread.start()

    def next_line(self) -> str:
        """Wait for the next line on standard output, with its line feed; `""` at its end."""
        return self._lines.get(timeout=SECONDS)

    def wait_for_error(self, start: str) -> str:
        """Wait for a line on standard error that starts like this; returns it."""
        seen = [self._errors.get(timeout=SECONDS)]
        while not seen[-1].startswith(start):
            assert seen[-1], seen
            seen.append(self._errors.get(timeout=SECONDS))
        return seen[-1]

    def finish(self) -> Done:
        """Wait until it ends; the outputs are what has not been read yet."""
        code = self.process.wait(SECONDS)
        for thread in self._threads:
            thread.join()
        return Done(code, _rest(self._lines), _rest(self._errors))

    def stop(self, number: int = signal.SIGTERM) -> Done:
        """Send it a signal and wait until it ends."""
        self.process.send_signal(number)
        return self.finish()


@contextmanager
def started(*arguments: str, cwd: Path = ROOT, **extra: str) -> Iterator[Running]:
    """Run the program for as long as the block runs."""
    with subprocess.Popen(
        (*COMMAND, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(**extra),
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@contextmanager
def serving(*arguments: str, urls: int = 1, cwd: Path = ROOT) -> Iterator[list[str]]:
    """Run `serve` or `simulate` while the block runs; it must stop cleanly.

    Yields:
        The URLs that it says it listens on.
    """
    with started(*arguments, cwd=cwd) as program:
        yield [listening(program) for _ in range(urls)]
        assert program.stop() == Done(0, "", "")


def listening(program: Running) -> str:
    """The URL of its next line `listening URL`."""
    line = program.next_line()
    word, _, url = line.rstrip("\n").partition(" ")
    assert word == "listening", (line, program.finish())
    return url


def _pump(stream: IO[bytes], to: queue.Queue[str]) -> None:
    for line in stream:
        to.put(line.decode())
    to.put("")


def _rest(lines: queue.Queue[str]) -> str:
    rest = ""
    while not lines.empty():
        rest += lines.get()
    return rest
