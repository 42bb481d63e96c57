"""`serve --reload`: the same command without that option, again and again."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from ._output import explain

_LOOK_SECONDS = 0.3

Times = dict[Path, int]


class _Stop(Exception):
    """A signal has come."""


def run_again_on_change() -> None:
    """Run this process's command as a process of its own, until SIGINT or SIGTERM.

    It is started again when a Python file below the present folder has changed, also after it has
    ended by itself, since the change may be what was missing.
    """
    command = [sys.executable, "-m", "jsonrpc_iot"]
    command += [word for word in sys.argv[1:] if word != "--reload"]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        while True:
            seen = _times()
            with subprocess.Popen(command) as process:
                try:
                    _wait_for_change(seen)
                finally:
                    process.terminate()
            explain("a file has changed: starting again")
    except _Stop:
        pass


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stop


def _wait_for_change(seen: Times) -> None:
    while _times() == seen:
        time.sleep(_LOOK_SECONDS)


def _times() -> Times:
    """When each Python file below the present folder has changed last."""
    times: Times = {}
    for path in Path.cwd().rglob("*.py"):
        if not any(part.startswith(".") for part in path.relative_to(Path.cwd()).parts):
            try:
                times[path] = path.stat().st_mtime_ns
            except OSError:  # it has just been deleted
                continue
    return times
