"""`tuya-dp://` at the module's end, against an MCU in bytes."""

import sys

import anyio
import pytest

from jsonrpc_iot import (
    MessageTooLarge,
)

from .dp_line import ON, Home, answer, down, mcu_of, needs_asyncio, up
from .raw_line import frame, text

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]


@needs_asyncio
@pytest.mark.parametrize("command", [0x07, 0x22])
async def test_a_call_to_a_real_mcu(home: Home, command: int) -> None:
    async with mcu_of(home=home) as (mcu, client), anyio.create_task_group() as tasks:
        tasks.start_soon(
            answer,
            mcu,
            "on",
            ON,
        )
        assert await client.call("echo", ["on"]) == "on"
        if command == 0x22:
            mcu.write(frame(ON, 0x22, 3))
            await mcu.expect(frame(b"\1", 0x23))
            mcu.write(frame(ON[:-1], 0x22, 3))
            await mcu.expect(frame(b"\0", 0x23))
    assert home.news[0] == (1, "bool", True)


@needs_asyncio
async def test_the_mcu_is_told_the_time_and_the_signal_strength() -> None:
    async with mcu_of() as (mcu, _):
        mcu.write(frame(b"", 0x1C, 3))
        time = await mcu.data(0x1C, 0)
        assert (len(time), time[0], time[7] in range(1, 8)) == (8, 1, True)
        mcu.write(frame(b"", 0x0C, 3) + frame(b"", 0x24, 3))
        assert len(await mcu.data(0x0C, 0)) == 7
        await mcu.expect(frame(b"\0", 0x24))


@needs_asyncio
async def test_pushes_and_datapoints_of_the_mcu_come_as_notifications() -> None:
    async with mcu_of() as (mcu, client), client.notifications() as news:
        mcu.write(up(ON, text(b'{"method":"changed","params":{"on":true}}')))
        first, second = await news.receive(), await news.receive()
        assert (first.method, first.params) == (
            "tuya.datapoint",
            {"id": 1, "type": "bool", "value": True},
        )
        assert (second.method, second.params) == ("changed", {"on": True})


@needs_asyncio
async def test_a_notification_sets_a_datapoint_of_the_mcu() -> None:
    async with mcu_of() as (mcu, client):
        await client.notify("tuya.datapoint", {"id": 1, "type": "bool", "value": True})
        await mcu.expect(down(ON))


@needs_asyncio
async def test_stale_answers_are_passed_over_only_after_a_query() -> None:
    push = text(b'{"method":"changed"}')
    async with mcu_of() as (mcu, client), client.notifications() as news:
        mcu.write(up(push) + up(push) + up(push, text(b'{"method":"last"}')))
        assert [(await news.receive()).method for _ in range(2)] == ["changed", "last"]


@needs_asyncio
async def test_sizes_of_requests_are_exact() -> None:
    async with mcu_of("&buffer=256") as (mcu, client):
        assert client.info.max_message == 245
        with pytest.raises(MessageTooLarge, match="245"):
            await client.call("echo", ["x" * 245])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "echo", ["x"])
            await answer(mcu, "x")
