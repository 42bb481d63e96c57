"""`tuya-dp://` with both ends ours, and its URLs."""

import sys

import anyio
import pytest

from jsonrpc_iot import (
    Dispatcher,
    InvalidUrl,
    TooLarge,
    connect,
    serve,
)
from jsonrpc_iot.testing import check_channel_contract
from jsonrpc_iot.transports import open_channel, open_listener
from jsonrpc_iot.transports.serial import listener as _port_listener
from tests.transports.links import accepting
from tests.waiting import SECONDS

from .dp_line import MCU, needs_asyncio, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals"),
]


@needs_asyncio
async def test_both_ends_are_ours() -> None:
    async with serving(MCU + "&buffer=256") as server:
        url = server.urls[0]
        assert url.endswith("?role=module&buffer=256&gap=0")
        async with connect(url, timeout=SECONDS) as client:
            assert await client.call("echo", ["x" * 100]) == "x" * 100
        async with connect(url.replace("&buffer=256", ""), timeout=SECONDS) as client:
            with pytest.raises(TooLarge) as refused:
                await client.call("big", [245])
            assert refused.value.data["limit"] == 245


@needs_asyncio
@pytest.mark.parametrize(("scheme", "options"), [("uart", ""), ("tuya-dp", "?gap=0")])
async def test_the_channels_keep_their_contract(scheme: str, options: str) -> None:
    with anyio.fail_after(SECONDS):
        async with accepting(f"{scheme}+pty://{options}") as (listener, accept):
            client = await open_channel(listener.addresses[0])
            async with client, await accept() as server:
                assert server.info.local.startswith(f"{scheme}:///dev/")
                await check_channel_contract(client, server)


@pytest.mark.parametrize("scheme", ["uart", "tuya-dp"])
async def test_a_stranger_at_a_pty_does_not_end_the_server(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_port_listener, "_FIRST_PAUSE_SECONDS", 0.01)
    refused = anyio.Event()

    def refuse(channel: object) -> None:
        refused.set()
        raise PermissionError("who are you?")

    with anyio.fail_after(SECONDS):
        async with serve(
            Dispatcher(), f"{scheme}+pty://", "memory://beside", authenticate=refuse, grace=0.1
        ):
            await refused.wait()
            await anyio.sleep(0.1)  # longer than the pause after which a port is opened again


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tuya-dp://", "a port looks like"),
        ("tuya-dp:///dev/x?role=lamp", "valid are mcu, module"),
        ("tuya-dp:///dev/x?dpid=0", "dpid"),
        ("tuya-dp:///dev/x?dpid=256", "dpid"),
        ("tuya-dp:///dev/x?buffer=11", "buffer"),
        ("tuya-dp:///dev/x?gap=-1", "gap"),
        ("tuya-dp:///dev/x?gap=nan", "gap"),
        ("tuya-dp:///dev/x?gap=inf", "gap"),
        ("tuya-dp:///dev/x?max=0", "max"),
        ("tuya-dp:///dev/x?codec=msgpack", "msgpack"),
        ("tuya-dp:///dev/x?sync_report=1", "role=mcu"),
        ("tuya-dp:///dev/x?in_flight=2", "unknown option"),
        ("tuya-dp+pty://", "for serving"),
    ],
)
@needs_asyncio
async def test_urls_that_make_no_sense(url: str, why: str) -> None:
    with pytest.raises(InvalidUrl, match=why):
        async with connect(url):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "tuya-dp+pty:///dev/x",
        "tuya-dp+pty://?role=module&sync_report=1",
        "tuya-dp+pty://?segment=1&max=9",
    ],
)
async def test_urls_to_serve_that_make_no_sense(url: str) -> None:
    with pytest.raises(InvalidUrl):
        await open_listener(url)


async def test_printed_addresses_name_the_other_role() -> None:
    for role, other in (("mcu", "module"), ("module", "mcu")):
        async with await open_listener(f"tuya-dp+pty://?role={role}") as listener:
            (address,) = listener.addresses
            assert address.startswith("tuya-dp:///dev/")
            assert address.endswith(f"?role={other}")
