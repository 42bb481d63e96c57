"""Several processes that do the same: one starts the others, and looks after them.

Linux only: a worker whose parent has died is told so by the kernel.
"""

import ctypes
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TypeAlias

import msgspec

from jsonrpc_iot.protocol.backoff import Backoff

from ._nova_run import Ready
from ._output import explain, print_text
from ._run import BUG, run_guarded

logger = logging.getLogger("jsonrpc_iot.cli")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_STEADY_SECONDS = 30.0
_MOST_ENDS = 5
_PR_SET_PDEATHSIG = 1


Work: TypeAlias = Callable[[int, Callable[[Ready], None]], None]
"""What a worker does, of which number, from 0; it calls the function when it has begun."""


class _Worker:
    def __init__(self, number: int, name: str, pause: float) -> None:
        self.number = number
        self.name = name
        self.pid = 0
        self.pipe = -1
        self.since = self.due = 0.0
        self.ends = 0
        self.backoff = Backoff(pause, _LONGEST_PAUSE, _STEADY_SECONDS)
        self.reads_files = False


class Workers:
    """Runs workers until SIGINT or SIGTERM, which they get as well; they get SIGHUP, too.

    The first one begins before the others. When all have begun, "listening URL" is printed for what
    the first one says. From then on one that ends is started again, after a pause; where it does
    nothing but end, so does the program.

    Args:
        names: theirs.
        work: what each does.
        pause: seconds before one that has ended is started again; it grows.
    """

    def __init__(self, names: Sequence[str], work: Work, pause: float = _FIRST_PAUSE) -> None:
        self._workers = [_Worker(number, name, pause) for number, name in enumerate(names)]
        self._work = work
        self._urls: Sequence[str] = ()
        self._beginning = set(names)
        self._ending = False
        self._code = 0

    def run(self) -> int:
        """Run them; returns the exit code."""
        with _signals() as signals:
            self._start(self._workers[0], signals)
            while not self._ending or any(each.pid for each in self._workers):
                self._wait(signals)
                for each in self._workers:
                    self._look_after(each)
                now = time.monotonic()
                for each in self._workers:
                    if not (self._ending or each.pid) and 0.0 < each.due <= now:
                        self._start(each, signals)
        return self._code

    def _wait(self, signals: "_Signals") -> None:
        """Wait until something has happened, or a worker is to be started; pass signals on."""
        dues = [each.due for each in self._workers if each.due and not each.pid]
        poll = select.poll()
        for pipe in signals.reading, *(each.pipe for each in self._workers if each.pipe >= 0):
            poll.register(pipe, select.POLLIN)
        seconds = max(0.0, min(dues) - time.monotonic()) if dues and not self._ending else None
        poll.poll(None if seconds is None else 1000 * seconds + 1)
        for number in signals.take():
            if number in (signal.SIGINT, signal.SIGTERM):
                self._ending = True
            if number != signal.SIGCHLD:
                self._tell(number)

    def _tell(self, number: int) -> None:
        for each in self._workers:
            if each.pid and (number != signal.SIGHUP or each.reads_files):
                os.kill(each.pid, number)

    def _start(self, worker: _Worker, signals: "_Signals") -> None:
        worker.pipe, told = os.pipe()
        worker.since, worker.due = time.monotonic(), 0.0
        parent = os.getpid()
        worker.pid = os.fork()
        if worker.pid:
            os.close(told)
            return
        _be_worker(parent, signals)
        for each in self._workers:
            if each.pipe >= 0:
                os.close(each.pipe)
        _finish(run_guarded(lambda: self._work(worker.number, lambda ready: _tell(told, ready))))

    def _look_after(self, worker: _Worker) -> None:
        """Hear what a worker says, and whether it has ended."""
        if not worker.pid:
            return
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if worker.pipe >= 0 and select.select([worker.pipe], [], [], 0)[0]:
            text = os.read(worker.pipe, 65536)
            os.close(worker.pipe)
            worker.pipe = -1
            if text:
                self._note_ready(worker, msgspec.json.decode(text, type=Ready))
        if pid:
            worker.pid = 0
            self._note_end(worker, os.waitstatus_to_exitcode(status))

    def _note_ready(self, worker: _Worker, ready: Ready) -> None:
        worker.reads_files = ready.reads_files
        if ready.reads_files:
            signal.signal(signal.SIGHUP, _pass_over)
        if not self._beginning:
            return
        self._beginning.discard(worker.name)
        if worker.number == 0:
            self._urls = ready.urls
            for each in self._workers[1:]:
                each.due = worker.since
        if not self._beginning:
            for url in self._urls:
                print_text(f"listening {url}")

    def _note_end(self, worker: _Worker, code: int) -> None:
        if self._ending:
            self._code = self._code or max(code, 0)
            return
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        if self._beginning:
            if code <= 0:  # else it has said why
                explain(f"worker {worker.name} has ended at once: {how}")
            self._fail(code)
            return
        lived = time.monotonic() - worker.since
        worker.ends = 1 if lived >= _STEADY_SECONDS else worker.ends + 1
        if worker.ends == _MOST_ENDS:
            explain(f"worker {worker.name} ends again and again: {how}")
            self._fail(code)
            return
        worker.backoff.connection_ended(lived)
        pause = worker.backoff.next_bound()
        worker.due = time.monotonic() + pause
        logger.warning("worker %s has ended: %s; again in %g s", worker.name, how, pause)

    def _fail(self, code: int) -> None:
        self._ending = True
        self._code = code if code > 0 else BUG
        self._tell(signal.SIGTERM)


class _Signals:
    """Signals of this process, as they come out of a pipe."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        for end in self.reading, self.writing:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self.writing)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
        self._before = {number: signal.signal(number, _pass_over) for number in numbers}
        self._before[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)

    def take(self) -> bytes:
        """The numbers of those that have come."""
        with suppress(BlockingIOError):
            return os.read(self.reading, 4096)
        return b""

    def close(self) -> None:
        """Have them do what they did before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.reading)
        os.close(self.writing)


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    try:
        yield signals
    finally:
        signals.close()


def _pass_over(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe."""


def _be_worker(parent: int, signals: _Signals) -> None:
    """Be a process of its own, which ends when its parent does."""
    os.setpgid(0, 0)  # a terminal's signals come by the parent, once
    signals.close()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        _finish(0)


def _tell(pipe: int, ready: Ready) -> None:
    os.write(pipe, msgspec.json.encode(ready))
    os.close(pipe)


def _finish(code: int) -> NoReturn:
    """End a worker, without what its parent would do at its own end."""
    logging.shutdown()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
