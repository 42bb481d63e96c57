"""Devices that prove who they are by a certificate, to a server that demands one."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import anyio
import anyio.to_thread
import msgspec
import pytest
import trustme
from anyio.abc import SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSAttribute, TLSListener, TLSStream

from jsonrpc_iot import UsageError
from jsonrpc_iot.novacloud import NovaDevice, NovaPlatform, SqliteStore
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from tests.cli.program import run, started
from tests.novacloud.rig import NO_PAUSES
from tests.novacloud.scripted import AT_ONCE, ID
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

GONE = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOVACLOUD_DEVICE_KEY", raising=False)


class Demanding(NamedTuple):
    """A platform that lets in whoever has a certificate of its authority.

    Args:
        port: where it listens.
        authority: whose certificates it takes, and whose its own one is.
        seen: the common name of each device, and what it said.
    """

    port: int
    authority: trustme.CA
    seen: Tally

    def context(self) -> ssl.SSLContext:
        """A device's, with a certificate."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        self.authority.issue_cert("lamp@example.org", common_name=ID).configure_cert(context)
        return context

    def device(self, **options: Any) -> NovaDevice:
        options = {"device_id": ID, "settings": AT_ONCE, **options}
        return NovaDevice("127.0.0.1", self.port, **options)


def _context(authority: trustme.CA) -> ssl.SSLContext:
    """A server's, which demands certificates of an authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@asynccontextmanager
async def demanding() -> AsyncIterator[Demanding]:
    authority = trustme.CA()
    server = _context(authority)
    seen = Tally()

    async def serve_one(stream: TLSStream) -> None:
        certificate: Any = stream.extra(TLSAttribute.peer_certificate)
        subject = certificate["subject"]
        name = next(value for ((kind, value),) in subject if kind == "commonName")
        lines = BufferedByteReceiveStream(stream)
        async with stream:
            with suppress(*GONE):
                while True:
                    message = msgspec.json.decode(await lines.receive_until(b"\n", 65536))
                    seen.add((name, message))
                    if message["type"] == "auth":
                        await stream.send(
                            b'{"type":"auth_response","payload":{"status":"success"}}\n'
                        )

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    secure = TLSListener(listener, server, standard_compatible=False)
    async with secure, anyio.create_task_group() as tasks:
        tasks.start_soon(secure.serve, serve_one)
        yield Demanding(listener.extra(SocketAttribute.local_port), authority, seen)
        tasks.cancel_scope.cancel()


async def test_a_certificate_takes_the_place_of_the_key() -> None:
    async with demanding() as platform:
        async with platform.device(tls=platform.context()) as device:
            await device.report({"t": 1})
            await platform.seen.reach(2)
        (name, auth), (_, data) = platform.seen.items
        assert (name, auth["payload"]["device_id"]) == (ID, ID)
        assert auth["payload"].get("device_key", "") == ""
        assert data["payload"] == {"t": 1}


async def test_a_key_beside_the_certificate_is_sent_as_well() -> None:
    async with demanding() as platform:
        async with platform.device(tls=platform.context(), device_key="5f1d3c0a9b7e48d2"):
            await platform.seen.reach(1)
        ((_, auth),) = platform.seen.items
        assert auth["payload"]["device_key"] == "5f1d3c0a9b7e48d2"


async def test_without_a_certificate_the_log_says_what_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)

        def refuse_one() -> None:  # with the library's own sockets, which send the alert
            with suppress(ssl.SSLError):
                _context(authority).wrap_socket(listener.accept()[0], server_side=True).close()

        port = listener.getsockname()[1]
        options: dict[str, Any] = {"device_id": ID, "settings": AT_ONCE, "tls": trusting}
        async with NovaDevice("127.0.0.1", port, **options) as device:
            with anyio.fail_after(SECONDS):
                while "the server wants a certificate" not in caplog.text:  # a reset may be faster
                    await anyio.to_thread.run_sync(refuse_one)
            assert not device.is_connected
    assert "?cert=" not in caplog.text  # there is no URL


@pytest.mark.parametrize("tls", [None, True])
def test_without_a_context_of_its_own_a_device_needs_a_key(tls: bool | None) -> None:
    with pytest.raises(UsageError, match="no device key"):
        NovaDevice("127.0.0.1", device_id=ID, tls=tls)


async def test_a_key_file_that_is_named_must_have_a_key(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    with pytest.raises(UsageError, match="no device key"):
        NovaDevice("h", device_id=ID, tls=ssl.create_default_context(), device_key=tmp_path / "key")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # of the test: the program has its own
@pytest.mark.parametrize("apart", [True, False])
async def test_on_the_command_line(tmp_path: Path, apart: bool) -> None:
    async with demanding() as platform:
        pem = platform.authority.issue_cert("lamp@example.org", common_name=ID)
        ca, cert, key = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
        platform.authority.cert_pem.write_to_path(ca)
        words = ["--port", str(platform.port), "--id", ID, "--ca", ca, "--cert", cert]
        if apart:
            pem.cert_chain_pems[0].write_to_path(cert)
            pem.private_key_pem.write_to_path(key)
            words += ["--key", key]
        else:
            pem.private_key_and_cert_chain_pem.write_to_path(cert)
        with started("nova", "device", *words) as program:
            line = await anyio.to_thread.run_sync(program.next_line)
            assert line.strip() == f"connected novacloud://127.0.0.1:{platform.port}"
            await platform.seen.reach(2)
        assert [name for name, _ in platform.seen.items][:2] == [ID, ID]


def test_words_that_make_no_sense(tmp_path: Path) -> None:
    words = ("nova", "device", "--id", ID)
    done = run(*words, "--key", "key.pem")
    assert (done.code, "--cert" in done.err, "--key-file" in done.err) == (2, True, True)
    done = run(*words, "--cert", str(tmp_path / "none.pem"))
    assert (done.code, "none.pem" in done.err) == (2, True)


async def test_a_platform_that_asks_for_certificates(tmp_path: Path) -> None:
    authority = trustme.CA()
    store = SqliteStore(tmp_path / "nova.db", durable=False)
    async with NovaPlatform(
        store, port=0, tls=_context(authority), certificates=True, settings=NO_PAUSES
    ) as platform:
        await store.create_device(DeviceRow(device_id=ID, name="lamp", key_hash=bytes(32)))
        demanding = Demanding(platform.port, authority, Tally())
        async with demanding.device(tls=demanding.context()) as device:
            with anyio.fail_after(SECONDS):
                await device.connected()
        async with demanding.device(tls=demanding.context(), device_id=str(uuid4())) as other:
            await eventually(lambda: other.refusal)
            assert "certificate" in (other.refusal or "")
