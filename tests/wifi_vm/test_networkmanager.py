"""What NetworkManager remembers, tells and forbids, and what becomes of the link that asked."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from dbus_fast import Variant

from jsonrpc_iot import DeadlineExceeded
from jsonrpc_iot.services.wifi import WifiState, WifiStatus, WrongKey
from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi
from jsonrpc_iot.services.wifi.networkmanager.adapters import find_adapter
from jsonrpc_iot.services.wifi.networkmanager.names import (
    DEVICE,
    DISCONNECTED,
    MANAGER,
    MANAGER_PATH,
)
from jsonrpc_iot.transports.dbus import PROPERTIES
from tests.services._wifi import HOME, KEY, ask, pushes_of, states

from .air import PATIENCE
from .daemons import NetworkManager
from .radio import World

pytestmark = [pytest.mark.anyio, pytest.mark.wifi]

NOBODY = 65534
WPA3 = "home-network-5g"
OFFICE, OFFICE_KEY = "office-mesh", "meeting room 4"


async def until_state(wifi: NetworkManagerWifi, state: WifiState) -> None:
    """Wait until the radio is in a state."""
    with anyio.fail_after(PATIENCE):
        await wifi._manager.until(lambda: wifi._present_status().state is state)


async def test_a_profile_is_kept_replaced_and_used_again(daemons: NetworkManager) -> None:
    with daemons.running():
        async with NetworkManagerWifi() as wifi:
            await wifi.connect(HOME, KEY)
            assert daemons.keys() == [KEY]
            with pytest.raises(WrongKey):
                await wifi.connect(HOME, "a wrong key")
            assert daemons.keys() == [KEY]
            await until_state(wifi, WifiState.CONNECTED)  # it returns by itself
            assert (await wifi.status()).ssid == HOME
            await wifi.connect(OFFICE, OFFICE_KEY)
            await wifi.disconnect()
            await wifi.connect(HOME, KEY)
            assert daemons.keys() == sorted([KEY, OFFICE_KEY])


async def test_networkmanager_is_restarted(daemons: NetworkManager) -> None:
    with daemons.running():
        async with NetworkManagerWifi() as wifi:
            await wifi.connect(HOME, KEY)
            pushes = pushes_of(wifi)
            daemons.process.kill()
            await until_state(wifi, WifiState.DISCONNECTED)
            assert (await ask(wifi, "wifi.status"))["code"] == 1003
            with daemons.manager():
                await until_state(wifi, WifiState.CONNECTED)
                assert (await wifi.status()).ssid == HOME
                assert (states(pushes)[0], states(pushes)[-1]) == (0, 3)


@pytest.mark.parametrize(("ssid", "seconds"), [(HOME, 10), (WPA3, 10)])
async def test_how_soon_the_outcome_is_told(
    daemons: NetworkManager, ssid: str, seconds: float
) -> None:
    changes: dict[int, float] = {}

    def hear(path: str, member: str, body: list[object]) -> None:
        match member, body:
            case "StateChanged", [int(state), int(), int(reason)] if state != 60 or reason:
                changes[state] = time.monotonic()

    with daemons.running():
        async with NetworkManagerWifi() as wifi:
            await wifi.scan()
            with wifi._manager.heard_by(hear):  # type: ignore[arg-type]
                begin = time.monotonic()
                with pytest.raises(WrongKey) as caught:
                    await wifi.connect(ssid, "a wrong key")
                wrong = time.monotonic()
                print(  # noqa: T201
                    f"{ssid}: wrong key after {wrong - begin:.2f} s: {caught.value}; states "
                    f"{ {state: round(at - begin, 2) for state, at in changes.items()} }"
                )
                assert wrong - begin < seconds
                if 60 in changes:
                    assert wrong - changes[60] < 0.5
                changes.clear()
                begin = time.monotonic()
                await wifi.connect(ssid, KEY)
                joined = time.monotonic()
                print(  # noqa: T201
                    f"{ssid}: joined after {joined - begin:.2f} s, "
                    f"told {1000 * (joined - changes[100]):.1f} ms after NetworkManager"
                )
                assert joined - changes[100] < 0.5


async def test_without_dhcp_it_stays_in_state_2(everything: World) -> None:
    with everything.manager.running(), everything.air.without_dhcp():
        async with NetworkManagerWifi() as wifi:
            pushes = pushes_of(wifi)
            begin = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="no address yet"):
                await wifi.connect(HOME, KEY)
            assert time.monotonic() - begin < 20
            assert states(pushes) == [1, 2]
            assert (await wifi.status()).ssid == HOME
            await wifi.disconnect()


@contextmanager
def somebody() -> Iterator[None]:
    """Be a user without rights meanwhile."""
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


async def test_without_permission(daemons: NetworkManager) -> None:
    with daemons.running(polkit="true"):  # and no polkit that could be asked
        wifi = NetworkManagerWifi()
        with somebody():
            await wifi.__aenter__()
        try:
            for method, params in (("scan", {}), ("connect", {"ssid": "coffee-corner"})):
                error = await ask(wifi, f"wifi.{method}", params)
                print(error)  # noqa: T201
                assert error["code"] == -32006
                assert "the package polkitd" in error["message"]
        finally:
            await wifi.__aexit__()
            assert daemons.keys() == []


async def test_wifi_is_switched_off_and_on(daemons: NetworkManager) -> None:
    """That of the access points too, so this comes last."""
    with daemons.running():
        async with NetworkManagerWifi() as wifi:
            await wifi.connect(HOME, KEY)
            for value in (False, True):
                arguments = (MANAGER, "WirelessEnabled", Variant("b", value))
                await wifi._manager.call(MANAGER_PATH, PROPERTIES, "Set", "ssv", *arguments)
                if not value:
                    await until_state(wifi, WifiState.DISCONNECTED)
                    error = await ask(wifi, "wifi.scan")
                    assert error["code"] == 1003
                    assert "switched off" in error["message"]
            device = find_adapter(wifi._mirror, "")
            with anyio.fail_after(PATIENCE):
                await wifi._manager.until(
                    lambda: wifi._mirror.number(device, DEVICE, "State") >= DISCONNECTED
                )
            assert isinstance(await wifi.status(), WifiStatus)
