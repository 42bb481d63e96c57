"""What a device does about connections that end, stall or never come to be."""

import logging
import random
import socket
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.streams.tls
import msgspec
import pytest
import trustme

from jsonrpc_iot.novacloud import DeviceSettings, Schedule
from jsonrpc_iot.novacloud.device.backoff import Backoff
from jsonrpc_iot.novacloud.device.link import Link, LinkLost
from jsonrpc_iot.transports.sockets import dial
from tests.novacloud.scripted import AT_ONCE, Platform, connected
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

NO_PLATFORM = b"220 mail.example.com ESMTP\r\n"


def test_pauses_are_random_under_a_bound_that_doubles() -> None:
    bounds = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    series = []
    for seed in range(2000):
        backoff = Backoff(Schedule(), random.Random(seed))
        series.append([backoff.after_failure() for _ in bounds])
    for bound, pauses in zip(bounds, zip(*series, strict=True), strict=True):
        assert 0 <= min(pauses) < 0.05 * bound
        assert 0.95 * bound < max(pauses) <= bound
        assert sum(pauses) / len(pauses) == pytest.approx(bound / 2, rel=0.08)


def test_only_a_stable_connection_starts_over() -> None:
    pauses = []
    for seed in range(2000):
        backoff = Backoff(Schedule(), random.Random(seed))
        for _ in range(6):
            backoff.after_failure()
        short = backoff.after_connection(19.9)
        assert short <= 60
        first = backoff.after_connection(20.0)
        assert first <= 10
        pauses.append((short, first))
        assert max(backoff.after_failure() for _ in range(4)) <= 10  # instead of 1, 2, 4 and 8
        assert backoff.after_failure() <= 16
    assert max(short for short, _ in pauses) > 55
    assert max(first for _, first in pauses) > 9.5
    assert sum(first for _, first in pauses) / len(pauses) == pytest.approx(5, rel=0.08)


def test_a_refused_key_is_tried_seldom() -> None:
    for seed in range(200):
        backoff = Backoff(Schedule(), random.Random(seed))
        pauses = [backoff.after_refusal() for _ in range(2000 if seed == 0 else 6)]
        assert 60 <= pauses[0] <= 90
        assert all(60 <= pause <= 450 for pause in pauses)
        assert pauses[5] >= 300


async def test_a_refused_key_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    platform = Platform()
    async with platform.device() as device:
        (await platform.accept()).refuse("unknown device")
        far = await platform.accept()
        assert device.refusal == "unknown device"
        assert (device.counts.refusals, device.is_connected) == (1, False)
        far.refuse("unknown device")
        await platform.admit()
        await device.connected()
        assert device.refusal is None
    platform.close()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "unknown device" in errors[0].getMessage()


async def test_what_no_platform_says_is_no_admission() -> None:
    platform = Platform()
    async with platform.device() as device:
        far = await platform.accept()
        far.socket.sendall(NO_PLATFORM)
        await eventually(lambda: device.counts.malformed)
        assert (device.counts.malformed, device.counts.connections) == (1, 0)
        await far.admit()
        await device.connected()
        assert (device.counts.malformed, device.counts.connections) == (1, 1)
    platform.close()


async def test_who_does_not_admit_in_time_is_left() -> None:
    platform = Platform()
    settings = DeviceSettings(auth_seconds=0.1, close_seconds=0.1, schedule=AT_ONCE.schedule)
    async with platform.device(settings=settings) as device:
        far = await platform.accept()
        far.socket.sendall(NO_PLATFORM)
        assert [message["type"] for message in await far.end()] == ["auth"]
        await platform.accept()
        assert device.counts.connections == 0
    platform.close()


@pytest.mark.parametrize("ext", [(), ("ack",)])
async def test_reports_wait_for_the_platform(ext: tuple[str, ...], tmp_path: Path) -> None:
    platform = Platform()
    async with platform.device(outbox=tmp_path / "o") as device:
        far = await platform.admit(ext)
        await device.connected()
        far.reset()
        await eventually(lambda: not device.is_connected)
        for number in range(100):
            await device.report({"n": number}, timestamp=1000 + number)
        far = await platform.admit(ext)
        for number in range(100):
            message = await far.read()
            assert message["payload"] == {"n": number}
            assert message["timestamp"] == 1000 + number
    platform.close()


async def test_a_connection_that_ends_early_replays() -> None:
    async with connected(heartbeat=0.4) as (device, first, platform):
        for number in range(3):
            await device.report({"n": number})
        assert [(await first.read())["payload"]["n"] for _ in range(3)] == [0, 1, 2]
        assert device.outbox.rows == 3
        first.reset()
        far = await platform.admit()
        assert [(await far.read_type("data"))["payload"]["n"] for _ in range(3)] == [0, 1, 2]
        assert device.outbox.rows == 3
        got = anyio.current_time()
        await eventually(lambda: device.outbox.rows == 0)
        assert 0.35 < anyio.current_time() - got < 1.5
        far.reset()
        far = await platform.admit()
        assert (await far.read())["type"] == "heartbeat"  # and no data again


