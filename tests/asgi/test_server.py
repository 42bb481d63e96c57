"""What the server answers, seen by a plain HTTP client."""

import json
import re
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from jsonrpc_iot import Channel, ChannelAttribute, InvalidUrl, Limits, serve

from .conftest import Device

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
EVENTS = {"accept": "text/event-stream"}
URL = "http://127.0.0.1:0/rpc"
ADD = b'{"id":1,"method":"add","params":[1,2]}'


@asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as found:
        yield found


async def lines(response: httpx2.Response, count: int) -> list[str]:
    """That many lines, without the empty ones between events."""
    found: list[str] = []
    async for line in response.aiter_lines():
        found += [line] if line else []
        if len(found) == count:
            break
    return found


async def raw(url: str, request: bytes) -> bytes:
    """All that the server says to some bytes, until it closes the connection."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    answer = b""
    async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
        await stream.send(request)
        with anyio.fail_after(10):
            try:
                while True:
                    answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return answer


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "allow"),
    [
        ("POST", "", {"content-type": "application/json; charset=utf-8"}, 200, None),
        ("POST", "", {"content-type": "application/json-rpc"}, 200, None),
        ("POST", "", {"content-type": "Application/JSONrequest;charset=utf-8"}, 200, None),
        ("POST", "", {"content-type": "text/plain"}, 415, None),
        ("POST", "", JSON | {"content-encoding": "gzip"}, 415, None),
        ("POST", "", JSON | {"content-encoding": "identity"}, 200, None),
        ("POST", "", {}, 415, None),
        ("PUT", "", JSON, 405, "GET, POST"),
        ("DELETE", "", JSON, 405, "GET, POST"),
        ("GET", "", {}, 406, None),
        ("GET", "", {"accept": "text/event-stream;q=0"}, 406, None),
        ("GET", "/openrpc.json", {}, 200, None),
        ("POST", "/openrpc.json", JSON, 405, "GET"),
        ("GET", "/other", EVENTS, 404, None),
        ("POST", "x", JSON, 404, None),
    ],
)
async def test_a_status_for_each_request(
    device: Device,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    allow: str | None,
) -> None:
    async with serve(device.dispatcher, URL) as server, client("") as http:
        content = ADD if method != "GET" else None
        place = server.urls[0] + path
        response = await http.request(method, place, content=content, headers=headers)
        assert response.status_code == status
        assert response.headers.get("allow") == allow


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (ADD, 200, None),
        (b"", 400, -32700),
        (b"[1", 400, -32700),
        (b'{"id":1}', 400, -32600),
        (b'{"id":1,"method":"none"}', 200, -32601),
        (b'{"id":1,"method":"add","params":[-32600,"-32700"]}', 200, -32602),
        (b'{"id":":-32700","method":"add","params":[1,2]}', 200, None),
        (b'{"id":1,"method":"back"}', 200, -32603),
        (b'{"id":1,"method":"reset"}', 200, -32005),
    ],
)
async def test_a_status_for_each_message(
    device: Device, message: bytes, status: int, code: int | None
) -> None:
    async with serve(device.dispatcher, URL) as server, client(server.urls[0]) as http:
        response = await http.post("", content=message, headers=JSON)
        assert response.status_code == status
        assert response.json().get("error", {}).get("code") == code


async def test_notifications_get_no_body(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server, client(server.urls[0]) as http:
        for message in ('{"method":"note","params":[1]}', '[{"method":"note","params":[2]}]'):
            response = await http.post("", content=message, headers=JSON)
            assert (response.status_code, response.content) == (202, b"")
        assert device.heard == [1, 2]


async def test_a_body_over_the_limit_is_refused_before_it_is_read(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server:
        head = b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        answer = await raw(server.urls[0], head + b"Content-Length: 16777217\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"limit":16777216' in answer
        async with client(server.urls[0]) as http:
            whole = b'{"id":1,"method":"add","params":[1,2],"pad":"' + b"x" * (17 << 20) + b'"}'
            assert (await http.post("", content=whole, headers=JSON)).status_code == 413

            async def chunks() -> AsyncIterator[bytes]:
                for start in range(0, len(whole), 1 << 20):
                    yield whole[start : start + (1 << 20)]

            assert (await http.post("", content=chunks(), headers=JSON)).status_code == 413
            fits = whole[:45] + whole[-(15 << 20) :]
            assert (await http.post("", content=fits, headers=JSON)).json()["result"] == 3


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        ((b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
         b"Content-Length: 9\r\n\r\n{"), b"408"),
        (b"POST /rpc HTTP/1.1\r\nHos", b"408"),
        (b"", b""),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000, b"431"),
        (b"no http at all\r\n\r\n", b"400"),
    ],
)  # fmt: skip
async def test_whoever_is_slow_or_odd_is_cut_off(
    device: Device, request_bytes: bytes, status: bytes
) -> None:
    limits = Limits(message_seconds=0.2)
    async with serve(device.dispatcher, URL, limits=limits) as server:
        answer = await raw(server.urls[0], request_bytes)
        assert answer[9:12] == status
        async with client(server.urls[0]) as http:
            assert (await http.post("", content=ADD, headers=JSON)).status_code == 200


ONCE = b"Host: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(ADD)
# What Java's client says to a place where it has not been: go on in HTTP/2, if you can.
H2C = (
    b"POST /rpc HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\n"
    b"Host: x\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17\r\nContent-Type: application/json\r\n\r\n" % len(ADD)
)


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (b"POST http://other/rpc HTTP/1.1\r\n" + ONCE + LENGTH + b"\r\n" + ADD, [200]),
        (H2C + ADD + b"POST /rpc HTTP/1.1\r\n" + ONCE + LENGTH + b"\r\n" + ADD, [200, 200]),
        (b"POST /rpc HTTP/1.1\r\n" + ONCE + LENGTH + LENGTH + b"\r\n" + ADD, [200]),
        (b"GET /rpc HTTP/1.1\r\n" + ONCE + b"Accept: a/b\r\nAccept: c/d\r\n\r\n", [406]),
        (
            b"POST /x HTTP/1.1\r\n" + ONCE.replace(b"close", b"keep-alive")
            + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n0\r\n\r\n"
            + b"POST /rpc HTTP/1.1\r\n" + ONCE + LENGTH + b"\r\n" + ADD,
            [400],
        ),
    ],
    ids=["a whole URL", "h2c", "one length twice", "two lines of Accept", "two lengths"],
)  # fmt: skip
async def test_requests_of_others(
    device: Device, request_bytes: bytes, statuses: list[int]
) -> None:
    async with serve(device.dispatcher, URL) as server:
        answer = await raw(server.urls[0], request_bytes)
        assert list(map(int, re.findall(rb"HTTP/1.1 (\d+)", answer))) == statuses
        assert answer.count(b'"result":3') == statuses.count(200)


async def test_two_lines_of_accept_are_one_list(device: Device) -> None:
    accepting = [("accept", "text/event-stream"), ("accept", "application/json")]
    async with (
        serve(device.dispatcher, URL) as server,
        client(server.urls[0]) as http,
        http.stream("GET", "", headers=accepting) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream"


async def test_a_client_that_hangs_up_cancels_its_call(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server, client(server.urls[0]) as http:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                lambda: http.post("", content=b'{"id":1,"method":"wait"}', headers=JSON)
            )
            with anyio.fail_after(5):
                await device.started.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await device.ended.wait()


async def test_over_the_limit_of_running_calls_is_busy(device: Device) -> None:
    limits = Limits(in_flight=1)
    async with (
        serve(device.dispatcher, URL, limits=limits, grace=0) as server,
        client(server.urls[0]) as http,
        anyio.create_task_group() as tasks,
    ):
        wait = b'{"id":1,"method":"wait"}'
        tasks.start_soon(lambda: http.post("", content=wait, headers=JSON))
        with anyio.fail_after(5):
            await device.started.wait()
        response = await http.post("", content=wait, headers=JSON)
        assert response.json()["error"]["code"] == -32004
        tasks.cancel_scope.cancel()


async def test_items_come_as_events_to_who_wants_them(device: Device) -> None:
    message = b'{"id":7,"method":"count","params":[20],"stream":true}'
    async with serve(device.dispatcher, URL) as server, client(server.urls[0]) as http:
        plain = await http.post("", content=message, headers=JSON)
        assert plain.json() == {"id": 7, "result": list(range(20))}
        response = await http.post("", content=message, headers={**JSON, **EVENTS})
        assert response.headers["content-type"] == "text/event-stream"
        events = [json.loads(block[6:]) for block in response.text.split("\n\n") if block]
        assert [event["params"]["item"] for event in events[:-1]] == list(range(20))
        assert events[-1] == {"id": 7, "result": {"count": 20}}


async def test_events_and_their_resumption(device: Device) -> None:
    async with serve(device.dispatcher, URL) as server, client(server.urls[0]) as http:
        async with http.stream("GET", "", headers=EVENTS) as response:
            for number in range(3):
                assert server.broadcast("changed", [number]) == 1
            found = await lines(response, 6)
        ids = [line.removeprefix("id: ") for line in found[::2]]
        assert found[1::2] == [f'data: {{"method":"changed","params":[{n}]}}' for n in range(3)]
        async with http.stream("GET", "", headers={**EVENTS, "last-event-id": ids[0]}) as response:
            assert await lines(response, 4) == found[2:]
        for lost in ("0-1", "nonsense", ids[0] + "0"):
            async with http.stream("GET", "", headers={**EVENTS, "last-event-id": lost}) as again:
                assert await lines(again, 1) == [": gap"]


async def test_a_thousand_subscribers_hear_all(device: Device) -> None:
    heard = 0
    async with serve(device.dispatcher, URL) as server, anyio.create_task_group() as tasks:
        parts = urlsplit(server.urls[0])
        ready = anyio.Event()
        waiting = 1000

        async def subscribe() -> None:
            nonlocal heard, waiting
            async with await anyio.connect_tcp("127.0.0.1", parts.port or 0) as stream:
                await stream.send(
                    b"GET /rpc HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
                )
                seen = await stream.receive()
                waiting -= 1
                if not waiting:
                    ready.set()
                while b'"params":[2]' not in seen:
                    seen += await stream.receive()
                heard += 1

        async with anyio.create_task_group() as subscribers:
            for _ in range(1000):
                subscribers.start_soon(subscribe)
            with anyio.fail_after(20):
                await ready.wait()
            for number in range(3):
                assert server.broadcast("changed", [number]) == 1000
        assert heard == 1000
        tasks.cancel_scope.cancel()


async def test_a_subscriber_that_does_not_read_is_dropped(device: Device) -> None:
    """It holds up nobody, and what it misses is counted."""
    limits = Limits(send_seconds=0.3)
    async with serve(device.dispatcher, URL, limits=limits) as server, client("") as http:
        (app,) = server._apps
        stream = await anyio.connect_tcp("127.0.0.1", urlsplit(server.urls[0]).port or 0)
        async with stream:
            await stream.send(b"GET /rpc HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
            assert b"200 OK" in await stream.receive()
            with anyio.fail_after(20):
                while app.events.subscribers:
                    server.broadcast("changed", ["x" * 100_000])
                    await anyio.sleep(0.001)
            assert app.events.dropped > 0
        assert (await http.post(server.urls[0], content=ADD, headers=JSON)).status_code == 200


def by_token(channel: Channel) -> Container[str] | None:
    tokens = {"root": {"admin"}, "guest": set[str]()}
    return tokens.get(channel.extra(ChannelAttribute.bearer_token, ""))


@pytest.mark.parametrize(("token", "code"), [("root", None), ("guest", -32006), ("x", -32005)])
async def test_permissions_by_token(device: Device, token: str, code: int | None) -> None:
    async with (
        serve(device.dispatcher, URL, authenticate=by_token) as server,
        client(server.urls[0]) as http,
    ):
        headers = {**JSON, "authorization": f"Bearer {token}"}
        response = await http.post("", content=b'{"id":1,"method":"reset"}', headers=headers)
        assert response.json().get("error", {}).get("code") == code


async def test_a_token_for_everything(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMP_TOKEN", "secret")
    url = URL + "?token=env:LAMP_TOKEN"
    async with serve(device.dispatcher, url) as server, client(server.urls[0]) as http:
        refused = await http.post("", content=ADD, headers=JSON)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == -32005
        right = {**JSON, "authorization": "bearer secret"}
        assert (await http.post("", content=ADD, headers=right)).json()["result"] == 3


@pytest.mark.parametrize(
    "options",
    ["segment=1", "max=0", "token=secret", "token=env:NO_SUCH_NAME", "cert=x", "token=file:"],
)
async def test_options_that_make_no_sense(device: Device, options: str) -> None:
    with pytest.raises(InvalidUrl):
        async with serve(device.dispatcher, f"{URL}?{options}"):
            pass


async def test_cors(device: Device) -> None:
    url = URL + "?cors=https://app.example"
    async with serve(device.dispatcher, url) as server, client(server.urls[0]) as http:
        asking = {
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        response = await http.options("", headers=asking)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        response = await http.options("", headers={**asking, "origin": "https://evil.example"})
        assert response.status_code == 400


async def test_two_urls_share_an_address(device: Device) -> None:
    other = URL.replace("/rpc", "/other")
    async with serve(device.dispatcher, URL, other) as server, client("") as http:
        one, two = map(urlsplit, server.urls)
        assert (one.port, one.path, two.path) == (two.port, "/rpc", "/other")
        for url in server.urls:
            assert (await http.post(url, content=ADD, headers=JSON)).json()["result"] == 3
    with pytest.raises(OSError, match=r"refused|attempts"):
        await anyio.connect_tcp("127.0.0.1", one.port or 0)
