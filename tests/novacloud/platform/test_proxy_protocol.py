"""Devices that come through a proxy which says whose a connection is."""

import logging
import ssl
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest
import trustme
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.novacloud import PlatformSettings
from jsonrpc_iot.novacloud.platform.proxy_protocol import (
    MOST_BYTES,
    SIGNATURE,
    NotProxied,
    ProxyHeader,
)
from tests._system import require_command
from tests.brokers import Broker
from tests.novacloud.rig import Device, running
from tests.ports import free_port

pytestmark = pytest.mark.anyio

LOCAL, PROXY = 0x20, 0x21


def header(
    source: str = "", extensions: bytes = b"", *, command: int = PROXY, family: int | None = None
) -> bytes:
    """A header as a proxy sends it."""
    addresses = b""
    if source:
        packed = ip_address(source).packed
        addresses = packed + bytes(len(packed)) + struct.pack("!HH", 50_000, 8100)
    if family is None:
        family = {0: 0x00, 12: 0x11, 36: 0x21}[len(addresses)]
    rest = addresses + extensions
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def read(data: bytes, piece: int = 1 << 16) -> tuple[str, bytes]:
    """The host that a header names, and what is behind it."""
    reader = ProxyHeader()
    at = 0
    while reader.missing:
        size = min(piece, reader.missing)
        assert data[at:], "more is missing than there is"
        reader.feed(data[at : at + size])
        at += size
    return reader.host, data[at:]


GOOD = [
    (header("203.0.113.7"), "203.0.113.7"),
    (header("203.0.113.7", b"\x03\x00\x04abcd\x05\x00\x02id"), "203.0.113.7"),
    (header("2001:db8::7"), "2001:db8::7"),
    (header("::ffff:203.0.113.7"), "203.0.113.7"),
    (header("2001:db8::7", bytes(MOST_BYTES - 36)), "2001:db8::7"),
    (header(), ""),
    (header(extensions=bytes(216), family=0x31), ""),
    (header(command=LOCAL), ""),
    (header("203.0.113.7", command=LOCAL), ""),
    (header(command=LOCAL, family=0x99), ""),
]


@pytest.mark.parametrize(("data", "host"), GOOD)
@pytest.mark.parametrize("piece", [1, 5, 16, 1 << 16])
def test_a_header_names_the_client_and_leaves_what_follows(
    data: bytes, host: str, piece: int
) -> None:
    assert read(data + b"\x16\x03\x01", piece) == (host, b"\x16\x03\x01")


BAD = [
    (b'{"type": "auth", "payload": {}}\n', "does not begin"),
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 8100\r\n", "does not begin"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh", "does not begin"),
    (header("203.0.113.7", command=0x11), "version 1"),
    (header("203.0.113.7", command=0x2F), "unknown command 15"),
    (header("203.0.113.7", family=0x12), "another protocol than TCP"),
    (header("203.0.113.7", family=0x21), "no room for its address"),
    (header(family=0x11), "no room for its address"),
    (header(extensions=bytes(MOST_BYTES + 1)), "more than 4096"),
    (header(extensions=bytes(65_535), command=LOCAL), "more than 4096"),
]


@pytest.mark.parametrize(("data", "reason"), BAD)
@pytest.mark.parametrize("piece", [1, 1 << 16])
def test_a_wrong_header_is_refused_as_soon_as_it_is_seen(
    data: bytes, reason: str, piece: int
) -> None:
    with pytest.raises(NotProxied, match=reason):
        read(data[:16], piece)


@given(
    st.binary(max_size=64) | st.binary(max_size=64).map(lambda rest: SIGNATURE + rest),
    st.integers(1, 20),
)
def test_any_bytes_are_a_header_or_none(data: bytes, piece: int) -> None:
    reader = ProxyHeader()
    try:
        while reader.missing and data:
            size = min(piece, reader.missing)
            reader.feed(data[:size])
            data = data[size:]
            assert reader.missing >= 0
    except NotProxied:
        return
    if reader.host:
        ip_address(reader.host)


async def test_a_device_has_the_address_that_the_proxy_names(tmp_path: Path) -> None:
    async with running(tmp_path, proxied=True) as rig:
        info = await rig.create(t="number")
        for source, extensions in (("203.0.113.7", b"\x04\x00\x01x"), ("2001:db8::7", b"")):
            async with rig.link(info) as device:
                await device.send_raw(header(source, extensions))
                assert (await device.authenticate())["status"] == "success"
                got = await rig.call("device.get", device_id=info["device_id"])
                assert got["address"] == source


