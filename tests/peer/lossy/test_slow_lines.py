"""Lines on which a response waits for its turn: repeats that come meanwhile are doubled packets."""

import json
import sys
from typing import Any

import anyio
import pytest

from jsonrpc_iot import serve
from jsonrpc_iot.testing import virtual_serial_pair
from jsonrpc_iot.transports.serial.line import TuyaLine
from jsonrpc_iot.transports.serial.uart import UartOptions, open_channel

from ...transports.serial.raw_line import Raw, frame, raw_end, text
from .rig import SECONDS, Relay, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]

GAP_SECONDS = 0.8


REQUEST = b'{"method":"toggle","id":1}'


async def next_message(line: Raw) -> dict[str, object]:
    """The next message of an MCU."""
    data = await line.data(7, 3)
    message: dict[str, object] = json.loads(data[4:])
    return message


async def test_a_module_that_repeats_while_the_response_waits_for_its_gap() -> None:
    """It sends 0x06 again and again, byte for byte, until it sees a report."""
    relay = Relay()
    async with serving(relay, f"tuya-dp+pty://?role=mcu&gap={GAP_SECONDS}") as server:
        with raw_end(server.urls[0]) as line:
            line.write(frame(text(b'{"method":"rpc.ping","id":9}'), 6))
            assert await next_message(line) == {"id": 9, "result": True}
            for number in range(2):
                relay.dispatcher.emit("changed", [number])
            for _ in range(2):
                line.write(frame(text(REQUEST), 6))
                assert (await next_message(line))["method"] == "changed"
            line.write(frame(text(REQUEST), 6))
            assert await next_message(line) == {"id": 1, "result": 1}
            line.write(frame(text(REQUEST), 6))
            assert await next_message(line) == {"id": 1, "result": 1}
    assert len(relay.ran) == 1


@pytest.mark.only_on("asyncio")
async def test_what_ran_before_the_adapter_was_unplugged_is_not_run_again() -> None:
    """The other end need not notice that, and repeats what was not answered."""
    relay = Relay()
    async with virtual_serial_pair(paths=True) as pair, serving(relay, f"uart://{pair.first}"):
        first = b'{"method":"toggle","id":1,"timeout":9}'
        with raw_end(f"uart://{pair.second}") as line:
            line.write(frame(first))
            assert json.loads(await line.data(0xFE, 0)) == {"id": 1, "result": 1}
        await pair.replug()
        with raw_end(f"uart://{pair.second}") as line:
            while not await line.has_data(0.1):
                line.write(frame(b'{"method":"rpc.ping","id":2}'))  # lost until the port is open
            line.write(frame(first[:-1] + b',"retry":true}'))
            answer: dict[str, Any] = {"id": 2}
            while answer["id"] == 2:
                answer = json.loads(await line.data(0xFE, 0))
    assert answer.get("error", {}).get("code") == -32011
    assert len(relay.ran) == 1


async def test_a_slow_line_on_which_the_response_waits_behind_another() -> None:
    relay = Relay()
    relay.dispatcher.method("big")(lambda: "x" * 900)
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(baudrate=9600) as pair:
            options = UartOptions()
            channel = open_channel(TuyaLine(pair.first), "uart://slow", options)
            other = open_channel(TuyaLine(pair.second), "uart://other", options)
            async with (
                serve(relay.dispatcher, channel, grace=0),
                other,
                anyio.create_task_group() as tasks,
            ):
                other.start(tasks)
                await other.send(b'{"method":"big","id":8}')
                await other.send(REQUEST)
                await anyio.sleep(0.7)  # in the midst of the second's worth of bytes
                await other.send(REQUEST)
                answers = [json.loads(await other.receive()) for _ in range(2)]
                await other.send(REQUEST)
                again = json.loads(await other.receive())
                tasks.cancel_scope.cancel()
    assert [answer["id"] for answer in answers] == [8, 1]
    assert answers[1] == again == {"id": 1, "result": 1}
    assert len(relay.ran) == 1
