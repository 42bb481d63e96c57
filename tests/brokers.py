"""Real MQTT brokers on free ports of this machine, each started once and kept for all tests.

`Broker` serves for other servers as well: those of `tests/novacloud/servers.py`.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Self

from ._system import require_command
from .ports import free_port

SECONDS = 20.0
USER, PASSWORD = "lamp", "correct horse"

_topics = count()


class Broker:
    """A broker in a process of its own.

    Args:
        command: starts it; `{port}` and `{folder}` stand for what it gets.
        files: by name, what is in its folder.

    Attributes:
        patience: seconds that it may take to start.
    """

    patience = SECONDS

    def __init__(self, command: list[str], files: dict[str, str]) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="broker-")
        place = {"port": self.port, "folder": self._folder.name}
        for name, text in files.items():
            path = Path(self._folder.name, name)
            path.write_text(text.format(**place))
            path.chmod(0o600)
        self._command = [part.format(**place) for part in command]
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, Any] = {}  # who it runs as, where that is not who we are
        atexit.register(self.stop)

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process, which has started all others that it consists of."""
        return next(self._pids())

    def url(self, options: str = "", *, topic: str = "", scheme: str = "mqtt") -> str:
        """The URL of a topic; without one, of a topic that nobody has used yet."""
        return f"{scheme}://{self.host}{topic or new_topic()}{options}"

    def start(self) -> Self:
        """Start it, and wait until it accepts connections."""
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._identity,
            )
        end = time.monotonic() + self.patience
        while not self._is_up():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)
        return self

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.folder / "log").read_text()

    def stop(self) -> None:
        """End it as a crash would: nobody is told."""
        if self._process is not None:
            self.freeze()
            pids = list(self._pids())
            _signal(reversed(pids), signal.SIGKILL)
            self._process.wait()
            self._process = None
            _wait_for_states(pids, "Z")

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay, and nothing answers."""
        for pid in self._pids():  # those that it has started once it starts no more
            _signal([pid], signal.SIGSTOP)
            _wait_for_states([pid], "TtZ")  # a thread on another core runs on for a moment

    def thaw(self) -> None:
        """Let a frozen one go on."""
        _signal(self._pids(), signal.SIGCONT)

    def _pids(self) -> Iterator[int]:
        assert self._process is not None
        yield self._process.pid

    def _is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


def new_topic() -> str:
    """A topic that nobody has used yet."""
    return f"/tests/{os.getpid()}/{next(_topics)}/rpc"


def new_mosquitto(configuration: str = "allow_anonymous true\n", **files: str) -> Broker:
    """Start another Mosquitto."""
    program = require_command("mosquitto")
    text = f"listener {{port}} 127.0.0.1\n{configuration}"
    # As root it would become another user, who cannot read its folder.
    text += "user root\n" if os.getuid() == 0 else ""
    return Broker([program, "-c", "{folder}/conf"], {"conf": text, **files}).start()


@cache
def mosquitto() -> Broker:
    """The Mosquitto that tests share; each takes a topic of its own."""
    return new_mosquitto()


@cache
def secret_mosquitto() -> Broker:
    """One that wants a password."""
    require_command("mosquitto_passwd")
    program = require_command("mosquitto")
    text = "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/users\n"
    text += "user root\n" if os.getuid() == 0 else ""
    broker = Broker(
        [program, "-c", "{folder}/conf"], {"conf": text, "users": f"{USER}:{PASSWORD}\n"}
    )
    subprocess.run(["mosquitto_passwd", "-U", str(broker.folder / "users")], check=True)
    return broker.start()


def nats_program() -> str:
    """The nats-server of a wheel, or that of the machine."""
    found = Path(sys.executable).with_name("nats-server")
    return str(found) if found.exists() else require_command("nats-server")


@cache
def nats() -> Broker:
    """A nats-server with MQTT, which speaks 3.1.1 only."""
    program = nats_program()
    text = (
        'server_name: tests\nlisten: "127.0.0.1:-1"\n'
        'jetstream {{ store_dir: "{folder}/store" }}\n'
        'mqtt {{ listen: "127.0.0.1:{port}" }}\n'
    )
    return Broker([program, "-c", "{folder}/conf"], {"conf": text}).start()


@cache
def amqtt() -> Broker:
    """The broker in Python that the demo takes where there is no Mosquitto; 3.1.1 only."""
    imports = "import asyncio; from jsonrpc_iot.cli._broker import run_amqtt"
    command = [sys.executable, "-c", imports + "; asyncio.run(run_amqtt({port}))"]
    return Broker(command, {}).start()


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(pid, number)


def _wait_for_states(pids: Iterable[int], states: str) -> None:
    """Wait until all threads of processes are in one of some states of the kernel, or gone."""
    for pid in pids:
        end = time.monotonic() + SECONDS
        while not all(state in states for state in _states(pid)):
            assert time.monotonic() < end
            time.sleep(0.002)


def _states(pid: int) -> Iterator[str]:
    with suppress(OSError):  # it has ended meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            yield (thread / "stat").read_text().rpartition(") ")[2][0]
