"""Lines that plain and sealed ends share, and connections that are one or the other."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import Channel, Server, connect, serve
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.protocol.seal.client import ClientSeal
from jsonrpc_iot.protocol.seal.packets import BASE64
from jsonrpc_iot.testing import memory_pair
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.sealed import link
from jsonrpc_iot.transports.sealed.client import SealedChannel
from jsonrpc_iot.transports.sealed.greeting import sealed_channel
from jsonrpc_iot.transports.sealed.link import admit
from jsonrpc_iot.trust.crypto import Primitives
from tests.waiting import SECONDS

from .rig import KEYS, Device, Ring, joined, option

pytestmark = pytest.mark.anyio

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


@asynccontextmanager
async def serving(device: Device, url: str) -> AsyncIterator[Server]:
    with anyio.fail_after(SECONDS):
        async with serve(device.dispatcher, url, grace=0) as server:
            yield server


async def exchange(channel: Channel, **message: object) -> dict[str, object]:
    await channel.send(json.dumps(message).encode())
    answer: dict[str, object] = json.loads(await channel.receive())
    return answer


@pytest.mark.only_on("asyncio")
async def test_plain_and_sealed_ends_by_turns_on_one_line(tmp_path: Path) -> None:
    device = Device()
    async with serving(device, f"uart+pty://?{option(tmp_path)}") as server:
        sealed = server.urls[0]
        plain = sealed.partition("?")[0]
        for _ in range(2):
            async with connect(plain) as client:
                assert await client.call("who") is None
            async with connect(sealed) as client:
                assert await client.call("who") == "psk"
        assert len(server.peers) == 3  # the line itself, and two clients


@pytest.mark.only_on("asyncio")
async def test_both_at_once_on_one_line(tmp_path: Path) -> None:
    """What a plain end sends in the midst of a sealed call is a stranger's."""
    device = Device()
    async with serving(device, f"uart+pty://?{option(tmp_path)}") as server:
        channel = await open_channel(server.urls[0])
        assert isinstance(channel, SealedChannel)
        async with channel:
            answer = await exchange(channel, id=1, method="who")
            assert answer == {"id": 1, "result": "psk"}
            await channel._inner.send(b'{"id":2,"method":"note","params":["plain"]}')
            await channel._inner.send(b'{"id":3,"method":"secret"}')
            answers = [json.loads(await channel._inner.receive()) for _ in range(2)]
            assert answers[0] == {"id": 2, "result": 1}
            assert answers[1]["error"]["code"] == -32005
            assert (await exchange(channel, id=4, method="secret"))["result"] == "42"


@pytest.mark.only_on("asyncio")
async def test_datapoints_go_on_beside_sealed_messages(tmp_path: Path) -> None:
    device = Device()
    async with (
        serving(device, f"tuya-dp+pty://?gap=0&{option(tmp_path)}") as server,
        connect(server.urls[0]) as client,
    ):
        assert client.info.max_message is not None
        assert client.info.max_message >= 175
        assert await client.call("note", ["x" * 120]) == 1
        (line,) = [peer for peer in server.peers if not peer.info.is_sealed]
        await line.notify("tuya.datapoint", {"id": 1, "type": "bool", "value": True})
        assert await client.call("note", ["y"]) == 1


@asynccontextmanager
async def admitted() -> AsyncIterator[tuple[SealedChannel, Channel, Channel]]:
    """A sealed client, what carries its packets, and the server's end."""
    inner, there = memory_pair()
    served: list[Channel | None] = []

    async def let_in() -> None:
        served.append(await admit(there, Primitives(), Ring().find, BASE64))

    with anyio.fail_after(SECONDS):
        key = next(each for each in Ring().keys.values() if each.key == KEYS["app"])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(let_in)
            channel = await sealed_channel(
                inner, Url.parse("tcp://127.0.0.1:1"), Primitives(), key, None
            )
        (server,) = served
        assert server is not None
        async with channel, server:
            yield channel, inner, server


async def test_a_connection_goes_both_ways() -> None:
    async with admitted() as (client, _, server):
        assert server.principal is not None
        assert server.principal.name == "app"
        await client.send_batch([b"[1]", b"[2]"])
        assert [await server.receive(), await server.receive()] == [b"[1]", b"[2]"]
        await server.send(b"[3]")
        assert await client.receive_batch() == [b"[3]"]


