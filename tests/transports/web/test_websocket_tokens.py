"""WebSockets whose other end shows a token, as programs do and as pages can."""

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from jsonrpc_iot import Channel, Principal, connect, serve
from tests.server.test_principals import Keys, keys, lamp
from tests.waiting import SECONDS, Tally, eventually

from .websocket_frames import HERE, frame, needs_asyncio, upgrade, upgraded

__all__ = ["keys"]

pytestmark = [pytest.mark.anyio, needs_asyncio]

PROTOCOL = "Sec-WebSocket-Protocol"
WHO = frame(1, b'{"id":1,"method":"who"}')


async def answer_to(url: str, headers: dict[str, str] | bytes) -> bytes:
    """All that a server says first to a request for a WebSocket."""
    parts = urlsplit(url)
    if isinstance(headers, bytes):
        request = upgrade(url)[:-2] + headers + b"\r\n"
    else:
        request = upgrade(url, **headers)
    with anyio.fail_after(SECONDS):
        async with await anyio.connect_tcp(parts.hostname or "", parts.port or 0) as stream:
            await stream.send(request)
            said = b""
            while b"\r\n\r\n" not in said:
                said += await stream.receive()
            if b" 101 " not in said:  # then it closes
                while True:
                    try:
                        said += await stream.receive()
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        break
            return said


async def result_of(stream: Any) -> Any:
    """What the next frame brings."""
    data = await stream.receive()
    message = json.loads(data[data.index(b"{") :])
    return message.get("result", message.get("error"))


