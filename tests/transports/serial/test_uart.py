"""`uart://`: RPC frames on a pseudo terminal, against raw frames and against ourselves."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest
from anyio import TypedAttributeLookupError

from jsonrpc_iot import (
    BindFailed,
    CallTimeout,
    ChannelAttribute,
    ChannelClosed,
    Client,
    ConnectFailed,
    Dispatcher,
    InvalidUrl,
    MessageTooLarge,
    Server,
    TooLarge,
    connect,
    serve,
)
from jsonrpc_iot.channel.wrappers import TracedChannel
from jsonrpc_iot.services.wifi import SimulatedWifi
from jsonrpc_iot.testing import LineFaults, virtual_serial_pair
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.tuya import TuyaLink
from tests.waiting import SECONDS

from .raw_line import Raw, frame, raw_device, raw_end

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]


def connect_to(server: Server) -> AbstractAsyncContextManager[Client]:
    return connect(server.urls[0], timeout=SECONDS)


def device() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    def echo(value: object) -> object:
        return value

    dispatcher.include(SimulatedWifi(scan_time=0.0))
    return dispatcher


@asynccontextmanager
async def serving(url: str = "uart+pty://") -> AsyncIterator[Server]:
    with anyio.fail_after(SECONDS):
        async with serve(device(), url, grace=0.5) as server:
            yield server


needs_asyncio = pytest.mark.only_on("asyncio")  # as serial ports do


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    async with serving() as server:
        with raw_end(server.urls[0]) as end:
            yield end


async def test_a_request_in_a_frame_gets_its_reply_in_one(raw: Raw) -> None:
    reply = frame(b'{"id":1,"result":"U\xc2\xaa"}')
    raw.write(frame(b'{"method":"echo","id":1,"params":["U\xc2\xaa"]}'))
    assert await raw.read(len(reply)) == reply


async def test_noise_other_commands_and_broken_frames_are_passed_over(raw: Raw) -> None:
    good = frame(b'{"method":"echo","id":2,"params":[2]}', version=3)
    broken = bytearray(good)
    broken[-1] ^= 1
    noise = b"\x00\x55\x55\xaa\xff" + bytes(broken) + frame(b"", command=0) + b"\x55"
    reply = frame(b'{"id":2,"result":2}')
    for byte in noise + good:
        raw.write(bytes([byte]))
    assert await raw.read(len(reply)) == reply


async def test_a_trace_shows_all_frames_and_the_noise() -> None:
    shown: list[tuple[str, bytes]] = []
    request, reply = b'{"method":"echo","id":2,"params":[2]}', b'{"id":2,"result":2}'
    heartbeat = frame(b"\x01", command=0, version=3)

    def trace(mark: str, data: bytes) -> None:
        shown.append((mark, data))

    with anyio.fail_after(SECONDS):
        async with serve(device(), "uart+pty://", trace=trace, grace=0.5) as server:
            with raw_end(server.urls[0]) as raw:
                raw.write(b"boot\n" + heartbeat + b"\x00" + frame(request, version=3) + b"end")
                assert await raw.read(len(frame(reply))) == frame(reply)
    noise = b"".join(data for mark, data in shown if mark == "<?")
    assert noise == b"boot\n\x00end"
    assert [each for each in shown if each[0] != "<?"] == [
        ("<=", heartbeat),
        ("<=", frame(request, version=3)),
        ("<-", request),
        ("->", reply),
        ("=>", frame(reply)),
    ]


async def test_what_is_no_json_is_answered(raw: Raw) -> None:
    raw.write(frame(b"{"))
    head = await raw.read(6)
    assert head[:4] == b"\x55\xaa\x00\xfe"
    assert b"-32700" in await raw.read(int.from_bytes(head[4:], "big") + 1)


async def test_an_error_about_the_message_of_another_client_fails_no_call() -> None:
    with anyio.fail_after(SECONDS):
        async with TuyaLink("uart+pty://") as link, connect(link.rpc_channel()) as client:
            with raw_end(link.address) as device:

                async def answer() -> None:
                    request = json.loads(await device.data(0xFE, 0))
                    device.write(frame(b'{"id":null,"error":{"code":-32700,"message":"?"}}'))
                    device.write(frame(b'{"id":%d,"result":7}' % request["id"]))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(answer)
                    assert await client.call("read") == 7


async def test_a_good_frame_behind_a_length_that_lies_comes_out_after_a_silence(raw: Raw) -> None:
    reply = frame(b'{"id":3,"result":3}')
    raw.write(b"\x55\xaa\x00\xfe\x03\x00" + frame(b'{"method":"echo","id":3,"params":[3]}'))
    assert await raw.read(len(reply)) == reply


@needs_asyncio
async def test_sizes_are_exact() -> None:
    async with serving("uart+pty://?buffer=256") as server:
        url = server.urls[0]
        assert url.endswith("?buffer=256")
        async with connect(url) as client:
            assert client.info.max_message == 249
            assert await client.call("echo", ["x" * 200]) == "x" * 200
            with pytest.raises(MessageTooLarge, match="249"):
                await client.call("echo", ["x" * 249])
        async with connect(url.removesuffix("?buffer=256")) as client:
            assert client.info.max_message == 1024
            with pytest.raises(TooLarge) as refused:
                await client.call("echo", ["x" * 249])
            assert refused.value.data["limit"] == 249
            with pytest.raises(MessageTooLarge, match="1024"):
                await client.call("echo", ["x" * 1024])


@needs_asyncio
async def test_one_request_at_a_time() -> None:
    async with serving() as server, connect(f"{server.urls[0]}?in_flight=1") as client:
        assert client.info.in_flight == 1
        async for each in client.stream("wifi.scan"):
            assert await client.call("echo", [each]) == each
    async with serving() as server, connect_to(server) as client:
        assert client.info.in_flight is None


@needs_asyncio
@pytest.mark.parametrize("segment", [0, 1])
async def test_a_channel_knows_its_baudrate(segment: int) -> None:
    async with virtual_serial_pair(paths=True) as line:
        options = f"baudrate=57600&segment={segment}"
        channel = await open_channel(f"uart://{line.first}?{options}")
        async with TracedChannel(channel, lambda *_: None) as traced:
            assert channel.extra(ChannelAttribute.baudrate) == 57_600
            assert traced.extra(ChannelAttribute.baudrate) == 57_600
            with pytest.raises(TypedAttributeLookupError):
                traced.extra(ChannelAttribute.credentials)


@needs_asyncio
async def test_a_scan_streams() -> None:
    async with serving("uart+pty://?buffer=256") as server, connect_to(server) as client:
        found = [each async for each in client.stream("wifi.scan")]
        assert len(found) > 5


@needs_asyncio
async def test_the_server_notifies() -> None:
    async with (
        serving() as server,
        connect_to(server) as client,
        client.notifications() as news,
    ):
        assert server.broadcast("changed", {"on": True}) == 1
        assert (await news.receive()).method == "changed"


@needs_asyncio
async def test_segments_and_msgpack() -> None:
    async with serving("uart+pty://?segment=1&codec=msgpack") as server:
        assert server.urls[0].endswith("?codec=msgpack&segment=1")
        async with connect_to(server) as client:
            assert await client.call("echo", ["x" * 20_000]) == "x" * 20_000


@needs_asyncio
async def test_no_such_port() -> None:
    with pytest.raises(ConnectFailed, match="/dev/nowhere"):
        async with connect("uart:///dev/nowhere"):
            pass
    with pytest.raises(BindFailed, match="/dev/nowhere"):
        async with serve(Dispatcher(), "uart:///dev/nowhere"):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "uart://",
        "uart:///dev/x?baudrate=0",
        "uart:///dev/x?buffer=7",
        "uart:///dev/x?in_flight=0",
        "uart:///dev/x?role=mcu",
    ],
)
async def test_urls_that_make_no_sense(url: str) -> None:
    with pytest.raises(InvalidUrl):
        async with connect(url):
            pass


@needs_asyncio
async def test_both_ends_come_back_after_the_adapter_was_unplugged() -> None:
    async with virtual_serial_pair(paths=True) as line:
        urls = [f"uart://{line.first}", f"uart://{line.second}"]
        with anyio.fail_after(SECONDS):
            async with (
                serve(device(), urls[0], grace=0.5),
                connect(urls[1], reconnect=True, timeout=1) as client,
            ):
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
async def test_a_noisy_line_answers_each_call_once() -> None:
    calls: list[int] = []
    dispatcher = Dispatcher()
    dispatcher.method("note")(calls.append)
    faults = LineFaults(drop=0.0005, flip=0.0005, insert=0.0005)
    async with virtual_serial_pair(faults, seed=3, paths=True) as line:
        with anyio.fail_after(30):
            async with (
                serve(dispatcher, f"uart://{line.first}", grace=0.5),
                connect(f"uart://{line.second}", timeout=SECONDS) as client,
            ):
                for number in range(30):
                    await client.call("note", [number])
    assert calls == list(range(30))


@needs_asyncio
@pytest.mark.parametrize("url", ["uart://{}", "uart://{}?segment=1", "tuya-dp://{}?role=module"])
async def test_who_waits_on_a_line_of_noise_alone_hears_so(url: str) -> None:
    with raw_device() as (end, path), anyio.fail_after(SECONDS):
        async with connect(url.format(path), trace=lambda *_: None) as client:
            end.write(b"\x00\xf8\x80" * 100)
            with pytest.raises(CallTimeout, match=r"300 bytes came .* or the wrong rate"):
                await client.call("hello", timeout=0.5)
            with pytest.raises(CallTimeout, match=r"within 0\.2 s$"):
                await client.call("hello", timeout=0.2)