@pytest.mark.parametrize("wrong", ["plain", "changed", "again", "missing"])
@pytest.mark.parametrize("to_server", [True, False])
async def test_a_connection_ends_when_something_is_wrong_with_it(
    *, wrong: str, to_server: bool
) -> None:
    async with admitted() as (client, _, server):
        if not to_server and wrong == "plain":
            return  # clients let pass by what is not sealed
        here, there = (client, server) if to_server else (server, client)
        await here.send(b"[1]")
        assert await there.receive() == b"[1]"
        packet = here._packet(b"[2]")  # type: ignore[attr-defined]
        sent = {
            "plain": [b'{"id":1,"method":"secret"}'],
            "changed": [packet[:-3] + (b"AA=" if packet[-3:] != b"AA=" else b"BA=")],
            "again": [packet, packet],
            "missing": [here._packet(b"[3]")],  # type: ignore[attr-defined]
        }[wrong]
        for each in sent:
            await here._inner.send(each)  # type: ignore[attr-defined]
        if wrong == "again":
            assert await there.receive() == b"[2]"
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError, match="was changed, or is missing"):
                await there.receive()


async def test_whoever_says_hello_and_no_more_is_not_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_PROOF_SECONDS", 0.05)
    here, there = memory_pair()
    seal = ClientSeal(Primitives(), KEYS["app"], bytes(8), retry_seconds=1, in_order=True)
    seal.begin(0)
    async with here, there:
        await here.send(BASE64.wrap(seal.poll(0)[0]))
        assert await admit(there, Primitives(), Ring().find, BASE64) is None


async def test_hellos_again_and_again_keep_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can send one that they have recorded, and it gets a welcome."""
    monkeypatch.setattr(link, "_PROOF_SECONDS", 0.3)
    here, there = memory_pair()
    seal = ClientSeal(Primitives(), KEYS["app"], bytes(8), retry_seconds=1, in_order=True)
    seal.begin(0)
    hello = BASE64.wrap(seal.poll(0)[0])

    async def repeat() -> None:
        while True:
            await here.send(hello)
            await here.receive()
            await anyio.sleep(0.05)

    async with here, there, anyio.create_task_group() as tasks:
        tasks.start_soon(repeat)
        with anyio.fail_after(SECONDS):
            assert await admit(there, Primitives(), Ring().find, BASE64) is None
        tasks.cancel_scope.cancel()


async def test_a_silent_connection_is_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_FIRST_SECONDS", 0.05)
    here, there = memory_pair()
    async with here, there:
        channel = await admit(there, Primitives(), Ring().find, BASE64)
        assert channel is not None
        assert channel.principal is None
        await channel.send(b'{"method":"pushed"}')
        assert await here.receive() == b'{"method":"pushed"}'


async def test_the_first_messages_of_a_plain_connection_are_not_lost() -> None:
    here, there = memory_pair()
    async with here, there:
        await here.send_batch([b"[1]", b"[2]", b"[3]"])
        channel = await admit(there, Primitives(), Ring().find, BASE64)
        assert channel is not None
        assert await channel.receive() == b"[1]"
        assert await channel.receive_batch() == [b"[2]", b"[3]"]
        await here.send(b"[4]")
        assert await channel.receive() == b"[4]"


async def test_junk_that_looks_sealed_is_answered_as_junk(tmp_path: Path) -> None:
    async with (
        serving(Device(), joined("tcp://127.0.0.1:0", option(tmp_path))) as server,
        await open_channel(server.urls[0].partition("?")[0]) as channel,
    ):
        await channel.send(b"!this is no Base64")
        assert json.loads(await channel.receive())["error"]["code"] == -32700
        assert (await exchange(channel, id=1, method="who"))["result"] is None


async def test_whoever_hangs_up_at_once_is_forgotten(tmp_path: Path) -> None:
    async with serving(Device(), joined("tcp://127.0.0.1:0", option(tmp_path))) as server:
        for _ in range(3):
            channel = await open_channel(server.urls[0].partition("?")[0])
            await channel.aclose()
        async with connect(server.urls[0]) as client:
            assert await client.call("who") == "psk"
            assert len(server.peers) == 1
