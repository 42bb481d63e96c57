"""`tcp://HOST:PORT`: addresses, ports, options and what goes wrong."""

import re
import socket
import subprocess
import sys
import textwrap
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
from anyio.abc import SocketAttribute

from jsonrpc_iot import BindFailed, ConnectFailed, Dispatcher, InvalidUrl, connect, serve
from jsonrpc_iot.transports import open_channel, open_listener
from tests.transports.links import accepting
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "0.0.0.0", "[::]"])
async def test_port_0_takes_a_free_port(host: str) -> None:
    async with serve(Dispatcher(), f"tcp://{host}:0", authenticate=lambda channel: None) as server:
        assert server.urls
        for url in server.urls:
            port = urlsplit(url).port
            assert port
            async with connect(url) as client:
                assert await client.call("rpc.ping") is True


async def test_small_messages_are_not_held_back_and_dead_peers_are_noticed() -> None:
    with anyio.fail_after(SECONDS):
        async with (
            accepting("tcp://127.0.0.1:0") as (listener, accept),
            await open_channel(listener.addresses[0]) as client,
            await accept() as server,
        ):
            for channel in (client, server):
                raw = channel.extra(SocketAttribute.raw_socket)
                assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_busy_port() -> None:
    async with await open_listener("tcp://127.0.0.1:0") as listener:
        (url,) = listener.addresses
        with pytest.raises(BindFailed, match=re.escape(url)):
            await open_listener(url)
        with pytest.raises(BindFailed, match=re.escape(url)):
            async with serve(Dispatcher(), "tcp://127.0.0.1:0", "memory://free", url):
                pytest.fail("all or nothing")
    async with serve(Dispatcher(), url, "memory://free"):  # nothing was left bound
        pass


async def test_the_default_port() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8805))
        except OSError:
            pytest.skip("port 8805 is in use on this machine")
    async with await open_listener("tcp://127.0.0.1") as listener:
        assert list(listener.addresses) == ["tcp://127.0.0.1:8805"]
        async with await open_channel("tcp://127.0.0.1") as client:
            assert client.info.peer == "tcp://127.0.0.1:8805"


async def test_nobody_listens() -> None:
    async with await open_listener("tcp://127.0.0.1:0") as listener:
        (url,) = listener.addresses
    with pytest.raises(ConnectFailed, match=re.escape(url)):
        await open_channel(url)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".example", "a b"])
async def test_a_host_that_cannot_be_resolved(host: str) -> None:
    with anyio.fail_after(SECONDS * 2):
        with pytest.raises(ConnectFailed, match=re.escape(host)):
            await open_channel(f"tcp://{host}:8805")
        with pytest.raises(BindFailed, match=re.escape(host)):
            await open_listener(f"tcp://{host}:8805")


async def test_an_address_of_another_machine_cannot_be_bound() -> None:
    with pytest.raises(
        BindFailed, match=re.escape("tcp://192.0.2.1:8805")
    ):  # RFC 5737: nobody has it
        await open_listener("tcp://192.0.2.1:8805")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("tcp://127.0.0.1:1?nodelay=1", "unknown option 'nodelay'; tcp has max, psk, reuse_port"),
        ("tcp://127.0.0.1:1?max=-5", "max='-5'"),
        ("tcp://127.0.0.1:1?reuse_port=perhaps", "reuse_port='perhaps'"),
        ("tcp://127.0.0.1:1?max=1&max=2", "twice"),
        ("tcp://127.0.0.1:65536", "65535"),
        ("tcp://127.0.0.1:http", "http"),
        ("tcp://[::1", "IPv6"),
        ("tcp://127.0.0.1:1#lamp", "fragment"),
        ("tcp:127.0.0.1:1", "tcp://"),
        ("tpc://127.0.0.1:1", "tcp, tls"),
        ("127.0.0.1:1", "tcp://"),
        ("", "tcp://"),
    ],
)
async def test_wrong_urls(url: str, problem: str) -> None:
    for attempt in (open_channel, open_listener):
        with pytest.raises(InvalidUrl) as caught:
            await attempt(url)
        assert problem in str(caught.value)


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:1/path", "tcp://:8805", "tcp://?max=5"])
async def test_wrong_urls_to_connect_to(url: str) -> None:
    with pytest.raises(InvalidUrl):
        await open_channel(url)


SHARER = """
    import sys
    from jsonrpc_iot import Dispatcher, run

    dispatcher = Dispatcher()

    @dispatcher.method
    def who() -> str:
        return sys.argv[2]

    run(dispatcher, sys.argv[1], on_listening=lambda url: print(url, flush=True))
"""


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="ports cannot be shared here")
async def test_two_processes_share_a_port() -> None:
    processes: list[subprocess.Popen[str]] = []

    def start(url: str, name: str) -> str:
        command = [sys.executable, "-c", textwrap.dedent(SHARER), url, name]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        output = processes[-1].stdout
        assert output is not None
        return output.readline().strip()

    try:
        with anyio.fail_after(SECONDS * 2):
            url = await anyio.to_thread.run_sync(start, "tcp://127.0.0.1:0?reuse_port=1", "a")
            shared = f"tcp://127.0.0.1:{urlsplit(url).port}?reuse_port=1"
            await anyio.to_thread.run_sync(start, shared, "b")
            with pytest.raises(BindFailed):
                await open_listener(url.partition("?")[0])
            found: set[str] = set()
            while found != {"a", "b"}:
                async with connect(url) as client:
                    found.add(await client.call("who", result=str))
            processes[0].terminate()
            assert await anyio.to_thread.run_sync(processes[0].wait) == 0
            async with connect(url) as client:
                assert await client.call("who") == "b"
    finally:
        for process in processes:
            process.terminate()
            assert process.wait() == 0
            assert process.stdout is not None
            process.stdout.close()
