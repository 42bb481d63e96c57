"""Sealed calls over links that lose, double, reorder and change: each is answered, runs once."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import TaskGroup

from jsonrpc_iot import Client, Limits, Server, connect, serve
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.protocol.seal import client as seal_client
from jsonrpc_iot.protocol.seal.packets import BINARY
from jsonrpc_iot.testing import Faults, LossyLink
from jsonrpc_iot.transports.sealed.greeting import sealed_channel
from jsonrpc_iot.transports.sealed.line import SharedLine
from jsonrpc_iot.trust.crypto import Primitives
from tests.waiting import eventually

from .rig import KEYS, Device, Ring

pytestmark = pytest.mark.anyio

BAD = Faults(drop=0.15, duplicate=0.15, reorder=0.15, delay=0.1, corrupt=0.05, delay_seconds=0.005)
TASKS, CALLS = 40, 10
SECONDS = 50.0


@asynccontextmanager
async def linked(
    device: Device, link: LossyLink, ring: Ring, name: str = "app"
) -> AsyncIterator[tuple[Server, Client]]:
    """A device and a client at the two ends of a link."""
    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, "memory://bad-links", limits=Limits()) as server,
            anyio.create_task_group() as tasks,
        ):
            server._ended._began -= 60
            serve_line(server, link, ring, tasks)
            key = ring.find(next(id for id, key in ring.keys.items() if key.key == KEYS[name]))
            assert key is not None
            channel = await sealed_channel(
                link.client, Url.parse("memory://bad-links"), Primitives(), key, None
            )
            async with connect(channel, timeout=30) as client:
                yield server, client
            tasks.cancel_scope.cancel()


def serve_line(server: Server, link: LossyLink, ring: Ring, tasks: TaskGroup) -> None:
    line = SharedLine(link.server, Primitives(), ring.find, BINARY, Limits())
    tasks.start_soon(line.serve, server._serve)


async def call_all(client: Client, link: LossyLink) -> Counter[int]:
    """Make many calls at once; counts how often each was told that it ran.

    The link is good for the last of them. Else one in a million loses all the tries that fit into
    its time, and there are many.
    """
    told: Counter[int] = Counter()

    async def call(task: int) -> None:
        for number in range(CALLS):
            key = task * CALLS + number
            told[key] += await client.call("note", [key])
            if len(told) > TASKS * CALLS * 7 // 8:
                link.set_faults(Faults())

    async with anyio.create_task_group() as tasks:
        for task in range(TASKS):
            tasks.start_soon(call, task)
    return told


@pytest.mark.parametrize("seed", range(2))
async def test_each_call_is_answered_and_runs_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions are renewed all the time, and links are bad while that happens."""
    monkeypatch.setattr(seal_client, "RENEW_PACKETS", 10)
    device = Device()
    link = LossyLink(BAD, seed=seed, max_message=1400, retry_seconds=0.02)
    async with linked(device, link, Ring()) as (server, client):
        told = await call_all(client, link)
        assert client._peer is not None
        seal = client._peer._channel.seal  # type: ignore[attr-defined]
        while seal.hellos < 3:  # one that was lost comes again in a second
            key = len(told)
            told[key] += await client.call("note", [key])
        assert set(told.values()) == {1}
        assert Counter(device.ran) == told
        assert len([peer for peer in server.peers if peer.info.is_sealed]) == 1
    assert link.to_server.counts.corrupted
    assert link.to_client.counts.dropped


async def test_nothing_comes_through_that_was_changed() -> None:
    device = Device()
    link = LossyLink(max_message=1400, retry_seconds=0.02)
    async with linked(device, link, Ring()) as (_, client):
        link.set_faults(Faults(corrupt=0.2))
        told = await call_all(client, link)
        assert Counter(device.ran) == told


async def test_a_revoked_key_opens_nothing_more() -> None:
    device, ring = Device(), Ring()
    link = LossyLink(max_message=1400, retry_seconds=0.02)
    async with linked(device, link, ring) as (server, client):
        assert await client.call("who") == "app"
        (peer,) = [each for each in server.peers if each.info.is_sealed]
        ring.keys.clear()
        peer._break()
        await eventually(lambda: peer not in server.peers)
        with pytest.raises(TimeoutError):
            await client.call("note", ["too late"], timeout=0.5)
        assert device.ran == []
        assert not [each for each in server.peers if each.info.is_sealed]
