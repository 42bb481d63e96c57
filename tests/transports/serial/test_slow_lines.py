"""Serial lines that take their time: what is asked for again meanwhile runs and leaves once."""

import sys

import anyio
import pytest

from jsonrpc_iot import Dispatcher, Limits, connect, serve
from jsonrpc_iot.testing import virtual_serial_pair
from jsonrpc_iot.tuya import TuyaLink
from tests.waiting import SECONDS

from .raw_line import frame, raw_end

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]

BAUDRATE = 9600
REPLIES = 18


@pytest.mark.only_on("asyncio")  # as serial ports do
async def test_replies_that_wait_for_the_line_leave_once() -> None:
    device = Dispatcher()
    ran: list[int] = []

    async def read_once(number: int) -> None:
        await client.call("read", [number], idempotent=True)

    @device.method
    def read(number: int) -> str:
        ran.append(number)
        return "x" * 300

    options = f"baudrate={BAUDRATE}&buffer=400"  # so that requests are repeated after 1.1 s
    with anyio.fail_after(4 * SECONDS):
        async with (
            virtual_serial_pair(paths=True, baudrate=BAUDRATE) as line,
            serve(device, f"uart://{line.first}?{options}"),
            connect(f"uart://{line.second}?{options}", timeout=3 * SECONDS) as client,
        ):
            async with anyio.create_task_group() as tasks:
                for number in range(REPLIES):
                    tasks.start_soon(read_once, number)
            assert await client.call("rpc.ping") is True
            assert line.to_first.counts.sent > 1.5 * REPLIES * 60  # they were asked for again
            assert line.to_second.counts.sent < 1.5 * REPLIES * 330
            assert len(ran) < 1.5 * REPLIES


async def test_requests_are_lost_while_too_much_waits_for_the_line() -> None:
    device = Dispatcher()
    device.method("read")(lambda: "x" * 300)
    limits = Limits(queue_bytes=1000)
    with anyio.fail_after(SECONDS):
        async with serve(device, f"uart+pty://?baudrate={BAUDRATE}", limits=limits) as server:
            with raw_end(server.urls[0]) as line:
                for number in range(30):
                    line.write(frame(b'{"method":"read","id":%d}' % number))
                count = 0
                while await line.has_data(1.0):
                    await line.data(0xFE, 0)
                    count += 1
                assert 3 <= count <= 8
                line.write(frame(b'{"method":"rpc.ping","id":1}'))
                assert await line.data(0xFE, 0) == b'{"id":1,"result":true}'


async def test_a_pause_between_frames() -> None:
    gap = 0.15
    with anyio.fail_after(SECONDS):
        async with TuyaLink(f"uart+pty://?frame_gap={gap}") as link:
            with raw_end(link.address) as slow:
                start = anyio.current_time()
                for number in range(3):
                    await link.send(0x60, bytes([number]))
                for number in range(3):
                    await slow.expect(frame(bytes([number]), 0x60))
                assert anyio.current_time() - start >= 2 * gap
