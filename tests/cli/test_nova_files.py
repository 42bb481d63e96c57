"""The files of `nova platform`: `--settings`, `--cert`, `--key`, `--ca`, and SIGHUP."""

import shutil
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from jsonrpc_iot import Busy, InvalidUrl, UsageError, connect_sync
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.cli._nova import tls_context
from jsonrpc_iot.cli._nova_files import PlatformFiles
from jsonrpc_iot.transports.sockets.tls import TlsOptions, load_context
from tests.transports.certificates import Certificates

from .program import SECONDS, Running, listening, run, started

ID = "0b6f8f2e-5e0c-4d8e-9f6a-2f4c8d1f7a11"


@contextmanager
def platform(folder: Path, *more: str) -> Iterator[tuple[Running, str, int]]:
    """A platform, its management URL and its port."""
    pipe = f"pipe://n?dir={folder}"
    words = ("--db", str(folder / "nova.db"), "--port", "0", "--manage", pipe, *more)
    with started("nova", "platform", *words) as program:
        port = int(listening(program).rpartition(":")[2])
        listening(program)
        yield program, pipe, port
        assert program.stop().code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_settings_are_read_again_on_sighup(tmp_path: Path) -> None:
    settings = tmp_path / "nova.toml"
    settings.write_text("queued_commands = 1\n")
    with (
        platform(tmp_path, "--settings", str(settings)) as (program, pipe, _),
        connect_sync(pipe) as client,
    ):
        id = client.call("device.create", {"name": "lamp"})["device_id"]
        client.call("actuator.define", {"device_id": id, "command_key": "light"})

        def has_room() -> bool:
            command = {"device_id": id, "payload": {"light": 1}, "wait": False}
            try:
                client.call("command.send", command)
            except Busy:
                return False
            return True

        assert [has_room(), has_room()] == [True, False]
        settings.write_text("queued_comands = 9\n")
        program.process.send_signal(signal.SIGHUP)
        complaint = program.wait_for_error("jsonrpc-iot: ERROR")
        assert f"{settings}, line 1: there is no setting 'queued_comands'" in complaint
        assert "stay as they were" in complaint
        assert not has_room()
        settings.write_text("queued_commands = 2\n")
        program.process.send_signal(signal.SIGHUP)
        wait_for(has_room)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_authorities_are_read_again_on_sighup(tmp_path: Path) -> None:
    certificates, ca = Certificates(tmp_path), tmp_path / "devices.pem"
    shutil.copy(certificates.strange_ca, ca)
    words = ("--cert", certificates.server, "--ca", str(ca))
    with platform(tmp_path, *words) as (program, _, port):

        def is_trusted(client: str) -> bool:
            context = ssl.create_default_context(cafile=certificates.ca)
            context.load_cert_chain(client)
            auth = f'{{"type":"auth","payload":{{"device_id":"{ID}"}}}}\n'
            try:
                with (
                    socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
                    context.wrap_socket(plain, server_hostname="127.0.0.1") as link,
                ):
                    link.sendall(auth.encode())
                    return b"auth_response" in link.recv(1024)
            except OSError:
                return False

        assert is_trusted(certificates.strange_client)
        assert not is_trusted(certificates.client)
        ca.write_text("nonsense")
        program.process.send_signal(signal.SIGHUP)
        assert "--ca: " in program.wait_for_error("jsonrpc-iot: ERROR")
        assert is_trusted(certificates.strange_client)
        shutil.copy(certificates.ca, ca)
        program.process.send_signal(signal.SIGHUP)
        wait_for(lambda: is_trusted(certificates.client))
        assert not is_trusted(certificates.strange_client)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    cert, nonsense, none = Path(certificates.server), tmp_path / "nonsense.pem", tmp_path / "none"
    nonsense.write_text("nonsense")
    bare = tmp_path / "bare.pem"
    text = cert.read_text()
    bare.write_text(text[text.index("-----BEGIN CERT") :])
    other = Path(certificates.client)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca": cert}, "--ca is of use with --cert alone"),
        ({"key": cert}, "--key is of use with --cert alone"),
        ({"cert": cert, "ca": none}, f"--ca: {none}: No such file"),
        ({"cert": cert, "ca": nonsense}, f"--ca: {nonsense}: no certificate in PEM"),
        ({"cert": cert, "ca": tmp_path}, f"--ca: {tmp_path}: Is a directory"),
        ({"cert": nonsense}, f"--cert: {nonsense}: no certificate in PEM"),
        ({"cert": bare}, "or no private key with it"),
        ({"cert": cert, "key": other}, "the private key is another certificate's"),
        ({"cert": cert, "key": none}, f"--key: {none}: No such file"),
        ({"cert": cert, "key": locked(tmp_path)}, "it is encrypted"),
    ]
    for given, complaint in cases:
        with pytest.raises(UsageError) as caught:
            PlatformFiles(**given).tls()
        assert complaint in str(caught.value)


def test_authorities_that_are_none_are_told_to_devices_too(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(UsageError, match=r"nonsense\.pem: no certificate in PEM$"):
        tls_context(tls=True, ca=nonsense)
    options = TlsOptions(cert=str(nonsense))
    with pytest.raises(InvalidUrl, match=r"no certificate in PEM, or no private key with it$"):
        load_context(Url.parse("tls://127.0.0.1:0"), options, server=True)


def test_a_wrong_file_of_settings(tmp_path: Path) -> None:
    none = str(tmp_path / "none.toml")
    done = run("nova", "platform", "--db", str(tmp_path / "nova.db"), "--settings", none)
    assert done.code == 2
    assert done.complaint == f"jsonrpc-iot: --settings: {none}: No such file or directory"


def locked(folder: Path) -> Path:
    """A private key that is encrypted."""
    text = Path(Certificates(folder).server).read_bytes()
    key = serialization.load_pem_private_key(text, None)
    path = folder / "locked.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return path