async def test_header_and_first_line_may_come_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, proxied=True) as rig:
        info = await rig.create()
        line = b'{"type":"auth","payload":{"device_id":"%s","device_key":"%s"}}\n'
        keys = (info["device_id"].encode(), info["device_key"].encode())
        async with rig.link(info) as device:
            await device.send_raw(header("203.0.113.7") + line % keys)
            assert (await device.receive())["payload"]["status"] == "success"


async def test_a_connection_of_the_proxy_itself_has_its_address(tmp_path: Path) -> None:
    async with running(tmp_path, proxied=True) as rig:
        info = await rig.create()
        async with rig.link(info) as device:
            await device.send_raw(header(command=LOCAL))
            assert (await device.authenticate())["status"] == "success"
            got = await rig.call("device.get", device_id=info["device_id"])
            assert got["address"] == "127.0.0.1"


async def test_who_comes_without_a_header_is_refused_and_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, proxied=True) as rig:
        info = await rig.create()
        async with rig.link(info) as device:
            await device.send({"type": "auth", "payload": {}})
            await device.wait_closed()
        assert (await rig.stats())["failed_auths"] == 1
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert "127.0.0.1: it does not begin with a PROXY header, version 2" in warnings


async def test_a_header_that_does_not_come_whole_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hasty = PlatformSettings(auth_seconds=0.1, failed_auth_delay=0.0)
    async with running(tmp_path, hasty, proxied=True) as rig:
        info = await rig.create()
        async with rig.link(info) as device:
            await device.send_raw(header("203.0.113.7")[:20])
            await device.wait_closed()
    assert "no PROXY header comes" in caplog.text


async def test_those_behind_a_proxy_are_of_their_own_networks(tmp_path: Path) -> None:
    """One who holds all places keeps nobody else behind the proxy out."""
    few = PlatformSettings(unauthenticated=4, failed_auth_delay=0.0)
    async with running(tmp_path, few, proxied=True) as rig, anyio.create_task_group() as tasks:
        info = await rig.create()

        async def linger() -> None:
            async with rig.link(info) as device:
                await device.send_raw(header("203.0.113.66"))
                await device.wait_closed()

        for _ in range(12):
            tasks.start_soon(linger)
        await rig.until_stat("connections", 12)
        async with rig.link(info) as device:
            await device.send_raw(header("198.51.100.1"))
            assert (await device.authenticate())["status"] == "success"
        tasks.cancel_scope.cancel()


# A real proxy


@pytest.fixture(scope="module")
def proxy() -> Iterator["HaProxy"]:
    made = HaProxy()
    yield made
    made.stop()


HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen devices
    bind 127.0.0.1:{port}
    server platform 127.0.0.1:%d send-proxy-v2 proxy-v2-options crc32c,unique-id check
"""


class HaProxy(Broker):
    """HAProxy before a platform that is still to come."""

    def __init__(self) -> None:
        program = require_command("haproxy")
        self.target = free_port()
        super().__init__([program, "-db", "-f", "{folder}/conf"], {"conf": HAPROXY % self.target})


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_haproxy_says_whose_a_connection_is(
    tmp_path: Path, proxy: HaProxy, secure: bool
) -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    tls = server if secure else None
    async with running(tmp_path, proxied=True, port=proxy.target, tls=tls) as rig:
        proxy.start()
        info = await rig.create()
        async with await anyio.connect_tcp(
            "127.0.0.1", proxy.port, local_host="127.0.0.7"
        ) as plain:
            stream: ByteStream = plain
            if secure:
                stream = await TLSStream.wrap(
                    plain, hostname="127.0.0.1", ssl_context=client, standard_compatible=False
                )
            device = Device(stream, info)
            assert (await device.authenticate())["status"] == "success"
            got = await rig.call("device.get", device_id=info["device_id"])
            assert got["address"] == "127.0.0.7"
        # The proxy has looked whether the platform is there, which is no failure.
        await rig.until_stat("connections", 2)
        assert (await rig.stats())["failed_auths"] == 0
        proxy.stop()
