"""`tuya-dp://` at the MCU's end, against a module in bytes."""

import json
import sys
from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot import (
    connect,
)
from jsonrpc_iot.transports.serial import line as _tuya_line
from jsonrpc_iot.transports.serial.datapoint_channel import DataPointChannel
from tests.transports.links import accepting
from tests.waiting import SECONDS

from .dp_line import MCU, ON, Home, down, echo, needs_asyncio, serving, up
from .raw_line import Raw, frame, raw_end, text, unit

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]


@pytest.fixture
async def module(home: Home) -> AsyncIterator[Raw]:
    """A module in bytes, with an MCU of ours."""
    async with serving(home=home) as server:
        with raw_end(server.urls[0]) as raw:
            yield raw


async def test_a_real_module_goes_through_its_start(module: Raw, home: Home) -> None:
    module.write(b"\xff\x00\x55" + frame(command=0))  # it tried another baud rate before
    await module.expect(frame(b"\0", 0, 3))
    module.write(frame(command=0))
    await module.expect(frame(b"\1", 0, 3))
    module.write(frame(command=1))
    assert json.loads(await module.data(1, 3)) == {"p": "jsonrpc-iot", "v": "1.0.0", "m": 0}
    module.write(frame(command=2) + frame(b"\4", 3) + frame(command=8))
    await module.expect(frame(b"", 2, 3), frame(b"", 3, 3))  # and no DataPoints are known yet
    module.write(down(ON, text(echo(1, "on"))))
    await module.expect(up(text(b'{"id":1,"result":"on"}')))
    assert home.news == [(1, "bool", True)]


async def test_datapoints_of_all_types_reach_the_application(module: Raw, home: Home) -> None:
    module.write(
        down(
            unit(1, 0, b"\0\xff"),
            unit(2, 1, b"\0"),
            unit(3, 2, b"\xff\xff\xff\xfe"),
            text(echo(1, 1)),
            unit(4, 3, "ü\0".encode()),
            unit(5, 4, b"\2"),
            unit(6, 5, b"\1\0"),
        )
    )
    module.write(down(text(echo(2, 2))))
    await module.expect(up(text(b'{"id":1,"result":1}')), up(text(b'{"id":2,"result":2}')))
    assert home.news == [
        (1, "raw", "AP8="),
        (2, "bool", False),
        (3, "value", -2),
        (4, "string", "ü\0"),
        (5, "enum", 2),
        (6, "bitmap", 256),
    ]


async def test_notifications_leave_as_datapoints_and_are_kept_for_the_query(module: Raw) -> None:
    points = [
        {"id": 1, "type": "raw", "value": "AP8="},
        {"id": 2, "type": "bool", "value": True},
        {"id": 3, "type": "value", "value": -2},
        {"id": 4, "type": "string", "value": "ü"},
        {"id": 5, "type": "enum", "value": 7},
        {"id": 6, "type": "bitmap", "value": 256},
    ]
    units = [
        unit(1, 0, b"\0\xff"),
        unit(2, 1, b"\1"),
        unit(3, 2, b"\xff\xff\xff\xfe"),
        unit(4, 3, "ü".encode()),
        unit(5, 4, b"\7"),
        unit(6, 5, b"\1\0"),
    ]
    for number, (point, expected) in enumerate(zip(points, units, strict=True)):
        request = {"method": "give", "id": number, "params": [[point]]}
        module.write(down(text(json.dumps(request, ensure_ascii=False).encode())))
        await module.expect(up(expected), up(text(b'{"id":%d,"result":1}' % number)))
    module.write(frame(command=8))
    await module.expect(up(*units))


