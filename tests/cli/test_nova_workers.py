"""`nova platform --workers`."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.novacloud.store.postgres.databases import empty_database
from tests.places import ROOT
from tests.waiting import eventually

from .program import SECONDS, Running, environment, listening, run, started
from .test_nova_metrics import get
from .test_nova_nodes import authenticated, create

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares ports out")


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database() as url:
        yield url


@contextmanager
def workers(url: str, folder: Path, *more: str) -> Iterator[tuple[Running, int, str]]:
    """Two workers; yields also their port and where their metrics are."""
    options = ("--db", url, "--node", "n", "--workers", "2", "--port", "0", *more)
    places = ("--manage", f"pipe://n?dir={folder}", "--metrics", "http://127.0.0.1:0")
    with started("nova", "platform", *options, *places) as program:
        port = int(listening(program).rpartition(":")[2])
        assert listening(program).startswith("pipe://")
        yield program, port, listening(program)


def children(program: Running) -> list[int]:
    """The workers, in the order in which they were started."""
    pid = program.process.pid
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def told(metrics: str, name: str) -> dict[str, float]:
    """A metric of each node."""
    families = text_string_to_metric_families(get(metrics, "/metrics")[1])
    samples = next(each.samples for each in families if each.name == name)
    return {each.labels["node"]: each.value for each in samples}


def wait_until(condition: Callable[[], object]) -> None:
    anyio.run(eventually, condition)


def wait_for_end(pids: list[int]) -> None:
    """Wait until processes are gone which are not our children."""
    for pid in pids:
        try:
            end = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([end], [], [], SECONDS)[0]
        os.close(end)


def test_workers_share_devices_and_settings_and_end_together(url: str, tmp_path: Path) -> None:
    ids = [str(uuid.uuid4()) for _ in range(40)]
    anyio.run(create, url, ids)
    settings = tmp_path / "settings.toml"
    settings.write_text("queued_commands = 7\n")
    with (
        workers(url, tmp_path, "--settings", str(settings)) as (program, port, metrics),
        ExitStack() as stack,
    ):
        for id in ids:
            stack.enter_context(authenticated(port, id))
        connected = told(metrics, "novacloud_devices_connected")
        assert connected.keys() == {"n-1", "n-2"}
        assert sum(connected.values()) == 40
        assert min(connected.values()) > 0
        pages = get(metrics, "/metrics")[1]
        assert pages.count("# TYPE novacloud_values_total counter\n") == 1
        settings.write_text("queued_commands = 0\n")
        program.process.send_signal(signal.SIGHUP)
        told_by = {program.wait_for_error("jsonrpc-iot: n-").partition(" ERROR: --settings")[0]}
        told_by.add(program.wait_for_error("jsonrpc-iot: n-").partition(" ERROR: --settings")[0])
        assert told_by == {"jsonrpc-iot: n-1:", "jsonrpc-iot: n-2:"}
        pids = children(program)
        done = program.stop()  # nobody is left whom devices could go to, so they are not let go
        assert (done.code, done.out, done.err) == (0, "", "")
        wait_for_end(pids)


def test_a_worker_that_ends_is_started_again_in_its_place(url: str, tmp_path: Path) -> None:
    with workers(url, tmp_path) as (program, port, metrics):
        first, second = children(program)
        for pid, name in (second, "n-2"), (first, "n-1"):
            os.kill(pid, signal.SIGTERM)
            program.wait_for_error(f"jsonrpc-iot: WARNING: worker {name} has ended: exit code 0; ")
            wait_until(lambda: len(children(program)) == 2)
        wait_until(lambda: is_open(metrics))
        wait_until(lambda: told(metrics, "novacloud_ready") == {"n-1": 1, "n-2": 1})
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
        left = children(program)
        assert not {first, second} & {*left}
        program.process.kill()
        wait_for_end(left)


def test_workers_are_ready_when_all_are(url: str, tmp_path: Path) -> None:
    with workers(url, tmp_path) as (program, _, metrics):
        assert readiness(metrics) == (200, True, {"n-1": "ok", "n-2": "ok"})
        second = children(program)[1]
        os.kill(second, signal.SIGSTOP)
        assert readiness(metrics) == (503, False, {"n-1": "ok", "n-2": "it does not answer"})
        os.kill(second, signal.SIGCONT)
        wait_until(lambda: readiness(metrics)[1])


def readiness(metrics: str) -> tuple[int, bool, dict[str, str]]:
    answer, text = get(metrics, "/ready")
    page = json.loads(text)
    return answer.status, page["ok"], page["workers"]


def is_open(url: str) -> bool:
    try:
        get(url, "/ready")
    except ConnectionRefusedError:
        return False
    return True


def test_workers_that_cannot_begin_complain_once(url: str, tmp_path: Path) -> None:
    options = ("nova", "platform", "--workers", "3")
    done = run(*options, "--db", str(tmp_path / "nova.db"))
    assert done.code == 2
    assert done.complaint == (
        "jsonrpc-iot: --workers needs --db postgresql://…: one process alone has a SQLite file"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(*options, "--db", url, "--port", f"{port}")
    assert done.code == 3
    assert done.complaint == f"jsonrpc-iot: novacloud://127.0.0.1:{port}: Address already in use"
    away = f"postgresql://127.0.0.1:{port}/nova"
    done = run(*options, "--db", away, "--port", "0")
    assert done.code == 3
    assert done.complaint == f"jsonrpc-iot: --db: {away}: nobody answers there"


PROGRAM = """
import os, sys
from jsonrpc_iot.cli._nova_run import Ready
from jsonrpc_iot.cli._workers import Workers

def work(number, tell):
    if number == 1 and "mute" in sys.argv:
        os.kill(os.getpid(), 9)
    tell(Ready(["tcp://here"], False))
    if number == 1:
        raise OSError("no luck")
    sys.stdin.read()

sys.exit(Workers(["a", "b"], work, pause=0.001).run())
"""


@pytest.mark.parametrize(
    ("word", "code", "out", "complaints"),
    [
        ("", 3, "listening tcp://here\n", ["worker b ends again and again: exit code 3"]),
        ("mute", 70, "", ["worker b has ended at once: SIGKILL"]),
    ],
)
def test_a_worker_that_does_nothing_but_end_ends_the_program(
    word: str, code: int, out: str, complaints: list[str]
) -> None:
    with subprocess.Popen(
        (sys.executable, "-W", "error", "-c", PROGRAM, word),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.wait(SECONDS) == code
        assert process.stdout.read().decode() == out
        lines = process.stderr.read().decode().splitlines()
        assert [each for each in lines if "worker" in each][-1:] == [
            f"jsonrpc-iot: {each}" for each in complaints
        ]
        assert lines.count("jsonrpc-iot: no luck") == (0 if word else 5)
