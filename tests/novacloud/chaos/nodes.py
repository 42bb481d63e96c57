"""A node of the platform, a process that may be killed and frozen."""

import signal
import subprocess
import time
from pathlib import Path

import anyio.to_thread

from tests.cli.program import COMMAND, environment
from tests.places import ROOT

from .balancer import Place


class Node:
    """A process of `nova platform`.

    Args:
        name: of the node.
        db: the URL of the database.
        bus: the URL of the bus, `None` for that of the database.
        folder: gets its log.

    Attributes:
        place: where devices find it.
        manage: where callers do.
        troubled: when it was in trouble last, by the monotonic clock.
    """

    manage: str

    def __init__(self, name: str, db: str, bus: str | None, folder: Path) -> None:
        self.name = name
        self.place = Place(name)
        self.troubled = -60.0
        self._words = ["nova", "platform", "--db", db, "--node", name, "--port", "0", "--verbose"]
        self._words += ["--manage", "tcp://127.0.0.1:0", "--drain", "2"]
        self._words += [] if bus is None else ["--bus", bus]
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = self._launch()
        devices, self.manage = [await self._listening(), await self._listening()]
        self.place.port = int(devices.rpartition(":")[2])
        self.place.is_up = True
        self.troubled = time.monotonic()

    def _launch(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                (*COMMAND, *self._words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=environment(),
            )

    async def _listening(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await anyio.to_thread.run_sync(self._process.stdout.readline)
        assert line.startswith(b"listening "), f"{self.name} has ended, see {self._log}"
        return line.split()[1].decode()

    def kill(self) -> None:
        """Kill it."""
        self._leave()
        self._send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def freeze(self) -> None:
        """Stop it; a balancer that looks sends nobody there."""
        self._leave()
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.troubled = time.monotonic()
        self.place.is_up = True
        self._send(signal.SIGCONT)

    def end(self) -> int:
        """Have it stop; returns its exit code."""
        self._leave()
        self._send(signal.SIGTERM)
        assert self._process is not None
        return self._process.wait(60)

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def _leave(self) -> None:
        self.place.is_up = False
        self.troubled = time.monotonic()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
