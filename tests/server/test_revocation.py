"""What becomes of those who are connected when the keyring changes."""

import json
from contextlib import AsyncExitStack
from math import inf
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import (
    Channel,
    ChannelClosed,
    Client,
    Dispatcher,
    Forbidden,
    JsonRpcIotError,
    Principal,
    Server,
    Unauthorized,
    Url,
    connect,
    serve,
)
from jsonrpc_iot.trust.keys import key_text
from tests.rig import ANYWHERE, Raw
from tests.waiting import SECONDS, Tally, eventually

from .test_principals import LASTING, Keys, keys, lamp, prove

__all__ = ["keys"]

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("url", LASTING)
async def test_changed_permissions_hold_at_once(url: str, keys: Keys) -> None:
    async with (
        serve(lamp(), url, keyring=keys.keyring) as server,
        connect(server.urls[0]) as client,
    ):
        await prove(client, keys.monitor)
        with pytest.raises(Forbidden):
            await client.call("switch")
        text = keys.path.read_text()
        keys.write(text.replace("[peers.monitor]", '[peers.monitor]\npermissions = ["switch"]'))
        await eventually(lambda: server.peers[0].principal.permits("switch"))  # type: ignore[union-attr]
        assert await client.call("switch") == "switched"
        keys.write(text)
        await eventually(lambda: not server.peers[0].principal.permits("switch"))  # type: ignore[union-attr]
        with pytest.raises(Forbidden):
            await client.call("switch")


@pytest.mark.parametrize("url", LASTING)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_revoked_key_ends_its_channels(
    url: str, busy: bool, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = Tally()

    async def stay(client: Any) -> None:
        try:
            await client.call("stay", timeout=None)
        except JsonRpcIotError as error:
            outcome.add(error)

    async with (
        serve(lamp(), url, keyring=keys.keyring) as server,
        connect(server.urls[0]) as revoked,
        connect(server.urls[0]) as other,
        anyio.create_task_group() as tasks,
    ):
        await prove(revoked, keys.app)
        await prove(other, keys.monitor)
        (peer,) = [p for p in server.peers if p.principal and p.principal.name == "app"]
        if busy:
            tasks.start_soon(stay, revoked)
            await eventually(lambda: peer.is_busy)
        keys.keyring.revoke("app")
        with anyio.fail_after(1 if not busy else SECONDS):
            await eventually(lambda: peer not in server.peers)
        if busy:
            await outcome.reach(1)
            assert isinstance(outcome.items[0], Unauthorized)
            assert "no longer valid" in str(outcome.items[0])
        assert await other.call("who") == ["monitor", "token"]
        if url.startswith("udp"):  # where nothing ends: who comes again is a stranger
            assert await revoked.call("who") is None
        else:
            with pytest.raises(ChannelClosed):
                await revoked.call("who")
        tasks.cancel_scope.cancel()
    assert "app (by token) is not in the keyring any more" in caplog.text


async def test_a_revoked_key_disturbs_nobody_else(keys: Keys) -> None:
    tokens = [keys.app, keys.monitor] * 30
    failed: list[JsonRpcIotError] = []

    async def work(client: Client, name: str) -> None:
        while True:
            try:
                assert (await client.call("who"))[0] == name
            except JsonRpcIotError as error:
                if name == "monitor":
                    failed.append(error)
                return

    async with (
        serve(lamp(), ANYWHERE, keyring=keys.keyring) as server,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(connect(server.urls[0])) for _ in tokens]
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for client, token in zip(clients, tokens, strict=True):
            await prove(client, token)
            tasks.start_soon(work, client, "app" if token == keys.app else "monitor")
        keys.keyring.revoke("app")
        await eventually(lambda: len(server.peers) == 30)
        assert {each.principal.name for each in server.peers if each.principal} == {"monitor"}
        tasks.cancel_scope.cancel()
    assert failed == []


async def test_why_a_channel_ends_is_said(keys: Keys) -> None:
    async with (
        serve(lamp(), ANYWHERE, keyring=keys.keyring) as server,
        Raw.to(server.urls[0]) as far,
    ):
        proof = b'{"id":1,"method":"rpc.authenticate","params":{"token":"%s"}}'
        await far.send(proof % keys.app.encode())
        assert await far.receive() == {"id": 1, "result": True}
        keys.keyring.revoke("app")
        farewell = await far.receive()
        assert farewell["id"] is None
        assert farewell["error"]["code"] == -32005
        assert "no longer valid" in farewell["error"]["message"]


async def test_who_has_the_key_of_the_url_stays_whatever_the_keyring_says(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMP_KEY", key_text(bytes(range(32))))
    async with (
        serve(lamp(), f"{ANYWHERE}?psk=env:LAMP_KEY", keyring=keys.keyring) as server,
        connect(server.urls[0]) as owner,
        connect(server.urls[0].partition("?")[0]) as other,
    ):
        assert await owner.call("who") == ["psk", "key"]
        await prove(other, keys.app)
        keys.keyring.revoke("app")
        await eventually(lambda: other.state == "closed")
        assert await owner.call("switch") == "switched"


async def test_a_key_that_is_revoked_while_the_hook_thinks_is_worth_nothing(keys: Keys) -> None:
    async def judge(channel: Channel) -> Principal | None:
        if channel.principal is not None:
            keys.keyring.revoke(channel.principal.name)
        await anyio.lowlevel.checkpoint()
        return channel.principal

    async with (
        serve(lamp(), ANYWHERE, keyring=keys.keyring, authenticate=judge) as server,
        connect(server.urls[0]) as client,
    ):
        with pytest.raises(Unauthorized, match="no longer valid"):
            await prove(client, keys.app)
        assert await client.call("who") is None


@pytest.mark.only_on("asyncio")
async def test_a_web_socket_is_closed_with_the_reason(keys: Keys) -> None:
    async with (
        serve(lamp(), "ws://127.0.0.1:0/rpc", keyring=keys.keyring) as server,
        connect(server.urls[0]) as client,
    ):
        await prove(client, keys.app)
        keys.keyring.revoke("app")
        await eventually(lambda: client.state == "closed")
        with pytest.raises(ChannelClosed, match=r"1008.*The key is no longer valid"):
            await client.call("look")


def port_of(server: Server) -> int:
    return Url.parse(server.urls[0]).port or 0


async def test_who_comes_again_as_a_stranger_has_nothing_run_twice(keys: Keys) -> None:
    dispatcher, runs = Dispatcher(), Tally()
    dispatcher.method("open")(runs.add)
    async with (
        serve(dispatcher, "udp://127.0.0.1:0", keyring=keys.keyring) as server,
        await anyio.create_connected_udp_socket("127.0.0.1", port_of(server)) as far,
    ):
        server._ended._began = -inf  # it has been there for long, and knows all

        async def ask(id: int, method: str, *params: str, **more: object) -> Any:
            message = {"id": id, "method": method, "params": params, **more}
            await far.send(json.dumps(message).encode())
            with anyio.fail_after(SECONDS):
                while (answer := json.loads(await far.receive())).get("id") != id:
                    pass
            return answer

        assert (await ask(1, "rpc.authenticate", keys.app))["result"] is True
        assert (await ask(2, "open", retry=False))["result"] is None
        keys.keyring.revoke("app")
        await eventually(lambda: not server.peers)
        assert (await ask(2, "open", retry=True))["error"]["code"] == -32011
        assert len(runs.items) == 1
