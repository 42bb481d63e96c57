"""Seats that move over UDP: whoever replays a packet from elsewhere has little sent there."""

from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import Limits
from jsonrpc_iot.protocol.seal.packets import DATA_OVERHEAD
from tests.waiting import eventually

from .rig import Middle
from .test_udp import between

pytestmark = pytest.mark.anyio

FACTOR = Limits().unproved_factor
QUESTION = 48
PUSHES = 50
TEXT = "x" * 1200


def plain_bytes(man: Middle, *, to_server: bool) -> int:
    """Bytes of the messages that were in the packets."""
    return sum(len(packet) - DATA_OVERHEAD for packet, forth in man.seen if forth is to_server)


async def test_a_moved_seat_gets_little_before_it_answers(tmp_path: Path) -> None:
    async with between(tmp_path) as (_, server, man, client), client.notifications("news") as news:
        man.rebind()
        man.seen.clear()
        man.change = lambda packet, to_server: [packet] if to_server else []
        await client.notify("note", ["from elsewhere"])
        await eventually(lambda: man.seen)
        (peer,) = server.peers
        await eventually(lambda: peer._channel.unproved is not None)
        for number in range(PUSHES):
            server.broadcast("news", [number, TEXT])
        await eventually(lambda: len(man.seen) > 1)  # the question, which does not get through
        assert plain_bytes(man, to_server=False) <= (
            FACTOR * plain_bytes(man, to_server=True) + QUESTION
        )
        await anyio.sleep(0.45)  # the server's own patience
        man.change = lambda packet, _: [packet]
        assert await client.call("who") == "psk"
        for number in range(PUSHES):
            assert (await news.receive()).params == [number, TEXT]
        assert peer._channel.unproved is None


async def test_a_seat_that_has_not_moved_is_proved_by_its_key(tmp_path: Path) -> None:
    async with between(tmp_path) as (_, server, man, client), client.notifications("news") as news:
        man.seen.clear()
        for number in range(PUSHES):
            server.broadcast("news", [number, TEXT])
        for number in range(PUSHES):
            assert (await news.receive()).params == [number, TEXT]
        assert not [packet for packet, to_server in man.seen if to_server]


async def test_what_it_said_elsewhere_proves_nothing_here(tmp_path: Path) -> None:
    """Somebody who knows the ids of the calls so far answers the next one unheard."""
    async with between(tmp_path) as (_, server, man, client):
        (peer,) = server.peers
        assert await peer.call("rpc.ping") is True
        man.rebind()
        assert await client.call("who") == "psk"
        assert peer._channel.unproved is not None
        assert await peer.call("rpc.ping") is True  # sent within what was paid for, and answered
        assert peer._channel.unproved is not None
