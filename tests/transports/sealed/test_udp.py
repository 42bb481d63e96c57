"""Sealed sessions over UDP: what gets lost, doubled, forged and moved on the way."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import Client, ConnectFailed, Server, connect, serve
from jsonrpc_iot.client import client as client_module
from jsonrpc_iot.protocol.seal import client as seal_client
from jsonrpc_iot.transports.sealed import greeting
from jsonrpc_iot.transports.sealed.client import SealedChannel
from tests.waiting import SECONDS, eventually

from .rig import Device, Middle, joined, middle, option

pytestmark = pytest.mark.anyio

HELLO, WELCOME, DATA, UNKNOWN = 1, 2, 3, 4
ANYWHERE = "udp://127.0.0.1:0"


@asynccontextmanager
async def serving(device: Device, folder: Path, url: str = ANYWHERE) -> AsyncIterator[Server]:
    """Serve with one key, as somebody who has been listening for long."""
    with anyio.fail_after(SECONDS):
        async with serve(device.dispatcher, joined(url, option(folder)), grace=0) as server:
            server._ended._began -= 60
            yield server


@asynccontextmanager
async def between(
    folder: Path, *, reconnect: bool = False
) -> AsyncIterator[tuple[Device, Server, Middle, Client]]:
    """A device, its server, a man in the middle, and a client that has called once."""
    device = Device()
    async with (
        serving(device, folder) as server,
        middle(server.urls[0]) as man,
        connect(joined(man.url, option(folder)), reconnect=reconnect) as client,
    ):
        assert await client.call("who") == "psk"
        yield device, server, man, client


async def test_nothing_readable_is_on_the_way(tmp_path: Path) -> None:
    async with between(tmp_path) as (_, _, man, client):
        await client.call("note", ["a word that nobody else may know"])
        assert {packet[0] for packet, _ in man.seen} == {HELLO, WELCOME, DATA}
        everything = b"".join(packet for packet, _ in man.seen)
        assert b"note" not in everything
        assert b"know" not in everything


@pytest.mark.parametrize("kind", [HELLO, WELCOME])
async def test_a_lost_hello_or_welcome_is_made_up_for(kind: int, tmp_path: Path) -> None:
    device = Device()
    async with serving(device, tmp_path) as server, middle(server.urls[0]) as man:
        man.change = lambda packet, _: (
            [] if packet[0] == kind and man.count(kind) == 1 else [packet]
        )
        async with connect(joined(man.url, option(tmp_path))) as client:
            assert await client.call("who") == "psk"
        hellos = {packet for packet, _ in man.seen if packet[0] == HELLO}
        welcomes = {packet for packet, _ in man.seen if packet[0] == WELCOME}
        assert man.count(HELLO) == 2
        assert len(hellos) == len(welcomes) == 1
        assert len(server.peers) == 1


async def test_doubled_packets_and_a_late_hello_change_nothing(tmp_path: Path) -> None:
    async with between(tmp_path) as (device, server, man, client):
        man.change = lambda packet, _: [packet, packet]
        for key in range(5):
            assert await client.call("note", [key]) == 1
        for packet, to_server in tuple(man.seen):
            (man.to_server if to_server else man.to_client)(packet)
        assert await client.call("note", ["after"]) == 1
        assert device.ran == [*range(5), "after"]
        assert len(server.peers) == 1


async def test_the_address_moves_with_the_packets(tmp_path: Path) -> None:
    async with between(tmp_path) as (device, server, man, client):
        async with client.notifications("moved") as notes:
            man.rebind()
            assert await client.call("note", ["from elsewhere"]) == 1
            server.broadcast("moved", [1])
            await notes.receive()
        assert man.count(HELLO) == 1
        assert len(server.peers) == 1
        assert device.ran == ["from elsewhere"]


async def test_a_repeat_from_another_address_runs_once(tmp_path: Path) -> None:
    """The request arrives, and its answer does not; the next one comes from another address."""
    async with between(tmp_path) as (device, _, man, client):

        def lose_the_answer(packet: bytes, to_server: bool) -> list[bytes]:
            if to_server:
                return [packet]
            man.change = lambda packet, _: [packet]
            man.rebind()
            return []

        man.change = lose_the_answer
        assert await client.call("note", ["once"]) == 1
        assert device.ran == ["once"]


async def test_a_repeat_over_a_new_session_runs_once(tmp_path: Path) -> None:
    async with between(tmp_path) as (device, server, man, client):

        def lose_the_answer(packet: bytes, to_server: bool) -> list[bytes]:
            if to_server:
                return [packet]
            man.change = lambda packet, _: [packet]
            _seal(client).begin(anyio.current_time())
            return []

        man.change = lose_the_answer
        assert await client.call("note", ["once"]) == 1
        assert device.ran == ["once"]
        assert man.count(HELLO) == 2
        assert len(server.peers) == 1


async def test_a_restarted_server_is_known_again_within_a_call(tmp_path: Path) -> None:
    async with between(tmp_path) as (_, _, man, client):
        again = Device()
        async with serving(again, tmp_path) as restarted:
            man.lead_to(restarted.urls[0])
            assert await client.call("who") == "psk"
            assert await client.call("note", ["there"]) == 1
            assert again.ran == ["there"]
        assert man.count(UNKNOWN) >= 1


async def test_a_client_that_connects_again_keeps_its_seat(tmp_path: Path) -> None:
    async with between(tmp_path, reconnect=True) as (_, server, man, client):
        (peer,) = server.peers
        first = client._peer
        assert first is not None
        first._break()
        await eventually(lambda: client._peer not in (None, first))
        assert await client.call("who") == "psk"
        assert server.peers == (peer,)
        assert man.count(HELLO) == 2


async def test_a_restarted_client_is_another_one(tmp_path: Path) -> None:
    async with between(tmp_path) as (device, server, man, client):
        async with connect(joined(man.url, option(tmp_path))) as another:
            assert await another.call("note", ["x"]) == 1
            assert await client.call("note", ["x"]) == 2
        assert len(server.peers) == 2
        assert device.ran == ["x", "x"]


async def test_unknown_in_floods_fails_no_call(tmp_path: Path) -> None:
    async with between(tmp_path) as (device, _, man, client):
        forged = (
            b"\4" + next(packet for packet, there in man.seen if there and packet[0] == DATA)[1:5]
        )
        for key in range(50):
            for _ in range(20):
                man.to_client(forged)
            assert await client.call("note", [key]) == 1
        assert device.ran == [*range(50)]
        assert man.count(HELLO) <= 3


async def test_a_session_is_renewed_with_calls_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal_client, "RENEW_PACKETS", 20)
    async with between(tmp_path) as (device, server, man, client):
        async with anyio.create_task_group() as tasks:

            async def call(first: int) -> None:
                for key in range(first, first + 50):
                    assert await client.call("note", [key]) == 1

            for first in (0, 50, 100, 150):
                tasks.start_soon(call, first)
        assert sorted(map(str, device.ran)) == sorted(map(str, range(200)))
        assert man.count(HELLO) > 5
        assert len(server.peers) == 1


async def test_nobody_there_is_told_in_time(tmp_path: Path) -> None:
    begin = anyio.current_time()
    async with middle("udp://127.0.0.1:9") as man:
        man.change = lambda packet, _: []
        with pytest.raises(ConnectFailed, match="nothing answers there"):
            async with connect(joined(man.url, option(tmp_path)), connect_timeout=2.0):
                pass
        assert anyio.current_time() - begin < 2.0
        assert man.count(HELLO) >= 2


async def test_a_server_without_keys_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeting, "_PING_SECONDS", 0.05)
    async with serve(Device().dispatcher, ANYWHERE) as server:
        with pytest.raises(ConnectFailed, match="it has another one, or none"):
            async with connect(joined(server.urls[0], option(tmp_path)), connect_timeout=9.0):
                pass


async def test_lost_hellos_are_taken_for_no_wrong_key(tmp_path: Path) -> None:
    """A few are lost while every ping arrives, or nobody was there when they were sent."""
    async with serving(Device(), tmp_path) as server, middle(server.urls[0]) as man:
        man.change = lambda packet, _: (
            [] if packet[0] == HELLO and man.count(HELLO) <= 3 else [packet]
        )
        async with connect(joined(man.url, option(tmp_path))) as client:
            assert await client.call("who") == "psk"


async def test_a_wrong_key_is_told_of_long_before_the_time_is_over(tmp_path: Path) -> None:
    begin = anyio.current_time()
    async with serving(Device(), tmp_path) as server:
        url = joined(server.urls[0].partition("?")[0], option(tmp_path, "wrong"))
        with pytest.raises(ConnectFailed, match="it has another one, or none"):
            async with connect(url, connect_timeout=SECONDS):
                pass
    assert anyio.current_time() - begin < SECONDS / 2


async def test_a_plain_answer_is_none_for_a_sealed_client(tmp_path: Path) -> None:
    async with between(tmp_path) as (_, _, man, client):
        for id in range(1 << 4):
            man.to_client(b'{"id":%d,"result":"forged"}' % id)
        man.to_client(b'{"method":"forged"}')
        assert await client.call("who") == "psk"
        channel = _channel(client)
        await eventually(lambda: channel.foreign == 17)


def _channel(client: Client) -> SealedChannel:
    peer = client._peer
    assert isinstance(client, client_module.Client)
    assert peer is not None
    channel = peer._channel
    assert isinstance(channel, SealedChannel)
    return channel


def _seal(client: Client) -> seal_client.ClientSeal:
    return _channel(client).seal


async def test_junk_makes_no_peers_and_is_not_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What begins like a packet and opens nowhere costs no channel, and brings next to nothing."""
    chance = random.Random(1)
    async with between(tmp_path) as (_, server, man, client):
        before = len(man.seen)
        for number in range(2000):
            head = bytes([number % 4 + 1, 1])
            man.to_server(head + chance.randbytes(chance.choice((0, 3, 23, 55, 68, 100))))
            if number % 100 == 0:
                assert await client.call("who") == "psk"
        assert await client.call("who") == "psk"
        assert len(server.peers) == 1
        junk = [packet for packet, to_server in man.seen[before:] if not to_server]
        assert {packet[0] for packet in junk} <= {DATA, UNKNOWN}
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
