"""Addresses that are valid on one link only, and are written with its interface."""

import socket
from pathlib import Path

import pytest

from jsonrpc_iot import Dispatcher, connect, serve
from jsonrpc_iot.channel.url import place_of
from tests.waiting import SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]  # http and ws are served there


def link_local() -> list[tuple[str, str]]:
    """The addresses of that kind that this host has, with their interfaces (Linux)."""
    table = Path("/proc/net/if_inet6")
    rows = [line.split() for line in table.read_text().splitlines()] if table.exists() else []
    return [
        (socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])), row[5])
        for row in rows
        if row[3] == "20"
    ]


def test_a_zone_is_shown_by_its_name() -> None:
    number, name = socket.if_nameindex()[0]
    for address in (("fe80::1", 5, 0, number), (f"fe80::1%{number}", 5), (f"fe80::1%{name}", 5)):
        assert place_of(address) == f"[fe80::1%{name}]:5"
    assert place_of(("fe80::1", 5, 0, 99_999)) == "[fe80::1%99999]:5"
    assert place_of(("::1", 5, 0, 0)) == "[::1]:5"
    assert place_of(("127.0.0.1", 5)) == "127.0.0.1:5"


@pytest.mark.parametrize("scheme", ["udp", "tcp", "http", "ws"])
@pytest.mark.parametrize("mark", ["%", "%25"])
async def test_a_zone_binds_and_connects(scheme: str, mark: str) -> None:
    found = link_local()
    if not found:
        pytest.skip("no link-local address here")
    host, interface = found[0]
    async with serve(Dispatcher(), f"{scheme}://[{host}{mark}{interface}]:0") as server:
        assert f"[{host}%{interface}]" in server.urls[0]
        async with connect(server.urls[0], timeout=SECONDS) as client:
            assert await client.call("rpc.ping") is True
            assert f"[{host}%{interface}]" in client.info.peer
