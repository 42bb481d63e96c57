"""Who is at the other end: what the keyring says, what a hook says, and what strangers may do."""

import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import (
    Busy,
    CallTimeout,
    Channel,
    ChannelClosed,
    Context,
    Dispatcher,
    Forbidden,
    Keyring,
    Limits,
    Principal,
    Unauthorized,
    connect,
    serve,
)
from jsonrpc_iot.trust.keyring import bearer_token
from jsonrpc_iot.trust.keys import key_text
from tests.rig import ANYWHERE, Raw
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

# Where a token comes by a message, as there is a connection that remembers it.
LASTING = [
    ANYWHERE,
    "udp://127.0.0.1:0",
    "memory://lamp",
    pytest.param("ws://127.0.0.1:0/rpc", marks=pytest.mark.only_on("asyncio")),
]


def lamp() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method(requires="switch")
    def switch() -> str:
        return "switched"

    @dispatcher.method
    async def who(context: Context) -> list[Any] | None:
        principal = context.principal
        return None if principal is None else [principal.name, principal.proof]

    @dispatcher.method
    def look() -> str:
        return "seen"

    @dispatcher.method(requires="switch")
    async def stay() -> None:
        await anyio.sleep_forever()

    return dispatcher


class Keys:
    """A keyring's file with a peer that may switch, and one that may not."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self.path = path
        self.keyring = Keyring(path)
        self.app_key = self.keyring.add("app", permissions=["switch"])
        self.app = bearer_token(self.app_key)
        self.monitor = bearer_token(self.keyring.add("monitor"))

    def write(self, text: str) -> None:
        """Put a new file in its place, as somebody else does."""
        new = self.path.with_name("new")
        new.touch(mode=0o600)
        new.write_text(text)
        new.rename(self.path)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.toml")


async def prove(client: Any, token: str) -> None:
    assert await client.call("rpc.authenticate", {"token": token}) is True


@pytest.mark.parametrize("url", LASTING)
async def test_a_token_in_a_message_proves_who_it_is(url: str, keys: Keys) -> None:
    async with (
        serve(lamp(), url, keyring=keys.keyring) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("who") is None
        with pytest.raises(Unauthorized):
            await client.call("switch")
        assert "switch" not in await client.call("rpc.methods")
        await prove(client, keys.app)
        assert await client.call("who") == ["app", "token"]
        assert await client.call("switch") == "switched"
        assert "switch" in await client.call("rpc.methods")
        (peer,) = server.peers
        assert peer.principal == Principal("app", frozenset({"switch"}), "token")
        await prove(client, keys.monitor)
        with pytest.raises(Forbidden):
            await client.call("switch")
        with pytest.raises(Unauthorized):
            await prove(client, keys.app[:-1])
        assert await client.call("who") == ["monitor", "token"]


async def test_what_comes_behind_a_token_is_judged_by_it(keys: Keys) -> None:
    async with (
        serve(lamp(), ANYWHERE, keyring=keys.keyring, strangers=False) as server,
        Raw.to(server.urls[0]) as far,
    ):
        proof = b'{"id":1,"method":"rpc.authenticate","params":{"token":"%s"}}'
        await far.send(proof % keys.app.encode(), b'{"id":2,"method":"switch"}')
        assert await far.receive() == {"id": 1, "result": True}
        assert await far.receive() == {"id": 2, "result": "switched"}


async def test_nobody_has_a_token_where_there_is_no_keyring() -> None:
    async with serve(lamp(), ANYWHERE) as server, connect(server.urls[0]) as client:
        with pytest.raises(Unauthorized):
            await prove(client, "a token")


@pytest.mark.parametrize("url", LASTING)
async def test_strangers_can_be_kept_out(url: str, keys: Keys) -> None:
    dispatcher, heard = lamp(), Tally()
    dispatcher.notification("tell")(heard.add)
    async with (
        serve(dispatcher, url, keyring=keys.keyring, strangers=False) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("rpc.ping") is True
        for method in ("look", "switch", "who", "rpc.methods", "rpc.discover", "no.such"):
            with pytest.raises(Unauthorized):
                await client.call(method)
        await client.notify("tell", ["a"])
        async with client.batch() as batch:
            pong, look = batch.call("rpc.ping"), batch.call("look")
        assert pong.result() is True
        with pytest.raises(Unauthorized):
            look.result()
        assert heard.items == []
        assert server.broadcast("news") == 0


@pytest.mark.parametrize("url", LASTING)
async def test_strangers_hear_nothing_until_they_are_known(url: str, keys: Keys) -> None:
    async with (
        serve(lamp(), url, keyring=keys.keyring, strangers=False) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("rpc.ping") is True
        (peer,) = server.peers
        async with client.notifications() as news:
            await peer.notify("secret")
            assert server.broadcast("secret") == 0
            await prove(client, keys.monitor)
            assert server.broadcast("news", requires="switch") == 0
            assert server.broadcast("news") == 1
            with anyio.fail_after(SECONDS):
                assert (await news.receive()).method == "news"


async def test_a_program_may_know_better(keys: Keys) -> None:
    async with (
        serve(lamp(), ANYWHERE, keyring=keys.keyring, strangers=False) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("rpc.ping") is True
        server.peers[0].become(Principal("button", {"*"}))
        assert await client.call("switch") == "switched"
        assert await client.call("who") == ["button", "hook"]


async def test_a_star_stands_for_all_permissions() -> None:
    async with (
        serve(lamp(), ANYWHERE, authenticate=lambda channel: ["*"]) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("switch") == "switched"
        name, proof = await client.call("who")
        assert name.startswith("tcp://127.0.0.1:")
        assert proof == "hook"
        assert server.broadcast("news", requires="anything") == 1


async def test_a_hook_sees_what_is_proved_and_has_the_last_word(keys: Keys) -> None:
    def judge(channel: Channel) -> Principal | None:
        principal = channel.principal
        if principal is not None and principal.name == "monitor":
            return Principal("monitor", {"switch"})
        return None

    async with (
        serve(lamp(), ANYWHERE, keyring=keys.keyring, authenticate=judge) as server,
        connect(server.urls[0]) as client,
    ):
        with pytest.raises(Unauthorized):
            await prove(client, keys.app)
        await prove(client, keys.monitor)
        assert await client.call("switch") == "switched"


@pytest.mark.parametrize(
    "url",
    [
        *LASTING,
        pytest.param("http://127.0.0.1:0/rpc", marks=pytest.mark.only_on("asyncio")),
    ],
)
async def test_a_hook_refuses_with_a_reason(url: str, caplog: pytest.LogCaptureFixture) -> None:
    def judge(channel: Channel) -> None:
        raise Forbidden("The bill is not paid", data={"until": 2027})

    async with serve(lamp(), url, authenticate=judge) as server, connect(server.urls[0]) as client:
        with pytest.raises(Forbidden, match="The bill is not paid") as refused:
            await client.call("look")
        assert refused.value.data == {"until": 2027}
        assert server.broadcast("news") == 0
    assert "The bill is not paid" in caplog.text
    assert {record.name for record in caplog.records} == {"jsonrpc_iot.audit"}


@pytest.mark.parametrize(
    ("options", "is_warned"),
    [
        (lambda keys: {}, True),
        (lambda keys: {"keyring": keys.keyring}, True),
        (lambda keys: {"keyring": keys.keyring, "strangers": False}, False),
        (lambda keys: {"authenticate": lambda channel: None}, False),
    ],
    ids=["nothing", "keyring", "no strangers", "hook"],
)
async def test_an_exposed_address_is_warned_of(
    options: Callable[[Keys], dict[str, Any]],
    is_warned: bool,
    keys: Keys,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "jsonrpc_iot.server"):
        async with serve(lamp(), "udp://0.0.0.0:0", **options(keys)):
            pass
    assert ("nobody has to authenticate" in caplog.text) is is_warned


async def test_refusals_are_in_the_audit_log(keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serve(lamp(), "memory://lamp", keyring=keys.keyring) as server,
        connect(server.urls[0]) as client,
    ):
        for method, params in (("switch", None), ("rpc.authenticate", ["nonsense"])):
            with pytest.raises(Unauthorized):
                await client.call(method, params)
        await prove(client, keys.monitor)
        with pytest.raises(Forbidden):
            await client.call("switch")
    audit = [each.getMessage() for each in caplog.records if each.name == "jsonrpc_iot.audit"]
    assert ["a stranger" in audit[0], "token" in audit[1], "monitor (by token)" in audit[2]] == [
        True
    ] * 3
    assert "nonsense" not in caplog.text


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="pipes have users on Unix alone")
async def test_the_user_of_a_pipe_is_known(keys: Keys, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/lamp.sock"
    user = f'[uids.{os.getuid()}]\npermissions = ["switch"]\n'
    keys.write(user)
    keys.keyring.refresh(force=True)
    async with serve(lamp(), url, keyring=keys.keyring, strangers=False) as server:
        async with connect(url) as client:
            assert await client.call("who") == [str(os.getuid()), "uid"]
            assert await client.call("switch") == "switched"
            keys.write("")
            with anyio.fail_after(SECONDS):
                await eventually(lambda: not server.peers)
        async with connect(url) as client:
            with pytest.raises(Unauthorized):
                await client.call("look")


@pytest.mark.parametrize("url", [ANYWHERE, "udp://127.0.0.1:0", "memory://lamp"])
async def test_the_key_of_a_sealed_link_is_a_proof(
    url: str, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMP_KEY", key_text(keys.app_key))
    async with (
        serve(lamp(), url, keyring=keys.keyring, strangers=False) as server,
        connect(f"{server.urls[0]}?psk=env:LAMP_KEY") as client,
        connect(server.urls[0]) as stranger,
    ):
        assert await client.call("who") == ["app", "key"]
        assert await client.call("switch") == "switched"
        with pytest.raises(Unauthorized):
            await stranger.call("switch")
        text = keys.path.read_text()
        keys.write(text.replace("switch", "look"))
        (peer,) = [each for each in server.peers if each.principal]
        await eventually(lambda: not peer.standing.permits("switch"))
        with pytest.raises(Forbidden):
            await client.call("switch")
        keys.keyring.revoke("app")
        with anyio.fail_after(SECONDS):
            await eventually(lambda: peer not in server.peers)
        with pytest.raises((ChannelClosed, CallTimeout, Unauthorized)):
            await client.call("look", timeout=1)


async def test_strangers_take_no_room_from_a_principal_of_their_network() -> None:
    limits = Limits(remembered=16)
    seen: list[str] = []

    def judge(channel: Channel) -> Principal | None:
        seen.append(channel.info.peer)
        return Principal("app", (), "token") if len(seen) == 1 else None

    async with (
        serve(lamp(), "udp://127.0.0.1:0", authenticate=judge, limits=limits) as server,
        connect(server.urls[0]) as app,
        AsyncExitStack() as stack,
    ):
        assert await app.call("rpc.ping") is True  # which is not remembered
        strangers = [await stack.enter_async_context(connect(server.urls[0])) for _ in range(4)]
        refused = 0
        for stranger in strangers:
            for _ in range(limits.remembered):
                try:
                    await stranger.call("look")
                except Busy:
                    refused += 1
                    break
        assert refused == len(strangers)
        assert await app.call("look") == "seen"


async def test_requests_that_are_refused_take_no_room(keys: Keys) -> None:
    async with (
        serve(lamp(), "udp://127.0.0.1:0", keyring=keys.keyring, strangers=False) as server,
        connect(server.urls[0]) as stranger,
    ):
        left = server._house.budget.entries
        for method in ("look", "stay"):
            with pytest.raises(Unauthorized):
                await stranger.call(method)
        assert server._house.budget.entries == left


async def test_permissions_that_nobody_can_have_are_warned_of(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(lamp(), "memory://guarded", keyring=keys.keyring):
        assert "nobody may call" not in caplog.text
    async with serve(lamp(), "memory://shut"):
        (said,) = [each for each in caplog.messages if "nobody may call" in each]
    assert said.startswith("switch, stay: nobody may call what requires a permission")