@pytest.mark.parametrize(
    "point",
    [
        {"id": 1, "type": "bool", "value": 2},
        {"id": 1, "type": "bool"},
        {"id": 300, "type": "bool", "value": True},
        {"id": 1, "type": "raw", "value": "?"},
        {"id": 1, "type": "enum", "value": 256},
        {"id": 1, "type": "lamp", "value": 1},
        {"id": 232, "type": "string", "value": "{}"},
    ],
)
async def test_notifications_that_are_no_datapoints_are_refused(
    point: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    home = Home()
    async with serving(home=home) as server:
        with raw_end(server.urls[0]) as module:
            request = {"method": "give", "id": 1, "params": [[point]]}
            module.write(down(text(json.dumps(request).encode())))
            reply = await module.data(7, 3)
            assert b'"result":"tuya.datapoint: ' in reply
            home.dispatcher.emit("tuya.datapoint", point)
            module.write(down(text(echo(2, 2))))
            await module.expect(up(text(b'{"id":2,"result":2}')))
            assert "a tuya.datapoint that is none" in caplog.text


async def test_messages_that_only_name_a_datapoint_arrive(module: Raw) -> None:
    name = "tuya.datapoint"
    module.write(down(text(echo(1, name))))
    await module.expect(up(text(b'{"id":1,"result":"tuya.datapoint"}')))
    module.write(down(text(echo(2, {"method": name}))))
    await module.expect(up(text(b'{"id":2,"result":{"method":"tuya.datapoint"}}')))
    module.write(down(text(b"[%s]" % echo(3, name))))
    await module.expect(up(text(b'[{"id":3,"result":"tuya.datapoint"}]')))


@pytest.mark.parametrize(
    "junk",
    [
        unit(232, 0, echo(1, 1)),  # a message is a string
        unit(9, 1, b"\2"),
        unit(9, 2, b"\1"),
        unit(9, 9, b"\1"),
        unit(9, 3, b"\xff"),
        unit(9, 5, b"\0\0\0"),
    ],
)
async def test_units_that_make_no_sense_do_not_hurt_their_neighbours(
    module: Raw, home: Home, junk: bytes
) -> None:
    module.write(down(junk, ON, text(echo(2, "after"))))
    await module.expect(up(text(b'{"id":2,"result":"after"}')))
    assert home.news == [(1, "bool", True)]


@pytest.mark.parametrize("rest", [1, 3, 4, 10])
async def test_what_comes_before_a_unit_that_is_cut_off_counts(module: Raw, rest: int) -> None:
    module.write(down(ON, text(echo(1, 1)), text(echo(2, 2))[:rest]))
    module.write(down(text(echo(3, 3))))
    await module.expect(up(text(b'{"id":1,"result":1}')), up(text(b'{"id":3,"result":3}')))


@pytest.mark.parametrize("junk", [b"\xff\xfe", b'{"id":1,"method":"echo","params":["\xff"]}', b"{"])
async def test_messages_that_are_no_json_are_answered(module: Raw, junk: bytes) -> None:
    module.write(down(text(junk)))
    answer = json.loads((await module.data(7, 3))[4:])
    assert answer["error"]["code"] == -32700
    assert answer["id"] is None
    module.write(down(text(echo(2, "UU"))))
    assert b'"result":"UU"' in await module.data(7, 3)


async def test_a_nul_is_escaped(module: Raw) -> None:
    module.write(down(text(echo(1, "\0"))))
    await module.expect(up(text(b'{"id":1,"result":"\\u0000"}')))


async def test_the_dialect_is_kept_and_so_it_is_for_datapoints(module: Raw) -> None:
    module.write(down(text(echo(1, 1, jsonrpc="2.0")), ON))
    answer = json.loads((await module.data(7, 3))[4:])
    assert answer == {"jsonrpc": "2.0", "id": 1, "result": 1}
    module.write(down(text(b"{")))
    assert json.loads((await module.data(7, 3))[4:])["jsonrpc"] == "2.0"


async def test_noise_and_foreign_frames(module: Raw) -> None:
    broken = bytearray(down(text(echo(1, 1))))
    broken[-1] ^= 1
    foreign = [frame(b"\1\2", command) for command in (0x04, 0x24, 0x37, 0x60, 0xFE, 0xFF)]
    wrong_way = frame(text(echo(2, 2)), 7, 3)
    for byte in b"\x55\xaa\x55" + bytes(broken) + b"".join(foreign) + wrong_way + b"\x55":
        module.write(bytes([byte]))
    module.write(down(text(echo(3, 3))))
    await module.expect(up(text(b'{"id":3,"result":3}')))


async def test_equal_answers_get_a_space_in_turns(module: Raw) -> None:
    answer = b'{"id":1,"result":1}'
    for number, behind in enumerate((b"", b" ", b"", b" ")):
        request = b'{"method":"echo","id":1,"params":[1],"n":%d}' % number
        module.write(down(text(request)))
        await module.expect(up(text(answer + behind)))


@pytest.mark.parametrize(
    ("options", "limit"),
    [("", 255), ("&buffer=256", 245), ("&buffer=1024", 255), ("&max=100", 100)],
)
async def test_sizes_are_exact(options: str, limit: int) -> None:
    async with serving(MCU + options) as server:
        with raw_end(server.urls[0]) as module:
            size = limit - len(b'{"id":1,"result":""}')
            module.write(down(text(echo(1, "x" * size))))
            await module.expect(up(text(b'{"id":1,"result":"%s"}' % (b"x" * size))))
            module.write(down(text(echo(2, "x" * (size + 1)))))
            error = json.loads((await module.data(7, 3))[4:])["error"]
            assert error["code"] == -32001
            assert error["data"] == {"size": limit + 1, "limit": limit}


async def test_an_equal_answer_of_the_largest_size_has_no_room_for_a_space() -> None:
    async with serving(MCU + "&max=40") as server:
        with raw_end(server.urls[0]) as module:
            for number in range(2):
                request = b'{"method":"echo","id":1,"params":["%s"],"n":%d}' % (b"x" * 20, number)
                module.write(down(text(request)))
                await module.expect(up(text(b'{"id":1,"result":"%s"}' % (b"x" * 20))))


async def test_another_datapoint_for_the_messages(home: Home) -> None:
    async with serving(MCU + "&dpid=101", home) as server:
        assert server.urls[0].endswith("?role=module&dpid=101&gap=0")
        with raw_end(server.urls[0]) as module:
            module.write(down(text(b"x"), text(echo(1, 1), 101)))
            await module.expect(up(text(b'{"id":1,"result":1}', 101)))
    assert home.news == [(232, "string", "x")]


async def test_a_second_lies_between_two_answers_by_default() -> None:
    async with serving("tuya-dp+pty://") as server:
        assert server.urls[0].endswith("?role=module")
        with raw_end(server.urls[0]) as module:
            module.write(down(text(echo(1, 1)), text(echo(2, 2))))
            await module.expect(up(text(b'{"id":1,"result":1}')))
            start = anyio.current_time()
            await module.expect(up(text(b'{"id":2,"result":2}')))
            assert 0.8 < anyio.current_time() - start < 3


async def test_heartbeats_are_answered_within_the_gap() -> None:
    async with serving("tuya-dp+pty://?gap=5") as server:
        with raw_end(server.urls[0]) as module:
            module.write(down(text(echo(1, 1)), text(echo(2, 2))))
            await module.expect(up(text(b'{"id":1,"result":1}')))
            module.write(frame(command=0))
            await module.expect(frame(b"\0", 0, 3))


@pytest.mark.parametrize("result", [b"\1", b"\0"])
async def test_reports_that_the_module_confirms_or_refuses(result: bytes) -> None:
    """One at a time; one that is refused is not sent again."""
    async with serving(MCU + "&sync_report=1") as server:
        with raw_end(server.urls[0]) as module:
            module.write(down(text(echo(1, 1)), text(echo(2, 2))))
            await module.expect(up(text(b'{"id":1,"result":1}'), command=0x22))
            module.write(frame(command=0))
            await module.expect(frame(b"\0", 0, 3))  # and not the second report
            module.write(frame(result, 0x23))
            await module.expect(up(text(b'{"id":2,"result":2}'), command=0x22))


async def test_reports_to_a_module_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tuya_line, "_RESULT_SECONDS", 0.3)  # instead of 5.5
    url = MCU + "&sync_report=1"
    with anyio.fail_after(SECONDS):
        async with accepting(url) as (listener, accept), anyio.create_task_group() as tasks:
            channel = await accept()
            assert isinstance(channel, DataPointChannel)
            with raw_end(listener.addresses[0]) as module:
                start = anyio.current_time()
                tasks.start_soon(channel.send_batch, [b"[1]", b"[2]"])
                await module.expect(up(text(b"[1]"), command=0x22))
                await module.expect(up(text(b"[2]"), command=0x22))
                assert 0.25 < anyio.current_time() - start < 3
                assert channel.unconfirmed == 1
                tasks.cancel_scope.cancel()
            await channel.aclose()


@needs_asyncio
async def test_segments() -> None:
    async with serving(MCU + "&segment=1") as server:
        assert server.urls[0].endswith("?role=module&gap=0&segment=1")
        async with connect(server.urls[0], timeout=SECONDS) as client:
            assert await client.call("echo", ["x" * 5_000]) == "x" * 5_000
