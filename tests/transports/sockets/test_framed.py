"""Messages that the socket takes only in part."""

import socket

import anyio
import pytest

from jsonrpc_iot import Limits
from jsonrpc_iot.channel.info import ChannelInfo
from jsonrpc_iot.transports.sockets.framed import FramedChannel
from jsonrpc_iot.transports.sockets.stream import SocketStream
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

INFO = ChannelInfo(transport="tcp", local="tcp://here", peer="tcp://there")


@pytest.mark.parametrize("size", [10, 1000, 20_001])
async def test_what_left_in_part_goes_on_where_it_stopped(size: int) -> None:
    messages = [b'"%06d%s"' % (number, b"x" * (number * size // 300)) for number in range(300)]
    here, there = socket.socketpair()
    received: list[bytes] = []

    async def read(channel: FramedChannel) -> None:
        while len(received) < len(messages):
            received.extend(await channel.receive_batch())

    near = FramedChannel(SocketStream(here), INFO, Limits())
    far = FramedChannel(SocketStream(there), INFO, Limits())
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with anyio.fail_after(SECONDS):
        async with near, far, anyio.create_task_group() as tasks:
            left = messages
            left = left[near.send_now(left) :]
            left = left[near.send_now(left) :]  # which changes nothing: the socket is full
            tasks.start_soon(read, far)
            while left:
                left = left[near.send_now(left) :]
                await near.send_batch(left[:7])
                left = left[7:]
    assert received == messages
