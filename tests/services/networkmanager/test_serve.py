"""`jsonrpc-iot serve --wifi networkmanager`."""

from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import connect
from jsonrpc_iot.services.wifi import Wifi, WifiState
from tests.cli.program import listening, run, started
from tests.services._wifi import HOME, KEY
from tests.waiting import SECONDS

from .mock import MockedManager

pytestmark = pytest.mark.anyio

SERVE = ("serve", "--bind", "tcp://127.0.0.1:0", "--wifi")


async def test_an_adapter_that_the_command_line_names(manager: MockedManager, wlan: str) -> None:
    other = await manager.add_radio("wlan1")
    await manager.add_neighbourhood(other, "other")
    with started(*SERVE, "networkmanager?adapter=wlan1") as program:
        async with (
            connect(listening(program)) as client,
            client.proxy(Wifi).status_changed.values() as news,
        ):
            await client.proxy(Wifi).connect(HOME, KEY)
            with anyio.fail_after(SECONDS):
                while (await news.receive()).state is not WifiState.CONNECTED:
                    pass
            assert (await manager.state(wlan), await manager.state(other)) == (30, 100)
        assert program.stop() == (0, "", "")


async def test_without_networkmanager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with started(*SERVE, "networkmanager") as program:
        called = run("call", listening(program), "wifi.scan")
        done = program.stop()
    assert called.code == 1
    assert '"code":1003' in called.err
    assert "there is no D-Bus system bus" in called.err
    assert "WARNING: wifi: there is no D-Bus system bus" in done.err
