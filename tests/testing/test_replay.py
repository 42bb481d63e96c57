"""Recordings, and devices made of them."""

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot import (
    Client,
    Dispatcher,
    InvalidParams,
    MethodNotFound,
    RpcError,
    UsageError,
    connect,
    connect_sync,
    serve,
)
from jsonrpc_iot.channel.masking import message_without_secrets
from jsonrpc_iot.channel.recorder import Recorder, recording
from jsonrpc_iot.channel.tracing import Tracing
from jsonrpc_iot.testing import Faults, LossyLink, replay, served
from jsonrpc_iot.testing.recorded import read_recording
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

TCP = "tcp://127.0.0.1:0"
HTTP = "http://127.0.0.1:0/rpc"
PACKED = "udp://127.0.0.1:0?codec=msgpack"
SECRET = "correct horse battery"
ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", [("asyncio", {})])  # as HTTP is served
TOKEN = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYm8"


def lamp() -> Dispatcher:
    """A device whose answers differ from one call to the next."""
    device = Dispatcher()
    levels = iter(range(1, 100))

    @device.method("lamp.level")
    def level() -> int:
        return next(levels)

    @device.method("lamp.set")
    def switch(level: int, fade: float = 0) -> dict[str, Any]:
        if level > 100:
            raise RpcError(4001, "Too bright", {"most": 100})
        device.emit("lamp.changed", {"level": level})
        return {"was": level - 1, "raw": b"\x01\xff"}

    @device.method("lamp.history")
    async def history(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        if count > 3:
            raise RpcError(4002, "No more")

    return device


async def talk(client: Client) -> list[object]:
    """Have a conversation; what was heard in it."""
    heard: list[object] = [await client.call("lamp.level") for _ in range(2)]
    heard.append(await client.call("lamp.set", [40]))
    heard.append(await client.call("lamp.set", {"level": 60, "fade": 1.5}))
    calls: list[Callable[[], Awaitable[object]]] = [partial(client.call, "lamp.set", [101])]
    if client.info.reliable:  # elsewhere it is waited for items that may be lost
        calls.append(partial(collected, client, 5))
    for call in calls:
        with pytest.raises(RpcError) as refused:
            await call()
        heard.append((refused.value.code, refused.value.message, refused.value.data))
    heard.append(await collected(client, 3))
    async with client.batch() as batch:
        both = batch.call("lamp.level"), batch.call("lamp.history", {"count": 2})
    return [*heard, *(each.result() for each in both)]


async def collected(client: Client, count: int) -> list[object]:
    return [item async for item in client.stream("lamp.history", {"count": count})]


@pytest.mark.parametrize("end", ["client", "server"])
@pytest.mark.parametrize("url", [TCP, PACKED])
async def test_it_answers_as_the_recorded_device(url: str, end: str, tmp_path: Path) -> None:
    await check_answers(url, end, tmp_path)


@pytest.mark.parametrize("end", ["client", "server"])
@ON_ASYNCIO
async def test_it_answers_over_http(end: str, tmp_path: Path) -> None:
    await check_answers(HTTP, end, tmp_path)


async def check_answers(url: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / "lamp.jsonl"
    records = {end: file}
    with anyio.fail_after(SECONDS):
        async with (
            serve(lamp(), url, record=records.get("server")) as server,
            connect(server.urls[0], record=records.get("client")) as client,
        ):
            said = await talk(client)
        async with replay(file, url) as server, connect(server.urls[0]) as client:
            assert await talk(client) == said


async def test_what_was_sent_twice_was_asked_once(tmp_path: Path) -> None:
    file = tmp_path / "lamp.jsonl"
    link = LossyLink(Faults(drop=0.3, duplicate=0.3), seed=7, retry_seconds=0.01)
    with anyio.fail_after(SECONDS):
        async with (
            serve(lamp(), link.server, record=file, grace=0),
            connect(link.client) as client,
        ):
            for number in range(1, 21):
                assert await client.call("lamp.level") == number

    assert [each.result for each in read_recording(file).answers["lamp.level"]] == [*range(1, 21)]


def written(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    """A file of these lines; a `dict` is what differs from a line of a recording."""
    usual = {"time": 0.0, "url": "tcp://192.0.2.7:8805", "direction": "<-"}
    texts = [
        line if isinstance(line, bytes) else msgspec.json.encode(usual | line) for line in lines
    ]
    path.write_bytes(b"\n".join(texts) + b"\n")
    return path


def asked(method: str, params: Any, result: Any, id: int = 1) -> list[dict[str, Any]]:
    request = {"id": id, "method": method, "params": params}
    return [
        {"direction": "->", "message": request},
        {"message": {"id": id, "result": result}},
    ]


async def test_the_last_answer_stays(tmp_path: Path) -> None:
    file = written(tmp_path / "x", *asked("get", {}, 1), *asked("get", None, 2, id=2))

    async with replay(file, TCP) as server, connect(server.urls[0]) as client:
        assert [await client.call("get") for _ in range(4)] == [1, 2, 2, 2]


async def test_params_that_are_near(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        *asked("set", {"at": 10, "by": "a"}, "low"),
        *asked("set", {"at": 90, "by": "a"}, "high"),
    ]
    file = written(tmp_path / "x", *lines)

    async with replay(file, TCP) as server, connect(server.urls[0]) as client:
        assert await client.call("set", {"at": 70, "by": "a"}) == "high"
        assert 'set was never recorded with {"at":70,"by":"a"}' in caplog.text
        with pytest.raises(InvalidParams) as refused:
            await client.call("set", {"at": 70})
        assert refused.value.data == {
            "path": "$",
            "message": 'never recorded with such params; the nearest are {"at":90,"by":"a"}',
        }
    async with replay(file, TCP, strict=True) as server, connect(server.urls[0]) as client:
        assert await client.call("set", {"by": "a", "at": 90}) == "high"
        with pytest.raises(InvalidParams, match=r'the nearest are {"at":10,"by":"a"}'):
            await client.call("set", {"at": 11, "by": "a"})


async def test_a_method_that_was_never_recorded(tmp_path: Path) -> None:
    file = written(tmp_path / "x", *asked("lamp.set", [1], True))

    async with replay(file, TCP) as server, connect(server.urls[0]) as client:
        with pytest.raises(MethodNotFound) as refused:
            await client.call("lamp.sett", [1])
    assert refused.value.data == {"method": "lamp.sett", "hint": "did you mean lamp.set?"}


async def test_it_describes_itself_as_it_did(tmp_path: Path) -> None:
    document = {"openrpc": "1.3.2", "info": {"title": "Lamp", "version": "7"}, "methods": []}
    file = written(tmp_path / "x", *asked("rpc.discover", None, document))

    async with replay(file, TCP) as server, connect(server.urls[0]) as client:
        assert await client.call("rpc.discover") == document
        assert await client.call("rpc.ping") is True


async def test_it_emits_at_the_recorded_times(tmp_path: Path) -> None:
    await check_pushes(TCP, tmp_path)


@ON_ASYNCIO
async def test_it_emits_over_http(tmp_path: Path) -> None:
    await check_pushes(HTTP, tmp_path)


async def check_pushes(url: str, tmp_path: Path) -> None:
    pushes = [
        {"time": 100.0 + at, "url": f"tcp://{link}", "direction": "->", "message": message}
        for at, link, message in (
            (20.0, "a", {"method": "on", "params": {"n": 1}}),
            (20.5, "b", {"method": "on", "params": {"n": 1}}),  # the same, for another
            (40.0, "b", [{"method": "on", "params": {"n": 1}}, {"method": "off"}]),
        )
    ]
    ping = {"time": 100.0, "url": "tcp://a", "message": {"id": 1, "method": "rpc.ping"}}
    file = written(tmp_path / "x", ping, *pushes)
    began = anyio.current_time()
    with anyio.fail_after(SECONDS):
        async with (
            replay(file, url, speed=100) as server,
            connect(server.urls[0]) as client,
            client.notifications() as news,
        ):
            heard = [await news.receive() for _ in range(3)]
            took = anyio.current_time() - began

    assert [(each.method, each.params) for each in heard] == [
        ("on", {"n": 1}),
        ("on", {"n": 1}),
        ("off", None),
    ]
    assert took >= 0.4


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"time":1,"url":"x","dire', "no JSON"),
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b'{"time":1,"url":"x","direction":"<-"}', "missing required field `message`"),
        (b'{"time":1,"url":"x","direction":"up","message":1}', "Invalid enum value 'up'"),
        (b'{"time":-1,"url":"x","direction":"<-","message":1}', ">= 0.0"),
        (
            b'{"time":0.1,"url":"x","direction":"<-","message":1}',
            "the time 0.1 is not 0.5 or later",
        ),
        (b'{"time":1,"url":"x","direction":"<-","message":' + b"[" * 100_000, "recursion"),
    ],
)
async def test_a_broken_line_is_named(line: bytes, problem: str, tmp_path: Path) -> None:
    file = written(tmp_path / "x", {"time": 0.5, "message": {}}, line, {"message": {}})

    with pytest.raises(UsageError) as refused:
        async with replay(file, TCP):
            pass
    assert str(refused.value).startswith(f"{file}:2: ")
    assert problem in str(refused.value)


