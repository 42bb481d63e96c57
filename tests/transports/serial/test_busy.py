"""What has arrived while this program was busy counts, however late it is read."""

import math
import sys
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot import connect
from jsonrpc_iot.protocol.tuya import module as module_role
from jsonrpc_iot.transports.serial import line as tuya_line
from jsonrpc_iot.tuya import DataPoint, DataPointType, TuyaLink, TuyaMcu, TuyaModule
from tests.waiting import SECONDS, eventually

from .raw_line import Raw, frame, raw_end, unit

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]

ON = DataPoint(1, DataPointType.BOOL, True)


@pytest.fixture(autouse=True)
async def time_limit() -> AsyncIterator[None]:
    with anyio.fail_after(SECONDS):
        yield


async def test_half_a_frame() -> None:
    tell, told = anyio.create_memory_object_stream[bytes](4)
    link = TuyaLink("uart+pty://")
    link.on_command(0x60)(lambda frame: tell.send_nowait(frame.data))
    with tell, told:
        async with link:
            with raw_end(link.address) as raw:
                sent = frame(b"A" * 3000, 0x60)  # more than one read of a serial port
                raw.write(sent[:20])
                await eventually(lambda: link.decoder.next_due() < math.inf)
                raw.write(sent[20:])
                time.sleep(0.6)  # noqa: ASYNC251  # that is the point
                assert await told.receive() == b"A" * 3000
                assert (link.decoder.expired, link.decoder.noise_bytes) == (0, 0)


async def start_of(mcu: Raw) -> None:
    """The start of a module, seen from an MCU that holds one DataPoint."""
    await mcu.expect(frame(command=0))
    mcu.write(frame(b"\0", 0, 3))
    await mcu.expect(frame(command=1))
    mcu.write(frame(b'{"p":"x"}', 1, 3))
    await mcu.expect(frame(command=2))
    mcu.write(frame(b"", 2, 3))
    await mcu.expect(frame(b"\4", 3))
    mcu.write(frame(b"", 3, 3))
    await mcu.expect(frame(command=8))
    mcu.write(frame(unit(1, 1, b"\1"), 7, 3))


async def test_the_answer_to_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_role, "_HEARTBEAT_SECONDS", 0.3)  # instead of 15
    monkeypatch.setattr(module_role, "_OFFLINE_SECONDS", 0.2)  # instead of 3
    told: list[bool] = []
    module = TuyaModule("uart+pty://")
    module.on_online(told.append)
    async with module:
        with raw_end(module.address) as mcu:
            await start_of(mcu)
            await mcu.expect(frame(command=0))
            mcu.write(frame(bytes(2000), 0x60, 3) + frame(b"\1", 0, 3))
            time.sleep(0.5)  # noqa: ASYNC251
            await mcu.expect(frame(command=0))
            assert module.is_online
            assert told == [True]


async def test_whether_a_report_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuya_line, "_RESULT_SECONDS", 0.2)  # instead of 5.5
    async with TuyaMcu("uart+pty://", "pid") as mcu:
        with raw_end(mcu.address) as module:
            async with anyio.create_task_group() as tasks:

                async def confirm() -> None:
                    await module.expect(frame(unit(1, 1, b"\1"), 0x22, 3))
                    module.write(frame(b"\1", 0x23))
                    time.sleep(0.4)  # noqa: ASYNC251

                tasks.start_soon(confirm)
                await mcu.report(ON, confirm=True)


async def answer(device: Raw, *messages: bytes) -> None:
    """Answer a request with messages that hold its id in place of `%d`."""
    request = await device.data(0xFE, 0)
    id = request.partition(b'"id":')[2].partition(b",")[0].rstrip(b"}")
    for message in messages:
        device.write(frame(message.replace(b"%d", id)))


async def test_the_answer_to_a_call() -> None:
    async def device() -> None:
        await answer(raw, b'{"id":%d,"result":7}')
        time.sleep(0.5)  # noqa: ASYNC251

    async with TuyaLink("uart+pty://") as link, connect(link.rpc_channel()) as client:
        with raw_end(link.address) as raw:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(device)
                assert await client.call("read", timeout=0.3) == 7


async def test_an_item_of_a_stream() -> None:
    async def device() -> None:
        await answer(raw, b'{"id":%d,"result":true}')  # to rpc.ping
        item = b'{"method":"rpc.item","params":{"id":%d,"seq":0,"item":7}}'
        await answer(raw, item, b'{"id":%d,"result":{"count":1}}')
        time.sleep(0.5)  # noqa: ASYNC251

    async with TuyaLink("uart+pty://") as link, connect(link.rpc_channel()) as client:
        with raw_end(link.address) as raw:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(device)
                async with client.stream("read", timeout=0.3) as items:
                    assert [item async for item in items] == [7]
