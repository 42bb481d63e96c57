"""Tickets, by which an EventSource shows who it is from."""

import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from jsonrpc_iot import Dispatcher, asgi_app, serve
from jsonrpc_iot.asgi.tickets import SECONDS as GOOD_FOR
from jsonrpc_iot.asgi.tickets import Tickets, take_ticket
from jsonrpc_iot.trust.principal import Principal, Standing
from tests.server.test_principals import Keys, keys, lamp
from tests.transports.certificates import Certificates
from tests.waiting import Tally

from .test_in_program import running
from .test_principals import PROMPT, bearer, request, served
from .test_server import EVENTS, JSON, URL, client, lines

__all__ = ["keys"]

pytestmark = pytest.mark.anyio

AUDIT = "jsonrpc_iot.audit"


async def ticket(http: httpx2.AsyncClient, token: str, path: str = "") -> str:
    answer = await http.post(f"{path}/ticket", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["ticket"]
    return found


async def opens(http: httpx2.AsyncClient, query: str, **headers: str) -> int:
    """The status that a subscription gets."""
    async with http.stream("GET", query, headers=EVENTS | headers) as response:
        return response.status_code


@asynccontextmanager
async def listening(http: httpx2.AsyncClient, query: str) -> AsyncIterator[Tally]:
    """Subscribe; gives what is heard, and `None` in the end."""
    heard, opened = Tally(), Tally()

    async def listen() -> None:
        async with http.stream("GET", query, headers=EVENTS) as response:
            opened.add(response.status_code)
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    heard.add(json.loads(line.removeprefix("data: "))["method"])
        heard.add(None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await opened.reach(1)
        assert opened.items == [200]
        yield heard
        tasks.cancel_scope.cancel()


async def test_a_ticket_lets_events_in_once(keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    async with served(keys, strangers=False) as (server, http):
        answer = await http.post("/ticket", headers=bearer(keys.app))
        assert answer.headers["cache-control"] == "no-store"
        found = answer.json()["ticket"]
        assert answer.json() == {"ticket": found, "seconds": 30}
        async with listening(http, f"?events=news,private&ticket={found}") as heard:
            assert server.broadcast("other") == 0
            assert server.broadcast("news") == 1
            assert server.broadcast("private", requires="switch") == 1
            await heard.reach(2)
            assert heard.items == ["news", "private"]
            caplog.clear()
            assert await opens(http, f"?ticket={found}") == 401
        (line,) = [each.getMessage() for each in caplog.records if each.name == AUDIT]
        assert line.endswith("proof by ticket was refused: it is spent, too old or made up")


async def test_a_ticket_has_the_permissions_of_who_got_it(keys: Keys) -> None:
    async with (
        served(keys) as (server, http),
        listening(http, f"?ticket={await ticket(http, keys.monitor)}"),
    ):
        assert server.broadcast("private", requires="switch") == 0
        assert server.broadcast("news") == 1


@pytest.mark.parametrize(
    "made_up", ["", "x", "x" * 20_000, "%C3%A9", "%FF", "%00", "../..", "a&ticket=b"]
)
async def test_a_ticket_that_was_never_given_is_answered_401(keys: Keys, made_up: str) -> None:
    async with served(keys, limits=PROMPT) as (_, http):
        for headers in ({}, {"authorization": f"Bearer {keys.app}"}):
            assert await opens(http, f"?ticket={made_up}", **headers) == 401


async def test_only_who_is_known_gets_a_ticket(keys: Keys) -> None:
    async with served(keys) as (_, http):
        for headers in ({}, JSON, {"authorization": "Basic YTpi"}):
            refused = await http.post("/ticket", headers=headers)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        wrong = await http.get("/ticket", headers=bearer(keys.app))
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        large = await http.post("/ticket", headers=bearer(keys.app), content=b"1" * (17 << 20))
        assert large.status_code == 413


async def test_a_ticket_is_good_at_its_own_path_alone(keys: Keys) -> None:
    async with (
        serve(lamp(), URL, "http://127.0.0.1:0/other", keyring=keys.keyring) as server,
        client("") as http,
    ):
        mine, other = server.urls
        found = await ticket(http, keys.app, mine)
        assert await opens(http, f"{other}?ticket={found}") == 401
        assert await opens(http, f"{mine}?ticket={found}") == 200


async def test_a_ticket_is_for_events_alone(keys: Keys) -> None:
    async with served(keys, strangers=False) as (_, http):
        found = await ticket(http, keys.app)
        for method, path in (("POST", ""), ("POST", "/look"), ("GET", "/openrpc.json")):
            content = request("look") if not path else None
            there = f"{path}?ticket={found}"
            refused = await http.request(method, there, headers=JSON, content=content)
            assert refused.status_code == 401, path
        assert await opens(http, f"?ticket={found}") == 200


async def test_a_ticket_of_a_key_that_was_revoked_is_worth_nothing(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(keys) as (_, http):
        found, other = await ticket(http, keys.app), await ticket(http, keys.monitor)
        keys.keyring.revoke("app")
        assert await opens(http, f"?ticket={found}") == 401
        assert "app (by token) is not in the keyring any more" in caplog.text
        assert await opens(http, f"?ticket={other}") == 200


async def test_a_key_of_the_same_name_is_another_one(keys: Keys) -> None:
    async with served(keys) as (_, http):
        found = await ticket(http, keys.app)
        keys.keyring.revoke("app")
        keys.keyring.add("app", permissions=["switch"])
        assert await opens(http, f"?ticket={found}") == 401


async def test_permissions_are_those_of_when_it_is_spent(keys: Keys) -> None:
    async with served(keys) as (server, http):
        found = await ticket(http, keys.app)
        keys.write(keys.path.read_text().replace('["switch"]', "[]"))
        keys.keyring.refresh(force=True)
        async with listening(http, f"?ticket={found}"):
            assert server.broadcast("private", requires="switch") == 0
            assert server.broadcast("news") == 1


@pytest.mark.parametrize("by_ticket", [True, False])
async def test_a_revoked_key_ends_what_listens_within_a_second(keys: Keys, by_ticket: bool) -> None:
    async with served(keys) as (_, http):
        query = f"?ticket={await ticket(http, keys.app)}" if by_ticket else ""
        http.headers |= {} if by_ticket else {"authorization": f"Bearer {keys.app}"}
        async with listening(http, query) as heard:
            text = keys.path.read_text()
            keys.write(text.replace("[peers.app]", "[peers.somebody]"))  # as another process does
            with anyio.fail_after(1):
                await heard.reach(1)
            assert heard.items == [None]


async def test_a_new_event_source_goes_on_where_the_last_one_was(keys: Keys) -> None:
    async with served(keys) as (server, http):
        query = f"?ticket={await ticket(http, keys.app)}"
        async with http.stream("GET", query, headers=EVENTS) as response:
            server.broadcast("first")
            begin = (await lines(response, 1))[0].removeprefix("id: ")
        server.broadcast("second")
        query = f"?last_event_id={begin}&ticket={await ticket(http, keys.app)}"
        async with listening(http, query) as heard:
            await heard.reach(1)
            assert heard.items == ["second"]


async def test_the_rules_for_pages_and_names_hold_for_tickets_too(keys: Keys) -> None:
    url = f"{URL}?cors=https://app.example"
    async with serve(lamp(), url, keyring=keys.keyring) as server, client(server.urls[0]) as http:
        known = bearer(keys.app)
        for header in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
            refused = await http.post("/ticket", headers=known | header)
            assert refused.status_code == 403
            found = await ticket(http, keys.app)
            assert await opens(http, f"?ticket={found}", **header) == 403
            assert await opens(http, f"?ticket={found}") == 200  # it was not spent
        page = {"origin": "https://app.example"}
        answer = await http.post("/ticket", headers=known | page)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        query = f"?ticket={answer.json()['ticket']}"
        async with http.stream("GET", query, headers=EVENTS | page) as response:
            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == "https://app.example"
        asked = {"access-control-request-method": "POST"} | page
        asked["access-control-request-headers"] = "authorization"
        assert (await http.options("/ticket", headers=asked)).status_code == 200


async def test_who_has_the_token_of_a_url_gets_tickets(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("boss")
    url = f"{URL}?token=file:{secret}"
    async with serve(Dispatcher(), url) as server, client(server.urls[0]) as http:
        assert (await http.post("/ticket", headers=bearer("other"))).status_code == 401
        found = await ticket(http, "boss")
        assert await opens(http, "") == 401
        async with listening(http, f"?ticket={found}"):
            assert server.broadcast("news") == 1


async def test_a_certificate_gets_tickets(keys: Keys, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    keys.write('[certificates."gateway.example"]\npermissions = ["switch"]\n')
    keys.keyring.refresh(force=True)
    url = f"https://127.0.0.1:0/rpc?ca={certificates.ca}&cert={certificates.server}"
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.gateway)
    async with (
        serve(lamp(), url, keyring=keys.keyring) as server,
        httpx2.AsyncClient(base_url=server.urls[0], verify=context, trust_env=False) as http,
    ):
        answer = await http.post("/ticket")
        async with listening(http, f"?ticket={answer.json()['ticket']}"):
            assert server.broadcast("private", requires="switch") == 1


async def test_only_so_many_are_open(keys: Keys) -> None:
    async with served(keys) as (_, http):
        given = [await ticket(http, keys.app) for _ in range(64)]
        refused = await http.post("/ticket", headers=bearer(keys.app))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert len(set(given)) == 64
        assert await opens(http, f"?ticket={await ticket(http, keys.monitor)}") == 200
        assert await opens(http, f"?ticket={given[0]}") == 200
        await ticket(http, keys.app)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
async def test_no_log_has_a_ticket_that_is_good(
    keys: Keys, level: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(level)
    access = logging.getLogger("uvicorn.access")
    monkeypatch.setattr(access, "handlers", [caplog.handler])
    monkeypatch.setattr(access, "propagate", False)
    caplog.set_level(level, "uvicorn.access")
    app = asgi_app(lamp(), keyring=keys.keyring)
    async with running(app) as place, client(f"http://{place}/rpc") as http:
        found = await ticket(http, keys.app)
        statuses = [
            (await http.get(f"?events=news&ticket={found}", headers=headers)).status_code
            for headers in ({}, EVENTS | {"host": "evil.example"})
        ]
        statuses.append(await opens(http, f"?events=news&ticket={found}"))
        statuses.append(await opens(http, f"?ticket={found}&events=news"))
        app.leave()
    assert statuses == [406, 403, 200, 401]
    told = [each.getMessage() for each in caplog.records if not each.name.startswith("http")]
    assert len([each for each in told if '?events=news HTTP/1.1"' in each]) == 4, told
    assert not [each for each in told if found in each or keys.app in each]


def standing(name: str) -> Standing:
    principal = Principal(name, (), "token")
    return Standing(principal, principal)


def test_a_ticket_is_good_for_so_long() -> None:
    tickets, who = Tickets(), standing("app")
    early, late = (tickets.give(who, "app", now) for now in (0.0, 0.1))
    assert early
    assert late
    assert tickets.spend(late, GOOD_FOR) is who
    assert tickets.spend(early, GOOD_FOR) is None
    assert len(tickets) == 0


def test_tickets_take_no_more_room_than_they_may() -> None:
    tickets = Tickets(most=10, most_each=6)
    greedy = [tickets.give(standing("greedy"), "=greedy", 0) for _ in range(9)]
    assert greedy[6:] == [None] * 3
    others = [tickets.give(standing(name), f"={name}", 0) for name in "abcdefgh"]
    assert len(tickets) == 10
    assert all(others[:7])  # greedy had to give way
    assert tickets.spend(greedy[0] or "", 0) is not None
    assert tickets.spend(greedy[5] or "", 0) is None
    # What is over leaves room to others.
    assert all(tickets.give(standing("greedy"), "=greedy", GOOD_FOR) for _ in range(6))
    assert len(tickets) == 6


@pytest.mark.parametrize(
    ("query", "found", "left"),
    [
        (b"", None, b""),
        (b"events=a", None, b"events=a"),
        (b"ticket=abc", "abc", b""),
        (b"events=a.*&ticket=abc&x=%20", "abc", b"events=a.%2A&x=+"),
        (b"ticket=a&ticket=b", "a", b""),
        (b"tickets=a", None, b"tickets=a"),
        (b"ticket", "", b""),
        (b"ticket=%ff&\xff=1", "\N{REPLACEMENT CHARACTER}", b"%C3%BF=1"),
    ],
)
def test_a_ticket_is_taken_out_of_the_query(query: bytes, found: str | None, left: bytes) -> None:
    scope: dict[str, Any] = {"query_string": query}
    assert take_ticket(scope) == found
    assert scope["query_string"] == left


async def test_what_is_no_text_in_a_query_is_no_fault_of_ours(keys: Keys) -> None:
    """Not every web server refuses such a query as ours does."""
    app, sent = asgi_app(lamp(), keyring=keys.keyring), Tally()

    async def send(event: Any) -> None:
        sent.add(event.get("status"))

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    headers = [(b"accept", b"text/event-stream"), (b"host", b"lamp")]
    scope = {"type": "http", "method": "GET", "path": "/rpc", "headers": headers}
    for query, status in ((b"events=\xff", 200), (b"ticket=\xff", 401)):
        sent.items.clear()
        await app(scope | {"query_string": query}, receive, send)
        assert sent.items[0] == status
