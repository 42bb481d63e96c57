"""Assistants over HTTP: with the library's client, behind the package's own door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from jsonrpc_iot import Keyring, UsageError
from jsonrpc_iot.gateway.mcp import mcp_server
from jsonrpc_iot.trust.keyfile import make
from jsonrpc_iot.trust.keyring import bearer_token
from tests.waiting import SECONDS

from .rig import HELLO, Lamp, call, tools_of

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

ANYWHERE = "http://127.0.0.1:0/mcp"
ACCEPT = {"accept": "application/json, text/event-stream"}


def keyring_in(folder: Path) -> tuple[Keyring, str, str]:
    """A keyring, and the tokens of two keys."""
    path = folder / "keys.toml"
    make(path)
    keyring = Keyring(path)
    reader = keyring.add("reader")
    owner = keyring.add("owner", permissions=["secrets"])
    return keyring, bearer_token(reader), bearer_token(owner)


@asynccontextmanager
async def served(lamp: Lamp, **options: Any) -> AsyncIterator[str]:
    async with (
        mcp_server(lamp.dispatcher, allow=["*"]) as assistant,
        assistant.serve_http(ANYWHERE, **options) as urls,
    ):
        yield urls[0]


@asynccontextmanager
async def client_of(url: str, token: str | None = None, **options: Any) -> AsyncIterator[Client]:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=SECONDS) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, cache=None, **options) as client:
            yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_are_called_over_http(mode: str) -> None:
    lamp = Lamp()
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with served(lamp) as url, client_of(url, mode=mode) as client:
        assert "lamp_get" in await tools_of(client)
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.tools.list_changed is True
        assert await call(client, "lamp_set", to=33) == (False, "33")
        await client.call_tool("items", {"count": 2}, progress_callback=note)
    assert lamp.level == 33
    assert seen == [1.0, 2.0]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"authorization": "Bearer nonsense"}, 200),
        ({}, 200),
    ],
    ids=str,
)
async def test_pages_of_others_and_other_names_may_not_ask(
    headers: dict[str, str], status: int
) -> None:
    async with served(Lamp()) as url, httpx2.AsyncClient() as http:
        answer = await http.post(url, json=HELLO, headers=ACCEPT | headers)
        assert answer.status_code == status


async def test_keys_say_who_comes_and_what_they_may_do(tmp_path: Path) -> None:
    keyring, reader, owner = keyring_in(tmp_path)
    async with (
        served(Lamp(), keyring=keyring, strangers=False) as url,
        httpx2.AsyncClient() as http,
    ):
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = await http.post(url, json=HELLO, headers=ACCEPT | headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        async with client_of(url, reader) as client:
            assert "lamp_private" not in await tools_of(client)
            assert (await call(client, "lamp_private"))[0]
        async with client_of(url, owner) as client:
            assert "lamp_private" in await tools_of(client)
            assert await call(client, "lamp_private") == (False, "20")
            async with client_of(url, reader) as other:
                assert "lamp_private" not in await tools_of(other)


async def test_a_session_is_for_the_key_that_began_it(tmp_path: Path) -> None:
    keyring, reader, owner = keyring_in(tmp_path)
    async with (
        served(Lamp(), keyring=keyring, strangers=False) as url,
        httpx2.AsyncClient() as http,
    ):
        mine = {"authorization": f"Bearer {owner}"}
        answer = await http.post(url, json=HELLO, headers=ACCEPT | mine)
        session = {"mcp-session-id": answer.headers["mcp-session-id"]}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        theirs = {"authorization": f"Bearer {reader}"}
        answers = [
            await http.post(url, json=ping, headers=ACCEPT | session | each)
            for each in (theirs, mine)
        ]
        assert [each.status_code for each in answers] == [404, 200]


async def test_a_key_that_is_revoked_ends_its_calls(tmp_path: Path) -> None:
    keyring, _, owner = keyring_in(tmp_path)
    lamp = Lamp()
    async with served(lamp, keyring=keyring, strangers=False) as url, httpx2.AsyncClient() as http:
        headers = ACCEPT | {"authorization": f"Bearer {owner}"}
        answer = await http.post(url, json=HELLO, headers=headers)
        headers |= {"mcp-session-id": answer.headers["mcp-session-id"]}
        params = {"name": "hold", "arguments": {}}
        calling = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                answer = await http.post(url, json=calling, headers=headers, timeout=SECONDS)
                assert "result" not in answer.text

            tasks.start_soon(ask)
            await lamp.began.reach(1)
            keyring.revoke("owner")
        assert (await http.post(url, json=HELLO, headers=headers)).status_code == 401


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "http://127.0.0.1:0/mcp?nonsense=1"])
async def test_other_urls_are_refused(url: str) -> None:
    async with mcp_server(Lamp().dispatcher) as assistant:
        with pytest.raises(UsageError):
            async with assistant.serve_http(url):
                pass