async def test_what_the_kernel_has_not_got_rid_of_stays() -> None:
    # No user timeout: it would end the connection that this test keeps from moving.
    async with connected(heartbeat=0.3) as (device, first, platform):
        first.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        filling = "x" * 60_000
        for _ in range(120):
            await device.report({"n": filling})
        before = device.outbox.rows
        await eventually(lambda: not device.is_connected)  # nothing can be written any more
        assert device.outbox.rows == before
        far = await platform.admit()
        assert (await far.read())["payload"] == {"n": filling}


async def test_rows_leave_only_with_an_acknowledgement() -> None:
    async with connected(["ack"], heartbeat=0.05) as (device, first, platform):
        await device.report({"n": 1})
        await device.report({"n": 2})
        for _ in range(8):  # many heartbeats
            await first.read_type("heartbeat")
        assert device.outbox.rows == 2
        first.ack(1)
        await eventually(lambda: device.outbox.rows == 1)
        first.reset()
        far = await platform.admit(["ack"])
        message = await far.read_type("data")
        assert (message["seq"], message["payload"]) == (2, {"n": 2})


async def test_an_acknowledgement_that_was_not_agreed_on_means_nothing() -> None:
    async with connected() as (device, far, _):
        await device.report({"n": 1})
        await far.read()
        far.ack(1)
        far.command("c1")
        await far.response()
        assert device.outbox.rows == 1


async def test_a_half_closed_connection_is_over() -> None:
    async with connected() as (device, first, platform):
        first.socket.shutdown(socket.SHUT_WR)
        far = await platform.admit()
        await device.report({"n": 1})
        assert (await far.read())["payload"] == {"n": 1}


async def test_an_endless_line_ends_the_connection() -> None:
    async with connected() as (device, far, platform):
        with anyio.fail_after(SECONDS):
            for _ in range(20):
                try:
                    far.socket.send(b"x" * 8192)
                except OSError:
                    break
                await anyio.sleep(0.005)
        await platform.admit()
        await eventually(lambda: device.counts.connections == 2)


async def test_the_kernel_is_told_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        pytest.skip("this system has no TCP_USER_TIMEOUT")
    async with connected(heartbeat=42) as (device, _, _):
        assert device._connection.session is not None
        stream = device._connection.session.link._stream
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        assert raw.getsockopt(socket.IPPROTO_TCP, option) == 42_000


async def test_tls() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    got = anyio.Event()
    lines: list[bytes] = []

    async def serve_one(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):  # a device comes again
                auth = await stream.receive()
                await stream.send(
                    b'{"type":"auth_response","payload":{"status":"success","message":""}}\n'
                )
                lines.extend([auth, await stream.receive()])
                got.set()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    secure = anyio.streams.tls.TLSListener(listener, server, standard_compatible=False)
    platform = Platform()
    platform.close()
    platform.port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(secure.serve, serve_one)
        async with platform.device(tls=True) as distrusting:
            await eventually(lambda: distrusting.counts.failed_connections)
            assert not lines
        async with platform.device(tls=trusting) as device:
            await device.report({"n": 1})
            with anyio.fail_after(SECONDS):
                await got.wait()
        tasks.cancel_scope.cancel()
    await secure.aclose()
    assert b'"auth"' in lines[0]
    assert b'{"n":1}' in lines[1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is unsent")
async def test_of_a_socket_that_is_closed_nothing_is_known() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        link = Link(1.0, 65536, str)
        await link.open("127.0.0.1", port, None, seconds=SECONDS)
        await link.send(b"{}\n")
        await link.part(0.01)
        with pytest.raises(LinkLost, match="over"):
            _ = link.taken


async def test_a_connection_on_which_nothing_is_acknowledged_is_given_up() -> None:
    settings = msgspec.structs.replace(AT_ONCE, ack_seconds=0.2)
    async with connected(["ack"], settings=settings) as (device, far, platform):
        await device.report({"a": 1})
        assert (await far.read_type("data"))["seq"] == 1
        again = await platform.admit(["ack"])  # while the first one is still there
        assert (await again.read_type("data"))["seq"] == 1
        again.ack(1)
        await eventually(lambda: device.outbox.rows == 0)
        assert device.counts.connections == 2


async def test_a_platform_that_acknowledges_slowly_or_has_nothing_to_is_not_left() -> None:
    settings = msgspec.structs.replace(AT_ONCE, ack_seconds=0.5)
    async with connected(["ack"], settings=settings) as (device, far, _):
        await anyio.sleep(0.6)
        for number in range(6):
            await device.report({"n": number})
        for number in range(1, 7):  # all but the last one leave something to wait for
            assert (await far.read_type("data"))["seq"] == number
            await anyio.sleep(0.12)
            far.ack(number)
        await eventually(lambda: device.outbox.rows == 0)
        assert device.counts.connections == 1


async def test_another_address_is_tried_where_one_only_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = Platform()
    with socket.create_server(("127.0.0.2", platform.port)):  # a balancer with nobody behind it

        async def resolve(host: str, port: int) -> list[Any]:
            kinds = socket.AF_INET, socket.SOCK_STREAM, 0, ""
            return [(*kinds, ("127.0.0.2", port)), (*kinds, ("127.0.0.1", port))]

        monkeypatch.setattr(dial, "_resolve", resolve)
        settings = msgspec.structs.replace(AT_ONCE, auth_seconds=0.1)
        async with platform.device(settings=settings) as device:
            await platform.admit()
            await device.connected()
            assert device.counts.failed_connections == 1
    platform.close()
