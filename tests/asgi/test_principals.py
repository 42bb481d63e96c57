"""Who sends a request over HTTP, and what becomes of that when the keyring changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from jsonrpc_iot import (
    Channel,
    Dispatcher,
    Forbidden,
    Limits,
    MethodNotFound,
    Unauthorized,
    asgi_app,
    connect,
    serve,
)
from tests.server.test_principals import Keys, keys, lamp, prove
from tests.waiting import SECONDS, Tally, eventually

from .test_server import EVENTS, JSON, URL, client, lines

__all__ = ["keys"]

pytestmark = pytest.mark.anyio


def request(method: str, id: int | None = 1) -> bytes:
    return b'{"method":"%s"%s}' % (method.encode(), b"" if id is None else b',"id":%d' % id)


def bearer(token: str) -> dict[str, str]:
    return {**JSON, "authorization": f"Bearer {token}"}


PROMPT = Limits(refusal_seconds=0.01)
"""Wrong tokens are answered soon, where how late is not the test's business."""


@asynccontextmanager
async def served(keys: Keys, **options: Any) -> AsyncIterator[tuple[Any, httpx2.AsyncClient]]:
    async with (
        serve(lamp(), URL, keyring=keys.keyring, **options) as server,
        client(server.urls[0]) as http,
    ):
        yield server, http


async def test_a_bearer_token_proves_who_sends_it(keys: Keys) -> None:
    async with served(keys) as (_, http):
        for token, found in ((keys.app, ["app", "token"]), (keys.monitor, ["monitor", "token"])):
            response = await http.post("", content=request("who"), headers=bearer(token))
            assert response.json() == {"id": 1, "result": found}
        response = await http.post("", content=request("switch"), headers=bearer(keys.monitor))
        assert response.json()["error"]["code"] == -32006
        response = await http.post("/switch", headers=bearer(keys.app))
        assert response.json() == "switched"


async def test_a_post_has_no_connection_to_remember_a_token_for(keys: Keys) -> None:
    async with served(keys) as (server, _), connect(server.urls[0]) as there:
        with pytest.raises(MethodNotFound, match="not over this transport"):
            await prove(there, keys.app)


async def test_strangers_can_be_kept_out(keys: Keys) -> None:
    async with served(keys, strangers=False) as (_, http):
        pong = await http.post("", content=request("rpc.ping"), headers=JSON)
        assert (pong.status_code, pong.json()) == (200, {"id": 1, "result": True})
        assert "www-authenticate" not in pong.headers
        for sent in (request("look"), request("no.such"), request("look", None)):
            refused = await http.post("", content=sent, headers=JSON)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["error"]["code"] == -32005
        batch = b"[%s,%s]" % (request("rpc.ping"), request("look", 2))
        replies = (await http.post("", content=batch, headers=JSON)).json()
        assert sorted(replies, key=lambda each: each["id"])[0] == {"id": 1, "result": True}
        assert {each.get("error", {}).get("code") for each in replies} == {None, -32005}
        for path, headers in (("", EVENTS), ("/openrpc.json", {}), ("/look", JSON)):
            refused = await http.request(
                "POST" if path == "/look" else "GET", path, headers=headers
            )
            assert refused.status_code == 401, path
        known = await http.post("", content=request("look"), headers=bearer(keys.monitor))
        assert known.json() == {"id": 1, "result": "seen"}


async def test_a_client_without_a_token_hears_why_it_is_refused(keys: Keys) -> None:
    async with (
        served(keys, strangers=False) as (server, _),
        connect(server.urls[0]) as stranger,
    ):
        assert await stranger.call("rpc.ping") is True
        with pytest.raises(Unauthorized):
            await stranger.call("look")
        async with stranger.batch() as batch:
            pong, look = batch.call("rpc.ping"), batch.call("look")
        assert pong.result() is True
        with pytest.raises(Unauthorized):
            look.result()


async def test_a_hook_refuses_with_a_reason() -> None:
    def judge(channel: Channel) -> None:
        raise Forbidden("The bill is not paid")

    async with serve(lamp(), URL, authenticate=judge) as server, client(server.urls[0]) as http:
        refused = await http.post("", content=request("look"), headers=JSON)
        assert refused.status_code == 403
        assert refused.json() == {
            "id": 1,
            "error": {"code": -32006, "message": "The bill is not paid"},
        }
        assert (await http.get("", headers=EVENTS)).status_code == 403


async def test_events_end_when_the_key_is_revoked(keys: Keys) -> None:
    ended = Tally()

    async def listen(http: httpx2.AsyncClient, token: str) -> None:
        headers = {**EVENTS, "authorization": f"Bearer {token}"}
        async with http.stream("GET", "", headers=headers) as response:
            assert response.status_code == 200
            ended.add((token, await lines(response, 1)))

    async with served(keys) as (server, http), anyio.create_task_group() as tasks:
        (app,) = server._apps
        tasks.start_soon(listen, http, keys.app)
        tasks.start_soon(listen, http, keys.monitor)
        await eventually(lambda: app.events.subscribers == 2)
        keys.keyring.revoke("app")
        await ended.reach(1)
        assert ended.items == [(keys.app, [])]
        assert server.broadcast("news") == 1
        await ended.reach(2)


