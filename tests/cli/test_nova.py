"""`nova platform`: the NovaCloud platform as a program."""

import json
import shutil
import signal
import socket
import sqlite3
import ssl
import sys
import time
from pathlib import Path

import pytest

from tests.transports.certificates import Certificates

from .program import SECONDS, listening, run, started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_platform_and_a_device(tmp_path: Path, number: int) -> None:
    db = tmp_path / "nova.db"
    pipe = f"pipe://novacloud?dir={tmp_path}"
    urls = ("--manage", pipe, "--manage", "tcp://127.0.0.1:0")
    with started("nova", "platform", "--db", str(db), "--port", "0", *urls) as program:
        where = listening(program)
        assert where.startswith("novacloud://127.0.0.1:")
        assert listening(program).startswith("pipe://novacloud")
        assert listening(program).startswith("tcp://127.0.0.1:")
        info = run("call", pipe, "device.create", "name=lamp").result
        payload = {name: info[name] for name in ("device_id", "device_key")}
        port = int(where.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as device:
            device.sendall(json.dumps({"type": "auth", "payload": payload}).encode() + b"\n")
            assert json.loads(device.recv(1024))["payload"]["status"] == "success"
            (listed,) = run("call", pipe, "device.list").result
            assert (listed["name"], listed["online"]) == ("lamp", True)
            done = program.stop(number)
        assert (done.code, done.out) == (0, "")
        warned = "jsonrpc-iot: WARNING: tcp://127.0.0.1:0: whoever reaches it may do everything"
        assert done.err.startswith(warned)
        assert done.err.count("\n") == 1
    with sqlite3.connect(db) as connection:
        assert connection.execute("SELECT name FROM devices").fetchall() == [("lamp",)]
    connection.close()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("nova", "platform", "--db", str(tmp_path / "nova.db"), "--port", port)
    assert done.code == 3
    assert done.complaint.startswith(f"jsonrpc-iot: novacloud://127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--db", "{folder}/none/nova.db"), "--db: "),
        (("--db", "{folder}/a.db", "--key", "key.pem"), "--key"),
        (("--db", "{folder}/a.db", "--cert", "{folder}/none.pem"), "--cert: "),
        (("--db", "{folder}/a.db", "--manage", "nonsense://"), "nonsense"),
        ((), "--db"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    given = [each.format(folder=tmp_path) for each in arguments]
    done = run("nova", "platform", "--port", "0", *given)
    assert done.code == 2
    assert complaint in done.complaint


def test_a_platform_that_others_can_reach_warns(tmp_path: Path) -> None:
    pipe = f"pipe://novacloud?dir={tmp_path}"
    arguments = ("--db", str(tmp_path / "a.db"), "--host", "0.0.0.0", "--port", "0")
    with started("nova", "platform", *arguments, "--manage", pipe) as program:
        url = listening(program)
        listening(program)
        done = program.stop()
    assert done.code == 0
    assert done.err == f"jsonrpc-iot: WARNING: {url}: keys of devices travel without TLS\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_a_certificate_is_replaced_on_sighup(tmp_path: Path) -> None:
    certificates, chain = Certificates(tmp_path), tmp_path / "chain.pem"
    shutil.copy(certificates.server, chain)
    words = ("--db", str(tmp_path / "nova.db"), "--port", "0", "--cert", str(chain))
    pipe = f"pipe://novacloud?dir={tmp_path}"
    with started("nova", "platform", *words, "--manage", pipe) as program:
        port = int(listening(program).rpartition(":")[2])
        listening(program)

        def served() -> str:
            return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)

        old = served()
        chain.write_text("nonsense")
        program.process.send_signal(signal.SIGHUP)
        assert "certificate stays" in program.wait_for_error("jsonrpc-iot: ERROR")
        assert served() == old
        shutil.copy(certificates.strange_server, chain)
        program.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + SECONDS
        while (new := served()) == old and time.monotonic() < deadline:
            pass
        assert new != old
        assert program.stop().code == 0
