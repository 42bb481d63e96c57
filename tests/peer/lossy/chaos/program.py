"""Programs in processes of their own, that are stopped, and killed and started again."""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.places import ROOT

START_SECONDS = 30.0


class Program:
    """A module that runs in a process of its own.

    Args:
        module: prints a line when it is ready, and at each SIGUSR1 one of JSON: what it holds.
        words: what it is given.

    Attributes:
        restarts: how often it was killed.
    """

    def __init__(self, module: str, *words: str) -> None:
        self.restarts = 0
        self._command = (module, *words)
        self._process: Process | None = None
        self._lines: BufferedByteReceiveStream | None = None

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._process = await open_python(*self._command)
        assert self._process.stdout is not None
        self._lines = BufferedByteReceiveStream(self._process.stdout)
        with anyio.fail_after(START_SECONDS):
            await self._line()

    async def restart(self, note: Callable[[], object]) -> None:
        """Kill it, and start it again.

        Args:
            note: is called between the two.
        """
        with anyio.CancelScope(shield=True):
            await self.end()
            note()
            self.restarts += 1
            await self.start()

    async def stop_for(self, seconds: float) -> None:
        """Stop it for a while."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            await anyio.sleep(seconds)
        finally:
            self._process.send_signal(signal.SIGCONT)

    async def held(self) -> dict[str, int]:
        """What it holds."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)
        with anyio.fail_after(START_SECONDS):
            found: dict[str, int] = json.loads(await self._line())
        return found

    async def end(self) -> None:
        """Kill it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await self._process.aclose()

    async def _line(self) -> bytes:
        assert self._lines is not None
        return await self._lines.receive_until(b"\n", 10_000)


async def open_python(module: str, *words: str) -> Process:
    """Run a module."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, *words]
    return await anyio.open_process(command, env=environment, cwd=ROOT, stderr=None)
