"""What one thread waits for and the event loop's thread delivers."""

import sys
import threading
from typing import Generic, Protocol, TypeVar

from ..errors import JsonRpcIotError

T = TypeVar("T")

# Where a signal does not interrupt a wait, Ctrl-C is seen between two short ones.
_PATIENCE_SECONDS = 0.1 if sys.platform == "win32" else None


class Exiting(Protocol):
    """Something that knows of the end of the process."""

    is_exiting: bool


class Outcome(Generic[T]):
    """A result or an error that is delivered once, and only by the event loop's thread.

    A bare lock, since a `Future` takes several times as long.

    Args:
        loop: delivers.

    Attributes:
        is_there: whether it was delivered.
    """

    __slots__ = ("_arrival", "_error", "_for_daemon", "_loop", "_value", "is_there")

    def __init__(self, loop: Exiting) -> None:
        self._loop = loop
        self._for_daemon = threading.current_thread().daemon
        self._arrival = threading.Lock()
        self._arrival.acquire()
        self._error: BaseException | None = None
        self._value: T
        self.is_there = False

    def succeed(self, value: T) -> None:
        """Deliver a result."""
        if not self.is_there:
            self._value = value
            self._arrive()

    def fail(self, error: BaseException) -> None:
        """Deliver an error."""
        if not self.is_there:
            self._error = error
            self._arrive()

    def _arrive(self) -> None:
        # The end of the process does not wait for daemon threads. One that went on would only print
        # that its client is closed.
        self.is_there = True
        if not (self._for_daemon and self._loop.is_exiting):
            self._arrival.release()

    def wait(self) -> T:
        """Wait for it; a signal that raises ends the wait.

        An error of ours is raised as from here: where the event loop raised it says nothing to
        the caller.
        """
        while not self._arrival.acquire(timeout=_PATIENCE_SECONDS or -1):
            pass
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error.with_traceback(None) if isinstance(error, JsonRpcIotError) else error
        finally:
            del error  # it holds this frame


def wait_for(event: threading.Event) -> None:
    """Wait for an event; a signal that raises ends the wait."""
    while not event.wait(_PATIENCE_SECONDS):
        pass
