"""Pairing over every kind of transport: in small messages, by strangers too, on bad links."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import (
    Client,
    Context,
    Dispatcher,
    Forbidden,
    Keyring,
    MethodNotFound,
    Server,
    Unauthorized,
    connect,
    serve,
)
from jsonrpc_iot.protocol.messages import Dialect
from jsonrpc_iot.testing import Faults, LossyLink
from jsonrpc_iot.trust.keyring import key_id
from jsonrpc_iot.trust.pairing import Pairing, pair
from tests.brokers import mosquitto, new_topic
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

CODE = "1234-5678"
MOST_BYTES = 200

URLS = [
    "memory://pairing",
    "pipe://pairing?dir={folder}",
    "tcp://127.0.0.1:0",
    "udp://127.0.0.1:0",
    pytest.param("http://127.0.0.1:0/rpc", marks=pytest.mark.only_on("asyncio")),
    pytest.param("ws://127.0.0.1:0/rpc", marks=pytest.mark.only_on("asyncio")),
    pytest.param("mqtt", marks=pytest.mark.only_on("asyncio")),
    pytest.param("uart+pty://", marks=pytest.mark.only_on("asyncio")),
    pytest.param("tuya-dp+pty://?role=mcu&gap=0", marks=pytest.mark.only_on("asyncio")),
    pytest.param("tuya-dp+pty://?role=mcu&gap=0&buffer=256", marks=pytest.mark.only_on("asyncio")),
]


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    return Keyring(path)


@pytest.fixture
def pairing(keyring: Keyring) -> Pairing:
    made = Pairing(keyring, CODE, ["*"])
    made.open()
    return made


async def paired(client: Client, code: str = CODE, name: str = "app") -> bytes:
    call = partial(client.call, "rpc.pair", result=dict[str, str], idempotent=True)
    return await pair(call, code, name)


@asynccontextmanager
async def device(url: str, pairing: Pairing, *, strangers: bool = True) -> AsyncIterator[Server]:
    async with serve(Dispatcher(), url, pairing=pairing, strangers=strangers, grace=0) as server:
        yield server


@pytest.mark.parametrize("dialect", ["iot", "jsonrpc2"])
@pytest.mark.parametrize("url", URLS)
async def test_a_stranger_gets_a_key_over_small_messages(
    pairing: Pairing, keyring: Keyring, tmp_path: Path, url: str, dialect: Dialect
) -> None:
    sizes = []

    def trace(direction: str, message: bytes) -> None:
        if message.startswith(b"{"):
            sizes.append(len(message))

    if url == "mqtt":
        url = mosquitto().url(topic=new_topic())
    name = "the longest name that there is: sixty-four bytes and not a byte "[:63] + "!"
    with anyio.fail_after(SECONDS):
        async with (
            device(url.format(folder=tmp_path), pairing, strangers=False) as server,
            connect(server.urls[0], trace=trace, dialect=dialect) as client,
        ):
            with pytest.raises(Unauthorized):
                await client.call("rpc.methods")
            with pytest.raises(Unauthorized, match="Wrong code"):
                await paired(client, "1234-5679")
            key = await paired(client, name=name)
            with pytest.raises(Forbidden, match="not open"):
                await paired(client, name="another")
    shared = keyring.by_key_id(key_id(key))
    assert shared is not None
    assert shared.principal.name == name
    assert max(sizes) <= MOST_BYTES


@pytest.mark.only_on("asyncio")
async def test_both_steps_may_come_over_connections_of_their_own(pairing: Pairing) -> None:
    async with device("http://127.0.0.1:0/rpc", pairing) as server:

        async def call(params: dict[str, str]) -> dict[str, str]:
            async with connect(server.urls[0]) as client:
                result: dict[str, str] = await client.call("rpc.pair", params)
                return result

        await pair(call, CODE, "app")


async def test_the_new_key_counts_at_once_and_without_another_keyring(pairing: Pairing) -> None:
    from jsonrpc_iot.trust.keyring import bearer_token

    dispatcher = Dispatcher()

    @dispatcher.method(requires="wifi")
    def who(context: Context) -> str:
        assert context.principal is not None
        return context.principal.name

    async with (
        serve(dispatcher, "memory://pairing", pairing=pairing) as server,
        connect(server.urls[0]) as client,
    ):
        with pytest.raises(Unauthorized):
            await client.call("who")
        key = await paired(client)
        await client.call("rpc.authenticate", {"token": bearer_token(key)})
        assert await client.call("who") == "app"


@pytest.mark.parametrize("url", ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"])
async def test_the_new_key_seals_where_the_pairing_has_the_only_keyring(
    pairing: Pairing, tmp_path: Path, url: str
) -> None:
    file = tmp_path / "app.key"
    with anyio.fail_after(SECONDS):
        async with device(url, pairing, strangers=False) as server:
            async with connect(server.urls[0]) as stranger:
                file.write_text(b64encode(await paired(stranger)).decode(), encoding="ascii")
            async with connect(f"{server.urls[0]}?psk=file:{file}") as client:
                assert "rpc.methods" in await client.call("rpc.methods")


async def test_a_link_that_loses_and_doubles_pairs_once(pairing: Pairing, keyring: Keyring) -> None:
    link = LossyLink(Faults(drop=0.3, duplicate=0.3, reorder=0.3), seed=5)
    with anyio.fail_after(SECONDS):
        async with (
            serve(Dispatcher(), link.server, pairing=pairing, grace=0),
            connect(link.client, timeout=None) as client,
        ):
            key = await paired(client)
    assert keyring.by_key_id(key_id(key)) is not None
    assert keyring.path.read_text().count("[peers.") == 1
    assert not pairing.is_open


async def test_who_does_not_pair_has_no_such_method(pairing: Pairing) -> None:
    dispatcher = Dispatcher()
    async with serve(dispatcher, "memory://plain") as server, connect(server.urls[0]) as client:
        assert "rpc.pair" not in await client.call("rpc.methods")
        with pytest.raises(MethodNotFound):
            await paired(client)
        async with (
            serve(dispatcher, "memory://pairing", pairing=pairing) as other,
            connect(other.urls[0]) as stranger,
        ):
            assert "rpc.pair" in await stranger.call("rpc.methods")
            await paired(stranger)
            pairing.open()
            with pytest.raises(MethodNotFound, match="nobody is paired here"):
                await paired(client)