async def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    file = written(tmp_path / "x", *asked("get", {}, 1))
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.raises(UsageError, match=r"x:2: cut off: "):
        async with replay(file, TCP):
            pass


async def test_messages_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    to_device: list[Any] = [
        None,
        [],
        [[]],
        "17 bytes",
        {"id": [1], "method": 5},
        {"id": {}, "method": "x", "params": 7},
        {"method": "rpc.item", "params": {"id": 1}},
    ]
    ids: list[Any] = [None, 1, [1], {}]
    file = written(
        tmp_path / "x",
        *({"direction": "->", "message": message} for message in to_device),
        *({"message": {"id": id, "error": 7}} for id in ids),
        *asked("odd", [], {"$base64": "?"}),
        *asked("ext", [], {"$base64": "AA==", "$ext": 999}),
    )

    async with replay(file, PACKED) as server, connect(server.urls[0]) as client:
        methods = await client.call("rpc.methods")
        assert [each for each in methods if not each.startswith("rpc.")] == ["ext", "odd"]
        assert await client.call("odd") == b"?"
        assert await client.call("ext") == {"$base64": "AA==", "$ext": 999}


async def test_no_secret_is_recorded(tmp_path: Path) -> None:
    device = Dispatcher()

    @device.method("wifi.connect")
    def join(ssid: str, psk: str = "") -> dict[str, Any]:
        return {"local_key": psk, "rest": [{"wifiPassword": psk, "url": f"udp://h?psk={SECRET}"}]}

    files = [tmp_path / "client", tmp_path / "server"]
    async with (
        serve(device, PACKED, record=files[1]) as server,
        connect(server.urls[0], record=files[0]) as client,
    ):
        await client.call("wifi.connect", ["home", SECRET])
        await client.call("wifi.connect", {"ssid": "home", "psk": SECRET})
        for method in ("rpc.authenticate", "rpc.pair"):
            with pytest.raises(RpcError):
                await client.call(method, {"token": SECRET, "code": SECRET})
            with pytest.raises(RpcError):
                await client.call(method, [SECRET])
    for file in files:
        text = file.read_text()
        assert SECRET not in text
        assert text.count("wifi.connect") == 2
        assert text.count('"home"') == 2


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"params": {"password": 1234}}, {"params": {"password": "***"}}),
        ({"params": {"tokens": ["a", True]}}, {"params": {"tokens": ["***", True]}}),
        ({"params": {"value_key": "warmth", "n": 4}}, {"params": {"value_key": "warmth", "n": 4}}),
        ({"params": [TOKEN]}, {"params": ["***"]}),
        ({"params": [b"k" * 32, b"k"]}, {"params": ["***", {"$base64": "aw=="}]}),
        ({"result": f"Bearer {SECRET}"}, {"result": "Bearer *** horse battery"}),
        ({"id": TOKEN, "result": {"pass": ""}}, {"id": TOKEN, "result": {"pass": ""}}),
        (
            {"method": "door.login", "params": ["me", 7]},
            {"method": "door.login", "params": ["***", 7]},
        ),
        (
            {"method": "a.wifi.connect", "params": ["home", "x"]},
            {"method": "a.wifi.connect", "params": ["home", "***"]},
        ),
    ],
)
def test_what_is_a_secret(message: Any, shown: Any) -> None:
    assert message_without_secrets(message) == shown
    assert message_without_secrets([shown]) == [shown]