@pytest.mark.parametrize("strangers", [True, False])
async def test_a_page_shows_a_token_as_a_subprotocol(
    keys: Keys, strangers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    offered = {PROTOCOL: f"jsonrpc-iot, token.{keys.app}"}
    async with serve(lamp(), HERE, keyring=keys.keyring, strangers=strangers) as server:
        said = await answer_to(server.urls[0], offered)
        assert said.lower().count(b"sec-websocket-protocol: jsonrpc-iot\r\n") == 1
        assert keys.app.encode() not in said
        async with upgraded(server.urls[0], **offered) as stream:
            await stream.send(WHO)
            assert await result_of(stream) == ["app", "token"]
            keys.keyring.revoke("app")
            said = b""
            with anyio.fail_after(1):
                while b"\x03\xf0The key is no longer valid" not in said:  # 1008
                    said += await stream.receive()
    assert keys.app not in caplog.text


@pytest.mark.parametrize("strangers", [True, False])
async def test_a_wrong_token_refuses_the_handshake(
    keys: Keys, strangers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for wrong in (keys.app[:-1], keys.app + "x", "", "x" * 7000, "caf\xe9", "a b", "\x01", '"'):
        for name, value in (
            (PROTOCOL, f"jsonrpc-iot, token.{wrong}"),
            ("Authorization", f"Bearer {wrong}"),
        ):
            if wrong == "\x01" and name == "Authorization":
                continue  # which h11 takes for no header
            caplog.clear()
            header = f"{name}: {value}\r\n".encode("latin-1")
            # A server of its own for each, since one that is tried again and again answers late.
            async with serve(lamp(), HERE, keyring=keys.keyring, strangers=strangers) as server:
                said = await answer_to(server.urls[0], header)
                assert not server.peers
            assert said.split()[1] in (b"401", b"400"), (name, wrong[:9])
            assert len(wrong) < 4 or wrong not in said.decode("latin-1") + caplog.text
            if said.split()[1] == b"401":
                assert b"www-authenticate: Bearer\r\n" in said
                assert said.endswith(b"Nobody has that token\n")
                assert "proof by token was refused: nobody has it" in caplog.text


async def test_which_subprotocol_is_chosen(keys: Keys) -> None:
    async with serve(lamp(), HERE, keyring=keys.keyring) as server:
        for offered, chosen in (
            ("jsonrpc", b"jsonrpc"),
            ("jsonrpc, jsonrpc-iot", b"jsonrpc-iot"),
            (f"token.{keys.app} , jsonrpc-iot", b"jsonrpc-iot"),
            (f"token.{keys.app}", None),
            ("other", None),
        ):
            said = await answer_to(server.urls[0], {PROTOCOL: offered})
            assert said.split()[1] == b"101"
            found = [each for each in said.split(b"\r\n") if b"rotocol:" in each]
            expected = [] if chosen is None else [b"Sec-WebSocket-Protocol: " + chosen]
            assert [each.lower() for each in found] == [each.lower() for each in expected]


async def test_the_token_of_a_url_may_be_a_subprotocol(keys: Keys, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("boss")
    url = f"{HERE}?token=file:{secret}"
    async with serve(lamp(), url, keyring=keys.keyring) as server:
        async with upgraded(server.urls[0], **{PROTOCOL: "jsonrpc-iot, token.boss"}) as stream:
            await stream.send(WHO)
            assert await result_of(stream) is None
            proof = json.dumps({"id": 2, "method": "rpc.authenticate", "params": [keys.app]})
            await stream.send(frame(1, proof.encode()))
            assert await result_of(stream) is True
        for wrong in ("token.bos", f"token.{keys.app}", "token.caf\xe9", "jsonrpc-iot"):
            more = f"{PROTOCOL}: {wrong}\r\n".encode("latin-1")
            assert (await answer_to(server.urls[0], more)).split()[1] == b"401"


async def test_the_first_message_of_a_page_may_be_its_token(keys: Keys) -> None:
    async with (
        serve(lamp(), HERE, keyring=keys.keyring, strangers=False) as server,
        upgraded(server.urls[0], **{PROTOCOL: "jsonrpc-iot"}) as stream,
    ):
        await stream.send(WHO)
        assert (await result_of(stream))["code"] == -32005
        proof = {"id": 2, "method": "rpc.authenticate", "params": {"token": keys.app}}
        await stream.send(frame(1, json.dumps(proof).encode()) + WHO)
        assert await result_of(stream) is True
        assert await result_of(stream) == ["app", "token"]


async def test_pages_from_elsewhere_may_not_connect_with_a_token_either(keys: Keys) -> None:
    offered = {PROTOCOL: f"jsonrpc-iot, token.{keys.app}"}
    async with serve(lamp(), f"{HERE}?cors=https://app.example", keyring=keys.keyring) as server:
        url = server.urls[0]
        for origin, status in (("https://evil.example", b"403"), ("https://app.example", b"101")):
            assert (await answer_to(url, {"Origin": origin, **offered})).split()[1] == status


async def test_what_comes_while_somebody_thinks_about_a_token_is_not_lost(keys: Keys) -> None:
    asked, gate = Tally(), anyio.Event()

    async def judge(channel: Channel) -> Principal | None:
        asked.add()
        await gate.wait()
        return channel.principal

    async with serve(lamp(), HERE, keyring=keys.keyring, authenticate=judge) as server:
        parts = urlsplit(server.urls[0])
        request = upgrade(server.urls[0], Authorization=f"Bearer {keys.app}")
        async with await anyio.connect_tcp(parts.hostname or "", parts.port or 0) as stream:
            await stream.send(request)
            await asked.reach(1)
            await stream.send(WHO)
            with anyio.move_on_after(0.05) as nothing:
                await stream.receive()
            assert nothing.cancelled_caught, "it was let in before anybody knew who it is"
            gate.set()
            said = b""
            with anyio.fail_after(SECONDS):
                while b'"result"' not in said:
                    said += await stream.receive()
            assert b" 101 " in said
            assert b'"result":["app","token"]' in said


async def test_a_key_that_is_revoked_meanwhile_lets_nobody_in(keys: Keys) -> None:
    asked, gate = Tally(), anyio.Event()

    async def judge(channel: Channel) -> Principal | None:
        asked.add()
        await gate.wait()
        return channel.principal

    async with serve(lamp(), HERE, keyring=keys.keyring, authenticate=judge) as server:
        statuses = Tally()

        async def come() -> None:
            said = await answer_to(server.urls[0], {"Authorization": f"Bearer {keys.app}"})
            statuses.add(said.split()[1])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(come)
            await asked.reach(1)
            keys.keyring.revoke("app")
            gate.set()
            await statuses.reach(1)
        assert statuses.items == [b"401"]


async def test_who_hangs_up_meanwhile_leaves_nothing_behind(keys: Keys) -> None:
    asked, gate = Tally(), anyio.Event()

    async def judge(channel: Channel) -> Principal | None:
        asked.add()
        await gate.wait()
        return channel.principal

    async with serve(lamp(), HERE, keyring=keys.keyring, authenticate=judge) as server:
        parts = urlsplit(server.urls[0])
        for goes in (True, False):
            async with await anyio.connect_tcp(parts.hostname or "", parts.port or 0) as stream:
                await stream.send(upgrade(server.urls[0]))
                await asked.reach(1)
                if goes:
                    await stream.aclose()
        gate.set()
        await eventually(lambda: not server.peers)
        async with connect(server.urls[0]) as there:
            assert await there.call("look") == "seen"
