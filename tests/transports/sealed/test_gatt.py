"""Sealed links over Bluetooth LE, where packets are small."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import ConnectFailed, connect, serve
from jsonrpc_iot.testing import VirtualRadio, check_channel_contract, virtual_radio
from jsonrpc_iot.transports import open_channel
from tests.transports.links import accepting
from tests.waiting import SECONDS

from .rig import Device, joined, option

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


@pytest.fixture
async def radio() -> AsyncIterator[VirtualRadio]:
    async with virtual_radio() as made:
        yield made


@pytest.mark.parametrize("write", ["request", "command"])
async def test_sealed_and_plain_centrals(radio: VirtualRadio, tmp_path: Path, write: str) -> None:
    device = Device()
    with anyio.fail_after(3 * SECONDS):
        async with serve(device.dispatcher, joined(radio.url("lamp"), option(tmp_path))) as server:
            sealed = joined(server.urls[0], f"write={write}")
            async with connect(sealed) as client:
                assert client.info.max_message is not None
                assert client.info.max_message >= 175
                assert await client.call("who") == "psk"
                assert await client.call("note", ["x" * 100]) == 1
            async with connect(joined(radio.url("lamp"), f"write={write}")) as client:
                assert await client.call("who") is None
            wrong = joined(radio.url("lamp"), option(tmp_path, "wrong"))
            with pytest.raises(ConnectFailed, match="but not to this key"):
                async with connect(wrong, connect_timeout=4.0):
                    pass


async def test_a_silent_plain_side_does_not_end_a_sealed_link(
    radio: VirtualRadio, tmp_path: Path
) -> None:
    device = Device()
    with anyio.fail_after(2 * SECONDS):
        async with (
            serve(device.dispatcher, joined(radio.url("lamp"), option(tmp_path))) as server,
            connect(server.urls[0]) as client,
        ):
            assert await client.call("who") == "psk"
            assert [peer.info.is_sealed for peer in server.peers] == [True]


async def test_the_contract(radio: VirtualRadio, tmp_path: Path) -> None:
    with anyio.fail_after(2 * SECONDS):
        async with accepting(joined(radio.url("lamp"), option(tmp_path))) as (listener, accept):
            client = await open_channel(listener.addresses[0])
            server = await accept()
            assert server.principal is not None
            await check_channel_contract(client, server, 2 * SECONDS)
