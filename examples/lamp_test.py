"""Tests of the lamp, for pytest: in memory, over sockets, and over a link that loses messages."""

import pytest
from lamp import lamp, state

from jsonrpc_iot import CallTimeout, Client, Dispatcher, InvalidParams
from jsonrpc_iot.testing import Faults, LossyLink

pytestmark = pytest.mark.anyio


@pytest.fixture
def rpc_dispatcher() -> Dispatcher:
    """The device under test, as new for each test."""
    state["level"] = 0
    return lamp


async def test_level(rpc_client: Client) -> None:
    assert await rpc_client.call("lamp.set", {"level": 40}) == 0
    assert await rpc_client.call("lamp.set", {"level": 60}) == 40


async def test_too_bright(rpc_client: Client) -> None:
    with pytest.raises(InvalidParams) as refused:
        await rpc_client.call("lamp.set", {"level": 400})
    assert refused.value.data["path"] == "$.level"


@pytest.mark.rpc_link("memory", "pipe", "tcp", "udp")
async def test_it_tells_of_changes(rpc_client: Client) -> None:
    async with rpc_client.notifications() as news:
        await rpc_client.call("lamp.set", {"level": 40})
        assert (await news.receive()).params == {"level": 40}


@pytest.mark.rpc_link(Faults(drop=0.2, duplicate=0.2), seed=7, retry_seconds=0.02)
async def test_each_call_runs_once(rpc_client: Client) -> None:
    for level in range(1, 51):
        assert await rpc_client.call("lamp.set", {"level": level}) == level - 1


async def test_a_dead_link(rpc_client: Client, rpc_link: LossyLink) -> None:
    rpc_link.freeze()
    with pytest.raises(CallTimeout):
        await rpc_client.call("lamp.set", {"level": 40}, timeout=0.05)
    rpc_link.thaw()
    assert await rpc_client.call("rpc.ping") is True
