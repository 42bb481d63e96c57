"""What takes a connection and says nothing, or not what it is asked: who connects is told so."""

import socket
from collections.abc import Iterator

import pytest

from jsonrpc_iot import ConnectFailed, ConnectTimeout, Dispatcher, connect, serve
from tests.conftest import ASYNCIO

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ASYNCIO[:1])]


@pytest.fixture
def place() -> Iterator[str]:
    """Host and port of somebody who listens, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "ws", "wss", "tls"])
async def test_silence_is_told_from_nobody_there(scheme: str, place: str) -> None:
    path = "" if scheme == "tls" else "/"
    says = "speaks no (HTTP|WebSocket|TLS)$"
    with pytest.raises(ConnectTimeout, match=f"something listens there, but {says}"):
        async with connect(f"{scheme}://{place}{path}", connect_timeout=0.3):
            pytest.fail("nobody answers")


async def test_a_server_of_ours_that_speaks_no_http() -> None:
    async with serve(Dispatcher(), "tcp://127.0.0.1:0") as server:
        url = server.urls[0].replace("tcp", "http")
        with pytest.raises(ConnectTimeout, match="something listens there, but speaks no HTTP"):
            async with connect(url, connect_timeout=0.3):
                pytest.fail("it speaks no HTTP")


async def test_a_name_that_nobody_has_is_so_in_any_time() -> None:
    with pytest.raises(ConnectFailed, match="nobody announces that name"):
        async with connect("mdns://nobody?interface=127.0.0.1", connect_timeout=0.5):
            pytest.fail("nobody has that name")


async def test_times_are_shown_without_an_empty_fraction() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(3):  # more than it takes: the system drops who comes then
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(full.getsockname())
            waiting.append(each)
        with pytest.raises(ConnectTimeout, match=r"no connection within 1 s$"):
            async with connect(f"tcp://127.0.0.1:{full.getsockname()[1]}", connect_timeout=1.0):
                pytest.fail("it takes nobody")
        for each in waiting:
            each.close()