async def test_params_with_secrets_are_found(tmp_path: Path) -> None:
    file = written(tmp_path / "x", *asked("join", {"net": "a", "psk": "***"}, 1))

    async with (
        replay(file, TCP, strict=True) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("join", {"net": "a", "psk": SECRET}) == 1


def test_only_its_owner_may_read_a_recording(tmp_path: Path) -> None:
    with recording(tmp_path / "x"):
        mode = os.stat(tmp_path / "x").st_mode

    assert stat.S_IMODE(mode) == 0o600


async def test_no_file_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("precious")
    opened: list[Callable[[], Awaitable[object]]] = [
        lambda: connect("tcp://127.0.0.1:1", record=file).__aenter__(),
        lambda: serve(lamp(), TCP, record=file).__aenter__(),
    ]
    for each in opened:
        with pytest.raises(UsageError, match="is there already"):
            await each()
    with pytest.raises(UsageError, match="is there already"):
        connect_sync("tcp://127.0.0.1:1", record=file)
    assert file.read_text() == "precious"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
async def test_a_full_disk_ends_the_recording_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = LossyLink()
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        tracing = Tracing(None, Recorder(full, "full"))
        async with served(lamp(), tracing.watch(link.client), link.server) as ends:
            assert await ends.client.call("lamp.level") == 1
            assert await ends.client.call("lamp.level") == 2
    finally:
        os.close(full)
    assert caplog.text.count("full: the recording ends here: No space left on device") == 1
