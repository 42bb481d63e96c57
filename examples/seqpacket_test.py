"""Tests of the transport `seqpacket://`."""

import os

import anyio
import pytest
import seqpacket_transport

from jsonrpc_iot import (
    BindFailed,
    Channel,
    Client,
    ConnectFailed,
    Dispatcher,
    Limits,
    Url,
    register_transport,
)
from jsonrpc_iot.testing import check_channel_contract

pytestmark = pytest.mark.anyio

register_transport("seqpacket", seqpacket_transport)

OURS = f"seqpacket://{os.getpid()}"  # a name is for the whole machine


async def test_the_contract() -> None:
    url, limits = Url.parse(f"{OURS}-contract"), Limits()
    accepted, accept = anyio.create_memory_object_stream[Channel](1)
    async with (
        await seqpacket_transport.listen(url, limits) as listener,
        anyio.create_task_group() as tasks,
        accepted,
        accept,
    ):
        tasks.start_soon(listener.serve, accepted.send, tasks)
        client = await seqpacket_transport.connect(url, limits)
        await check_channel_contract(client, await accept.receive())
        tasks.cancel_scope.cancel()


async def test_whom_to_tell_what() -> None:
    url, limits = Url.parse(f"{OURS}-lonely"), Limits()
    with pytest.raises(ConnectFailed, match=url.text):
        await seqpacket_transport.connect(url, limits)
    async with await seqpacket_transport.listen(url, limits):
        with pytest.raises(BindFailed, match="in use"):
            await seqpacket_transport.listen(url, limits)


@pytest.fixture
def rpc_dispatcher() -> Dispatcher:
    lamp = Dispatcher()

    @lamp.method("lamp.echo")
    def echo(text: str) -> str:
        return text

    return lamp


@pytest.mark.rpc_link(OURS, f"{OURS}?codec=msgpack", f"{OURS}?segment=1")
@pytest.mark.parametrize("size", [0, 60_000])
async def test_calls(rpc_client: Client, size: int) -> None:
    assert await rpc_client.call("lamp.echo", {"text": "x" * size}) == "x" * size


@pytest.mark.rpc_link(f"{OURS}?segment=1")
async def test_messages_over_the_packet_go_in_segments(rpc_client: Client) -> None:
    assert await rpc_client.call("lamp.echo", {"text": "x" * 500_000}) == "x" * 500_000
