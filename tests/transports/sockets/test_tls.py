"""`tls://HOST:PORT`: certificates on both sides, and those who do not shake hands."""

import contextlib
import re
import socket
import ssl
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
from anyio.streams.tls import TLSAttribute

from jsonrpc_iot import (
    BindFailed,
    ChannelClosed,
    ConnectFailed,
    Dispatcher,
    InvalidUrl,
    Limits,
    Server,
    connect,
    serve,
)
from jsonrpc_iot.transports import open_channel, open_listener
from tests.rig import Raw
from tests.transports.certificates import Certificates
from tests.transports.links import accepting
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

ANYWHERE = "tls://127.0.0.1:0"


async def answers(server: Server, certificates: Certificates) -> None:
    async with connect(f"{server.urls[0]}?ca={certificates.ca}") as client:
        assert await client.call("rpc.ping") is True


async def test_calls_over_tls(certificates: Certificates) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        url = f"tls://{host}:0?cert={certificates.server}"
        async with serve(Dispatcher(), url) as server:
            await answers(server, certificates)


async def test_the_other_ends_certificate_is_known(certificates: Certificates) -> None:
    url = f"{ANYWHERE}?cert={certificates.server}&ca={certificates.ca}"
    with anyio.fail_after(SECONDS):
        async with accepting(url) as (listener, accept):
            ours = f"?ca={certificates.ca}&cert={certificates.client}"
            async with (
                await open_channel(listener.addresses[0] + ours) as client,
                await accept() as server,
            ):
                assert "lamp@example.org" in str(server.extra(TLSAttribute.peer_certificate))
                assert client.extra(TLSAttribute.tls_version) in {"TLSv1.2", "TLSv1.3"}


async def test_a_client_without_a_certificate_hears_that_one_may_be_wanted(
    certificates: Certificates,
) -> None:
    url = f"{ANYWHERE}?cert={certificates.server}&ca={certificates.ca}"
    async with serve(Dispatcher(), url) as server:
        with pytest.raises(ChannelClosed, match=r"give one with \?cert=FILE"):
            async with connect(f"{server.urls[0]}?ca={certificates.ca}") as client:
                await client.call("rpc.methods")


async def test_a_plain_client_does_no_harm(certificates: Certificates) -> None:
    async with serve(Dispatcher(), f"{ANYWHERE}?cert={certificates.server}") as server:
        for bytes_sent in (
            b'{"id":1,"method":"rpc.ping"}\n' * 50,
            b"\x16\x03\x01\xff\xff" * 99,
            b"",
        ):
            async with Raw.to(server.urls[0]) as raw:
                await raw.stream.send(bytes_sent)
                await raw.stream.send_eof()
                with anyio.fail_after(SECONDS), contextlib.suppress(anyio.EndOfStream):
                    while True:
                        try:
                            await raw.stream.receive()
                        except anyio.BrokenResourceError:
                            break
        await answers(server, certificates)


async def test_a_tls_client_at_a_plain_port_fails(certificates: Certificates) -> None:
    async with serve(Dispatcher(), "tcp://127.0.0.1:0") as server:
        url = server.urls[0].replace("tcp:", "tls:")
        with pytest.raises(ConnectFailed, match=re.escape(url)):
            async with connect(f"{url}?ca={certificates.ca}"):
                pytest.fail("no TLS is spoken there")
        async with connect(server.urls[0]) as client:
            assert await client.call("rpc.ping") is True


async def test_handshakes_that_never_begin_keep_nobody_out(certificates: Certificates) -> None:
    async with serve(
        Dispatcher(), f"{ANYWHERE}?cert={certificates.server}", grace=SECONDS
    ) as server:
        silent = [await Raw.open(server.urls[0]) for _ in range(20)]
        await answers(server, certificates)
        began = anyio.current_time()
    assert anyio.current_time() - began < 2  # nor do they hold up the end
    for raw in silent:
        await raw.stream.aclose()


async def test_a_handshake_that_never_ends_is_given_up(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jsonrpc_iot.transports.sockets.tcp._HANDSHAKE_SECONDS", 0.1)
    async with serve(Dispatcher(), f"{ANYWHERE}?cert={certificates.server}") as server:
        async with Raw.to(server.urls[0]) as raw:
            await raw.stream.send(b"\x16\x03\x01\x02\x00")
            with (
                anyio.fail_after(SECONDS),
                pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)),
            ):
                await raw.stream.receive()
        await answers(server, certificates)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_in_the_middle_of_a_call(
    certificates: Certificates, how: str
) -> None:
    dispatcher = Dispatcher()
    ran = anyio.Event()
    go = anyio.Event()

    @dispatcher.method
    async def slow() -> str:
        ran.set()
        await go.wait()
        return "x" * 1000

    limits = Limits(linger_seconds=0.5)
    async with serve(dispatcher, f"{ANYWHERE}?cert={certificates.server}", limits=limits) as server:
        context = ssl.create_default_context(cafile=certificates.ca)
        port = urlsplit(server.urls[0]).port

        def call() -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", port))
            secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
            secure.sendall(b'{"id":1,"method":"slow"}\n')
            return secure

        secure = await anyio.to_thread.run_sync(call)
        await ran.wait()
        if how == "reset":
            secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        secure.close()
        go.set()
        await eventually(lambda: not server.peers)
        await answers(server, certificates)


async def test_files_that_are_missing_or_wrong(certificates: Certificates) -> None:
    for options, problem in (
        ("", "cert=FILE"),
        ("?cert=/missing.pem", "cannot load"),
        (f"?cert={certificates.ca}", "cannot load"),
        (f"?cert={certificates.server}&key={certificates.client}", "cannot load"),
        (f"?cert={certificates.server}&ca=/missing.pem", "cannot load"),
        (f"?cert={certificates.server}&ciphers=x", "tls has ca, cert, key, max, reuse_port"),
    ):
        with pytest.raises(InvalidUrl, match=problem):
            await open_listener(ANYWHERE + options)
    for options in ("?ca=/missing.pem", "?cert=/missing.pem", f"?cert={certificates.ca}"):
        with pytest.raises(InvalidUrl, match="cannot load"):
            await open_channel("tls://127.0.0.1:1" + options)
    with pytest.raises(InvalidUrl, match="port"):
        await open_channel("tls://127.0.0.1")


async def test_a_busy_port(certificates: Certificates) -> None:
    async with await open_listener(f"{ANYWHERE}?cert={certificates.server}") as listener:
        url = f"{listener.addresses[0]}?cert={certificates.server}"
        with pytest.raises(BindFailed, match=re.escape(url)):
            await open_listener(url)
