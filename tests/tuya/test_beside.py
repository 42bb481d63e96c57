"""RPC beside the DataPoints and commands of a Tuya line."""

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import UsageError
from jsonrpc_iot.testing import (
    VirtualSerial,
    check_channel_contract,
    served,
)
from jsonrpc_iot.tuya import (
    TuyaModule,
)

from .ends import ON, Both, echoing, opened

pytestmark = pytest.mark.anyio


async def test_both_channels_in_both_directions_at_once(both: Both) -> None:
    both.mcu.on_datapoint(1)(both.tell)
    pairs = [
        (both.module.rpc_channel(), both.mcu.rpc_channel()),
        (both.module.datapoint_channel(gap=0), both.mcu.datapoint_channel(gap=0)),
        (both.module.datapoint_channel(101, gap=0), both.mcu.datapoint_channel(101, gap=0)),
    ]
    async with anyio.create_task_group() as tasks:

        async def talk(number: int) -> None:
            client, server = pairs[number]
            async with served(echoing(), client, server, client_dispatcher=echoing()) as ends:
                for turn in range(20):
                    value = f"{number} {turn}"
                    assert await ends.client.call("echo", [value]) == value
                    assert await ends.server.call("echo", [value]) == value

        for number in range(len(pairs)):
            tasks.start_soon(talk, number)
        for _ in range(20):
            await both.module.set(ON)
    assert await both.until(20) == [ON] * 20


async def test_one_channel_closes_while_others_go_on(both: Both) -> None:
    async with served(echoing(), both.module.rpc_channel(), both.mcu.rpc_channel()) as ends:
        for _ in range(5):
            short = both.module.datapoint_channel(gap=0), both.mcu.datapoint_channel(gap=0)
            async with served(echoing(), *short) as other:
                assert await other.client.call("echo", [1]) == 1
            assert await ends.client.call("echo", [2]) == 2


async def test_closing_a_channel_wakes_who_receives_and_who_sends(both: Both) -> None:
    channel = both.mcu.datapoint_channel(gap=60)
    await channel.send(b"[1]")
    ended = 0

    async with anyio.create_task_group() as tasks:

        async def expect_end(use: object) -> None:
            nonlocal ended
            with pytest.raises(anyio.ClosedResourceError):
                await use()  # type: ignore[operator]
            ended += 1

        tasks.start_soon(expect_end, channel.receive)
        tasks.start_soon(expect_end, lambda: channel.send(b"[2]"))
        await anyio.wait_all_tasks_blocked()
        await channel.aclose()
    assert ended == 2
    other = both.mcu.rpc_channel()
    await other.send(b"[3]")


@pytest.mark.parametrize("kind", ["rpc", "dp"])
async def test_the_channels_keep_their_contract(line: VirtualSerial[ByteStream], kind: str) -> None:
    """What comes is handled whether or not somebody waits in `receive`."""
    async with opened(line) as both:
        for end in (both.mcu, both.module):
            end._name = "uart://memory" if kind == "rpc" else "tuya-dp://memory"
        if kind == "rpc":
            ends = both.mcu.rpc_channel(), both.module.rpc_channel()
        else:
            ends = both.mcu.datapoint_channel(gap=0), both.module.datapoint_channel(gap=0)
        await check_channel_contract(*ends)


@pytest.mark.parametrize(
    "options",
    [{"segment": True}, {"max": 0}, {"codec": "xml"}, {"in_flight": 0}, {"colour": "red"}],
)
async def test_options_that_make_no_sense_for_a_channel(
    both: Both, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError):
        both.mcu.rpc_channel(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"dpid": 0},
        {"gap": -1},
        {"max": 0},
        {"segment": True},
        {"codec": "msgpack"},
        {"sync_report": True},
        {"colour": "red"},
    ],
)
async def test_options_that_make_no_sense_for_a_datapoint_channel(
    both: Both, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError):
        both.module.datapoint_channel(**options)  # type: ignore[arg-type]


async def test_the_range_of_the_signal_strength(line: VirtualSerial[ByteStream]) -> None:
    for rssi in (-129, 128):
        with pytest.raises(ValueError, match="-128 to 127"):
            TuyaModule(line.first, rssi=rssi)
