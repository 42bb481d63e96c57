"""Peers that do not read what they asked for, or read slowly."""

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import Limits, connect, serve
from tests.leaks import resident_mib
from tests.rig import ANYWHERE, Device, Mute
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

QUICK = Limits(send_seconds=0.15, linger_seconds=0.15)


@pytest.mark.parametrize("method", ["big", "big.later"])
async def test_a_flood_of_requests_whose_replies_nobody_reads(method: str) -> None:
    """100 KB come back for each request of 60 bytes, and nobody takes them."""
    device = Device(Limits(queue_bytes=200_000, in_flight=16))
    request = b'{"id":1,"method":"%s","params":[100000]}\n' % method.encode()
    async with (
        serve(device.dispatcher, ANYWHERE, grace=0.1) as server,
        connect(server.urls[0]) as client,
    ):
        await client.call("echo", [0])
        with Mute(server.urls[0]) as mute:
            before = resident_mib()
            await eventually(lambda: len(server.peers) == 2)
            with anyio.move_on_after(0.4):
                while True:
                    await mute.send(request * 1000)
            for number in range(50):
                assert await client.call("echo", [number], timeout=SECONDS) == number
            assert resident_mib() - before < 40


@pytest.mark.parametrize("method", ["big", "big.later"])
async def test_a_peer_that_does_not_read_is_dropped(method: str) -> None:
    device = Device(QUICK)
    async with serve(device.dispatcher, ANYWHERE) as server, connect(server.urls[0]) as client:
        await client.call("echo", [0])
        with Mute(server.urls[0]) as mute:
            await eventually(lambda: len(server.peers) == 2)
            await mute.send(b'{"id":1,"method":"%s","params":[900000]}\n' % method.encode() * 50)
            await eventually(lambda: len(server.peers) == 1)
            await mute.wait_until_dropped()
        assert await client.call("echo", [1]) == 1


async def test_a_peer_that_ignores_notifications_is_dropped() -> None:
    device = Device(QUICK)
    async with serve(device.dispatcher, ANYWHERE) as server:
        with Mute(server.urls[0]) as mute:
            await eventually(lambda: len(server.peers) == 1)
            while server.peers:
                server.broadcast("n", ["x" * 10_000])
                await anyio.lowlevel.checkpoint()
            await mute.wait_until_dropped()


async def test_a_server_that_does_not_read_fails_the_clients_calls() -> None:
    """The client's own `timeout` ends a call whose request cannot even be sent."""
    with anyio.fail_after(SECONDS):
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with connect(f"tcp://127.0.0.1:{port}", limits=QUICK) as client:
                failures = []

                async def call() -> None:
                    try:
                        await client.call("x", ["x" * 900_000], timeout=5)
                    except Exception as error:  # noqa: BLE001  # looked at below
                        failures.append(type(error).__name__)

                async with anyio.create_task_group() as tasks:  # nobody accepts, the kernel does
                    for _ in range(20):
                        tasks.start_soon(call)
                assert failures == ["ChannelClosed"] * 20


async def test_a_stalled_peer_does_not_hold_up_a_server_that_leaves() -> None:
    device = Device(Limits(queue_bytes=100_000))
    async with serve(device.dispatcher, ANYWHERE, grace=0.2) as server:
        mute = Mute(server.urls[0])
        await mute.send(b'{"id":1,"method":"big","params":[900000]}\n' * 20)
        await mute.send(b'{"id":1,"method":"big.later","params":[900000]}\n' * 20)
        await eventually(lambda: server.broadcast("n", ["x" * 50_000]) == 0)
        began = anyio.current_time()
    assert anyio.current_time() - began < 2
    mute.socket.close()
