"""Methods as places of their own: `POST /rpc/METHOD` and `GET /rpc/METHOD?key=value`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from jsonrpc_iot import Dispatcher, Gateway, RpcError, serve

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:0/rpc"
JSON = {"content-type": "application/json"}


def lamp() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method("lamp.set")
    def set_level(level: int, *, name: str = "") -> list[Any]:
        return [level, name]

    @dispatcher.method("lamp.show", idempotent=True)
    def show(
        level: int = 0, name: str = "", parts: list[int] | None = None, *, on: bool = False
    ) -> list[Any]:
        return [level, name, parts, on]

    @dispatcher.method("echo", idempotent=True)
    async def echo(value: Any = None) -> Any:
        return value

    @dispatcher.method("fail", idempotent=True)
    def fail(code: int) -> None:
        raise RpcError(code, "no")

    dispatcher.method("lamp.level", idempotent=True, effect="read")(lambda: 40)
    dispatcher.method("lamp.seen", effect="read")(lambda: 41)
    dispatcher.method("lamp.dim", idempotent=True, effect="change")(lambda: "dim")
    dispatcher.method("lamp.reset", requires="admin")(lambda: "done")
    return dispatcher


@asynccontextmanager
async def served(
    options: str = "", answers: Dispatcher | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serve(answers or lamp(), URL + options) as server,
        httpx2.AsyncClient(base_url=server.urls[0], trust_env=False, timeout=10) as http,
    ):
        yield http


@pytest.mark.parametrize(
    ("method", "body", "status", "answer"),
    [
        ("lamp.set", b'{"level": 3, "name": "a"}', 200, [3, "a"]),
        ("lamp.set", b'\xef\xbb\xbf{"level": 3}\n', 200, [3, ""]),
        ("lamp.set", b"[3]", 200, [3, ""]),
        ("echo", b"", 200, None),
        ("lamp.set", b'{"level": "x"}', 400, -32602),
        ("lamp.set", b"3", 400, -32600),
        ("lamp.none", b"{}", 404, -32601),
        ("lamp.reset", b"{}", 401, -32005),
        ("fail", b"[-32006]", 403, -32006),
        ("fail", b"[2001]", 500, 2001),
    ],
)
async def test_a_post_has_the_params_and_gets_the_result(
    method: str, body: bytes, status: int, answer: Any
) -> None:
    async with served() as http:
        response = await http.post(f"/{method}", content=body, headers=JSON)
        assert response.status_code == status
        assert (response.json() if status == 200 else response.json()["code"]) == answer


async def test_a_post_without_a_body_needs_no_content_type() -> None:
    async with served() as http:
        assert (await http.post("/echo")).json() is None
        assert (await http.post("/lamp.set", content=b"level=3")).status_code == 415


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", [0, "", None, False]),
        ("?level=40&name=7", [40, "7", None, False]),
        ("?name=a%20b%26c&on=true", [0, "a b&c", None, True]),
        ("?parts=[1,2]&name=null", [0, "null", [1, 2], False]),
        ("?name=", [0, "", None, False]),
        ("?name=%22x%22", [0, "x", None, False]),
        ("?level=x", -32602),
        ("?nothing=1", -32602),
        ("?name=%ff", None),
    ],
)
async def test_a_query_has_the_params(query: str, answer: Any) -> None:
    async with served() as http:
        response = await http.get(f"/lamp.show{query}")
        if isinstance(answer, list):
            assert (response.status_code, response.json()) == (200, answer)
        else:
            assert response.status_code == 400
            assert answer is None or response.json()["code"] == answer


async def test_what_may_change_something_is_not_done_by_get() -> None:
    async with served() as http:
        for method in ("lamp.set", "lamp.reset"):
            response = await http.get(f"/{method}?level=1")
            assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert (await http.put("/lamp.set", content=b"{}")).status_code == 405
        for nowhere in ("/other", "/lamp.set/x", "x"):
            assert (await http.post(nowhere, content=b"{}", headers=JSON)).status_code == 404


BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.mark.parametrize(
    ("site", "unknown", "reads"),
    [
        ("cross-site", 403, 403),
        ("same-site", 403, 403),  # another port of this host
        ("same-origin", 200, 200),
        ("none", 200, 200),  # somebody wrote the address
        (None, 405, 200),  # plain HTTP to another machine: nobody says whose page it is
    ],
)
async def test_a_picture_of_a_page_elsewhere_calls_nothing_that_may_change_something(
    site: str | None, unknown: int, reads: int
) -> None:
    headers = BROWSER if site is None else BROWSER | {"sec-fetch-site": site}
    async with served() as http:
        assert (await http.get("/lamp.show", headers=headers)).status_code == unknown
        assert (await http.get("/lamp.level", headers=headers)).status_code == reads
    async with served("?cors=*") as http:
        assert (await http.get("/lamp.show", headers=headers)).status_code == 200


@pytest.mark.parametrize("is_forwarded", [False, True])
async def test_what_says_that_it_changes_something_is_not_done_by_get(is_forwarded: bool) -> None:
    house = Gateway()
    house.add("house", lamp(), wait=2.0)
    async with house, served(answers=house if is_forwarded else lamp()) as http:
        house_or_not = "house." if is_forwarded else ""
        assert (await http.get(f"/{house_or_not}lamp.level")).json() == 40
        assert (await http.get(f"/{house_or_not}lamp.seen")).json() == 41
        refused = await http.get(f"/{house_or_not}lamp.set?level=1")
        assert 'not marked effect="read", or idempotent' in refused.text
        assert (await http.get(f"/{house_or_not}lamp.dim")).status_code == 405
        assert (await http.get(f"/{house_or_not}lamp.level", headers=BROWSER)).json() == 40
        assert (await http.get(f"/{house_or_not}lamp.show", headers=BROWSER)).status_code == 405
        assert (await http.post(f"/{house_or_not}lamp.dim", headers=BROWSER)).json() == "dim"


async def test_the_token_is_asked_for(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    async with served(f"?token=file:{token}") as http:
        assert (await http.get("/lamp.show")).status_code == 401
        headers = {"authorization": "Bearer secret", **JSON}
        assert (await http.get("/lamp.show", headers=headers)).status_code == 200
        assert (await http.post("/lamp.set", content=b"[1]", headers=headers)).json() == [1, ""]
