"""`tuya-dp://`: RPC in a DataPoint, against a module and an MCU in bytes, and ourselves."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    Client,
    Context,
    Dispatcher,
    InvalidUrl,
    MessageTooLarge,
    Server,
    TooLarge,
    Unencodable,
    connect,
    serve,
)
from jsonrpc_iot.testing import check_channel_contract, virtual_serial_pair
from jsonrpc_iot.transports import open_channel, open_listener
from jsonrpc_iot.transports.serial import line as _tuya_line
from jsonrpc_iot.transports.serial import listener as _port_listener
from jsonrpc_iot.transports.serial.datapoint_channel import DataPointChannel
from tests.transports.links import accepting
from tests.waiting import SECONDS

from .raw_line import Raw, frame, raw_device, raw_end, text, unit

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]

MCU = "tuya-dp+pty://?role=mcu&gap=0"
ON = unit(1, 1, b"\1")


needs_asyncio = pytest.mark.only_on("asyncio")  # as serial ports do


class Home:
    """A dispatcher that keeps what it is told."""

    def __init__(self) -> None:
        self.news: list[object] = []
        self.dispatcher = Dispatcher()
        self.dispatcher.method("echo")(self.echo)
        self.dispatcher.method("big")(self.big)
        self.dispatcher.method("give")(self.give)
        self.dispatcher.notification("tuya.datapoint")(self.datapoint)

    def echo(self, value: object) -> object:
        return value

    def datapoint(self, id: int, type: str, value: object) -> None:
        self.news.append((id, type, value))

    def big(self, size: int) -> str:
        return "x" * size

    async def give(self, context: Context, points: list[object]) -> int | str:
        """Send DataPoints; says how many, or why one is none."""
        try:
            for point in points:
                await context.notify("tuya.datapoint", point)
        except Unencodable as error:
            return str(error)
        return len(points)


@asynccontextmanager
async def serving(url: str = MCU, home: Home | None = None) -> AsyncIterator[Server]:
    with anyio.fail_after(SECONDS):
        async with serve((home or Home()).dispatcher, url, grace=0.2) as server:
            yield server


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture
async def module(home: Home) -> AsyncIterator[Raw]:
    """A module in bytes, with an MCU of ours."""
    async with serving(home=home) as server:
        with raw_end(server.urls[0]) as raw:
            yield raw


def down(*units: bytes) -> bytes:
    """A frame from module to MCU."""
    return frame(b"".join(units), 6, 0)


def up(*units: bytes, command: int = 7) -> bytes:
    """A frame from MCU to module."""
    return frame(b"".join(units), command, 3)


def echo(id: object, value: object, **more: object) -> bytes:
    request = {**more, "method": "echo", "id": id, "params": [value]}
    return json.dumps(request, separators=(",", ":")).encode()


# The MCU's end, against a module in bytes


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


@needs_asyncio
async def test_datapoints_outlive_an_adapter_that_is_unplugged() -> None:
    point = {"id": 1, "type": "bool", "value": True}
    async with (
        virtual_serial_pair(paths=True) as line,
        serving(f"tuya-dp://{line.first}?role=mcu&gap=0"),
    ):
        url = f"tuya-dp://{line.second}?role=module&gap=0"
        async with connect(url) as module, module.notifications() as news:
            assert await module.call("give", [[point]]) == 1
            assert (await news.receive()).params == point
        await line.replug()
        async with connect(url) as module, module.notifications() as news:
            assert (await news.receive()).params == point


# The module's end, against an MCU in bytes


@asynccontextmanager
async def mcu_of(options: str = "", home: Home | None = None) -> AsyncIterator[tuple[Raw, Client]]:
    """An MCU in bytes that has gone through the start, and a module of ours."""
    with anyio.fail_after(SECONDS), raw_device() as (mcu, path):
        url = f"tuya-dp://{path}?role=module&gap=0{options}"
        dispatcher = (home or Home()).dispatcher
        async with connect(url, dispatcher=dispatcher, timeout=SECONDS) as client:
            await mcu.expect(frame(command=0))
            mcu.write(frame(b"\0", 0, 3))
            await mcu.expect(frame(command=1))
            mcu.write(frame(b'{"p":"x","v":"1","m":0}', 1, 3))
            await mcu.expect(frame(command=2))
            mcu.write(frame(b"", 2, 3))
            await mcu.expect(frame(b"\4", 3))
            mcu.write(frame(b"", 3, 3))
            await mcu.expect(frame(command=8))
            yield mcu, client


async def answer(mcu: Raw, result: object, *before: bytes, command: int = 7) -> dict[str, object]:
    """Answer one request, and return it."""
    data = await mcu.data(6, 0)
    assert data[:2] == b"\xe8\3"
    request: dict[str, object] = json.loads(data[4:])
    reply = json.dumps({"id": request["id"], "result": result}).encode()
    mcu.write(frame(b"".join(before) + text(reply), command, 3))
    return request


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


# Both ends


@needs_asyncio
async def test_both_ends_are_ours() -> None:
    async with serving(MCU + "&buffer=256") as server:
        url = server.urls[0]
        assert url.endswith("?role=module&buffer=256&gap=0")
        async with connect(url, timeout=SECONDS) as client:
            assert await client.call("echo", ["x" * 100]) == "x" * 100
        async with connect(url.replace("&buffer=256", ""), timeout=SECONDS) as client:
            with pytest.raises(TooLarge) as refused:
                await client.call("big", [245])
            assert refused.value.data["limit"] == 245


@needs_asyncio
async def test_both_ends_come_back_after_the_adapter_was_unplugged() -> None:
    async with virtual_serial_pair(paths=True) as line:
        with anyio.fail_after(SECONDS):
            async with (
                serve(Home().dispatcher, f"tuya-dp://{line.first}?gap=0", grace=0.2) as server,
                connect(f"tuya-dp://{line.second}?gap=0", reconnect=True, timeout=1) as client,
            ):
                assert server.urls == [f"tuya-dp://{line.first}?role=module&gap=0"]
                assert await client.call("echo", [1]) == 1
                await line.unplug()
                with pytest.raises((ChannelClosed, CallTimeout)):
                    await client.call("echo", [2])
                await line.replug()
                while True:
                    try:
                        assert await client.call("echo", [3], idempotent=True) == 3
                        break
                    except CallTimeout:
                        continue


@needs_asyncio
@pytest.mark.parametrize(("scheme", "options"), [("uart", ""), ("tuya-dp", "?gap=0")])
async def test_the_channels_keep_their_contract(scheme: str, options: str) -> None:
    with anyio.fail_after(SECONDS):
        async with accepting(f"{scheme}+pty://{options}") as (listener, accept):
            client = await open_channel(listener.addresses[0])
            async with client, await accept() as server:
                assert server.info.local.startswith(f"{scheme}:///dev/")
                await check_channel_contract(client, server)


@pytest.mark.parametrize("scheme", ["uart", "tuya-dp"])
async def test_a_stranger_at_a_pty_does_not_end_the_server(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_port_listener, "_FIRST_PAUSE_SECONDS", 0.01)
    refused = anyio.Event()

    def refuse(channel: object) -> None:
        refused.set()
        raise PermissionError("who are you?")

    with anyio.fail_after(SECONDS):
        async with serve(
            Dispatcher(), f"{scheme}+pty://", "memory://beside", authenticate=refuse, grace=0.1
        ):
            await refused.wait()
            await anyio.sleep(0.1)  # longer than the pause after which a port is opened again


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tuya-dp://", "a port looks like"),
        ("tuya-dp:///dev/x?role=lamp", "valid are mcu, module"),
        ("tuya-dp:///dev/x?dpid=0", "dpid"),
        ("tuya-dp:///dev/x?dpid=256", "dpid"),
        ("tuya-dp:///dev/x?buffer=11", "buffer"),
        ("tuya-dp:///dev/x?gap=-1", "gap"),
        ("tuya-dp:///dev/x?gap=nan", "gap"),
        ("tuya-dp:///dev/x?gap=inf", "gap"),
        ("tuya-dp:///dev/x?max=0", "max"),
        ("tuya-dp:///dev/x?codec=msgpack", "msgpack"),
        ("tuya-dp:///dev/x?sync_report=1", "role=mcu"),
        ("tuya-dp:///dev/x?in_flight=2", "unknown option"),
        ("tuya-dp+pty://", "for serving"),
    ],
)
@needs_asyncio
async def test_urls_that_make_no_sense(url: str, why: str) -> None:
    with pytest.raises(InvalidUrl, match=why):
        async with connect(url):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "tuya-dp+pty:///dev/x",
        "tuya-dp+pty://?role=module&sync_report=1",
        "tuya-dp+pty://?segment=1&max=9",
    ],
)
async def test_urls_to_serve_that_make_no_sense(url: str) -> None:
    with pytest.raises(InvalidUrl):
        await open_listener(url)


async def test_printed_addresses_name_the_other_role() -> None:
    for role, other in (("mcu", "module"), ("module", "mcu")):
        async with await open_listener(f"tuya-dp+pty://?role={role}") as listener:
            (address,) = listener.addresses
            assert address.startswith("tuya-dp:///dev/")
            assert address.endswith(f"?role={other}")