async def test_events_need_the_permission_of_now(keys: Keys) -> None:
    async with served(keys) as (server, http), anyio.create_task_group() as tasks:
        headers = {**EVENTS, "authorization": f"Bearer {keys.monitor}"}
        (app,) = server._apps
        heard = Tally()

        async def listen() -> None:
            async with http.stream("GET", "", headers=headers) as response:
                heard.add((await lines(response, 2))[1])

        tasks.start_soon(listen)
        await eventually(lambda: app.events.subscribers)
        assert server.broadcast("news", requires="switch") == 0
        text = keys.path.read_text()
        keys.write(text.replace("[peers.monitor]", '[peers.monitor]\npermissions = ["switch"]'))
        (hearing,) = app.events._hearings
        await eventually(lambda: hearing.standing.permits("switch"))
        assert server.broadcast("news", requires="switch") == 1
        await heard.reach(1)
        assert "news" in heard.items[0]


async def test_a_call_ends_when_the_key_is_revoked(keys: Keys) -> None:
    answers = Tally()

    async def stay(http: httpx2.AsyncClient) -> None:
        answers.add(await http.post("", content=request("stay"), headers=bearer(keys.app)))

    async with served(keys) as (server, http), anyio.create_task_group() as tasks:
        (app,) = server._apps
        tasks.start_soon(stay, http)
        await eventually(lambda: app.is_busy)
        keys.keyring.revoke("app")
        await answers.reach(1)
        error = answers.items[0].json()["error"]
        assert error == {"code": -32005, "message": "The key is no longer valid"}


async def test_a_key_that_is_revoked_while_the_body_comes_is_worth_nothing(keys: Keys) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield request("look")[:5]
        await eventually(lambda: app.is_busy)  # it has the head, and knows who that is
        keys.keyring.revoke("app")
        yield request("look")[5:]

    async with served(keys) as (server, http):
        (app,) = server._apps
        answer = await http.post("", content=slowly(), headers=bearer(keys.app))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, -32005)


async def test_each_principal_has_its_own_calls_in_flight(keys: Keys) -> None:
    dispatcher, gate = Dispatcher(limits=Limits(in_flight=1)), anyio.Event()
    dispatcher.method("wait")(gate.wait)
    answers = Tally()

    async def call(http: httpx2.AsyncClient, token: str) -> None:
        answer = await http.post("", content=request("wait"), headers=bearer(token))
        answers.add((token, "result" in answer.json()))

    async with (
        serve(dispatcher, URL, keyring=keys.keyring) as server,
        client(server.urls[0]) as http,
        anyio.create_task_group() as tasks,
    ):
        (app,) = server._apps
        tasks.start_soon(call, http, keys.app)
        await eventually(lambda: app._callers._running)
        await call(http, keys.app)
        assert answers.items == [(keys.app, False)]
        tasks.start_soon(call, http, keys.monitor)
        await eventually(lambda: len(app._callers._running) == 2)
        gate.set()
        await answers.reach(3)
        assert all(done for _, done in answers.items[1:])


async def test_an_application_watches_the_keyring_while_its_server_runs(keys: Keys) -> None:
    app = asgi_app(lamp(), keyring=keys.keyring)
    to_app, from_server = anyio.create_memory_object_stream[dict[str, Any]](2)
    told = Tally()

    async def send(event: Any) -> None:
        told.add(event["type"])

    async with (
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://lamp") as http,
        anyio.create_task_group() as tasks,
        to_app,
        from_server,
    ):
        tasks.start_soon(app, {"type": "lifespan"}, from_server.receive, send)
        await to_app.send({"type": "lifespan.startup"})
        await told.reach(1)
        found = await http.post("/rpc", content=request("who"), headers=bearer(keys.app))
        assert found.json()["result"] == ["app", "token"]
        text = keys.path.read_text()
        keys.write(text.replace("[peers.app]", "[peers.phone]"))
        with anyio.fail_after(SECONDS):
            while found.json()["result"] != ["phone", "token"]:
                found = await http.post("/rpc", content=request("who"), headers=bearer(keys.app))
        await to_app.send({"type": "lifespan.shutdown"})
    assert told.items == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_an_application_that_is_told_of_no_start_looks_at_the_keyring(keys: Keys) -> None:
    app = asgi_app(lamp(), keyring=keys.keyring)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lamp") as http:

        async def who() -> tuple[int, object]:
            answer = await http.post("/rpc", content=request("who"), headers=bearer(keys.app))
            return answer.status_code, answer.json().get("result")

        assert await who() == (200, ["app", "token"])
        keys.write("")
        with anyio.fail_after(SECONDS):
            while await who() != (401, None):  # noqa: ASYNC110  # no event tells
                await anyio.sleep(0.01)
