"""NetworkManager that is absent, ends, comes back, refuses; adapters that are off or others."""

from pathlib import Path

import anyio
import pytest
from dbus_fast import Variant

from jsonrpc_iot import Dispatcher, connect, serve
from jsonrpc_iot.services.wifi import NoWifiHardware, Wifi, WifiState
from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi
from tests.services._wifi import HOME, KEY, ask, pushes_of, reached, states
from tests.waiting import SECONDS, eventually

from .mock import DEVICE, NM, PATH, MockedManager

pytestmark = pytest.mark.anyio

METHODS = [
    ("wifi.scan", {}),
    ("wifi.connect", {"ssid": HOME, "psk": KEY}),
    ("wifi.disconnect", {}),
    ("wifi.status", {}),
]


async def all_refused(wifi: Wifi, text: str, code: int = 1003) -> None:
    for method, params in METHODS:
        error = await ask(wifi, method, params)
        assert error["code"] == code, error
        assert text in error["message"]


async def test_networkmanager_ends_and_comes_back(
    manager: MockedManager, wlan: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)
        pushes = pushes_of(wifi)
        left = reached(wifi, WifiState.DISCONNECTED)
        await manager.stop()
        with anyio.fail_after(SECONDS):
            await left.wait()
        await all_refused(wifi, "systemctl start NetworkManager")
        assert "NetworkManager does not run" in caplog.text

        await manager.start()
        await manager.add_neighbourhood(await manager.add_radio())
        await eventually(lambda: wifi._manager.mirror.has(wlan, DEVICE))
        await wifi.connect(HOME, KEY)
        assert states(pushes) == [0, 1, 2, 3]


async def test_networkmanager_ends_while_it_joins(manager: MockedManager, wlan: str) -> None:
    await manager.tell("SetMood", "ays", HOME.encode(), "silent")
    async with NetworkManagerWifi() as wifi:
        answers: list[dict[str, object]] = []

        async def join() -> None:
            answers.append(await ask(wifi, "wifi.connect", {"ssid": HOME, "psk": KEY}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(join)
            while await manager.state(wlan) < 50:  # noqa: ASYNC110  # nothing tells
                await anyio.sleep(0.002)
            await manager.stop()
        assert answers[0]["code"] == 1003
        assert "ended meanwhile" in str(answers[0]["message"])
        assert wifi._state_of("") is WifiState.DISCONNECTED
    await manager.start()


async def test_it_is_there_before_networkmanager(manager: MockedManager, wlan: str) -> None:
    await manager.stop()
    async with NetworkManagerWifi() as wifi:
        await all_refused(wifi, "the package network-manager")
        await manager.start()
        await all_refused_until_there(manager, wifi)
        assert len(await wifi.scan()) == 7


async def all_refused_until_there(manager: MockedManager, wifi: NetworkManagerWifi) -> None:
    await eventually(lambda: wifi._manager.mirror.has(PATH, NM))
    await all_refused(wifi, "no Wi-Fi adapter; nmcli device")
    path = await manager.add_radio()
    await manager.add_neighbourhood(path)
    await eventually(
        lambda: len(wifi._mirror.texts(path, f"{DEVICE}.Wireless", "AccessPoints")) == 8
    )


async def test_without_dbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    async with NetworkManagerWifi() as wifi:
        await all_refused(wifi, "there is no D-Bus system bus")


async def test_outside_of_its_block() -> None:
    await all_refused(NetworkManagerWifi(), "in an async with block")


async def test_adapters(manager: MockedManager, wlan: str) -> None:
    other = await manager.add_radio("wlan1")
    await manager.add_neighbourhood(other, "other")
    async with (
        NetworkManagerWifi() as first,
        NetworkManagerWifi("wlan1") as second,
        NetworkManagerWifi("wlan7") as third,
    ):
        await second.connect(HOME, KEY)
        assert (await second.status()).ssid == HOME
        assert (await first.status()).state is WifiState.DISCONNECTED
        await all_refused(third, "no Wi-Fi adapter wlan7; there are: wlan0, wlan1")


@pytest.mark.parametrize(
    ("path", "interface", "name", "text"),
    [
        (PATH, NM, "WirelessHardwareEnabled", "rfkill list"),
        (PATH, NM, "WirelessEnabled", "nmcli radio wifi on"),
        (PATH, NM, "NetworkingEnabled", "nmcli networking on"),
    ],
)
async def test_wifi_is_switched_off(
    manager: MockedManager, wlan: str, path: str, interface: str, name: str, text: str
) -> None:
    async with NetworkManagerWifi() as wifi:
        await manager.set(path, interface, **{name: Variant("b", False)})
        await eventually(lambda: not wifi._mirror.number(path, interface, name))
        await all_refused(wifi, text)
        await manager.set(path, interface, **{name: Variant("b", True)})
        await eventually(lambda: wifi._mirror.number(path, interface, name))
        assert (await wifi.status()).state is WifiState.DISCONNECTED


@pytest.mark.parametrize(
    ("state", "text"), [(10, "nmcli device set wlan0 managed yes"), (20, "wpasupplicant")]
)
async def test_an_adapter_that_cannot_be_used(
    manager: MockedManager, wlan: str, state: int, text: str
) -> None:
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)
        left = reached(wifi, WifiState.DISCONNECTED)
        await manager.tell("EnterState", "ouu", wlan, state, 0)
        with anyio.fail_after(SECONDS):
            await left.wait()
        await all_refused(wifi, text)


@pytest.mark.parametrize(
    ("method", "call", "params"),
    [
        ("RequestScan", "wifi.scan", {}),
        ("AddAndActivateConnection2", "wifi.connect", {"ssid": HOME, "psk": KEY}),
        ("Disconnect", "wifi.disconnect", {}),
    ],
)
async def test_no_permission(
    manager: MockedManager, wlan: str, method: str, call: str, params: dict[str, str]
) -> None:
    await manager.tell("Refuse", "ss", method, f"{NM}.PermissionDenied")
    async with NetworkManagerWifi() as wifi:
        if method == "Disconnect":
            await wifi.connect(HOME, KEY)
        error = await ask(wifi, call, params)
        assert error["code"] == -32006
        assert "the package polkitd" in error["message"]
        assert 'docs/wifi.md, "Permissions"' in error["message"]


async def test_a_scan_that_is_refused_gives_what_is_known(
    manager: MockedManager, wlan: str
) -> None:
    await manager.tell("SetMood", "ays", HOME.encode(), "silent")
    async with NetworkManagerWifi() as wifi:
        await manager.tell("Refuse", "ss", "RequestScan", f"{DEVICE}.NotAllowed")
        await manager.tell("EnterState", "ouu", wlan, 50, 0)  # another program joins a network
        await eventually(lambda: wifi._is_busy(wlan))
        with anyio.fail_after(5):  # a scan that runs would be waited for for 8 s
            assert len(await wifi.scan()) == 7


async def test_what_others_do_is_pushed_to_clients(manager: MockedManager, wlan: str) -> None:
    async with NetworkManagerWifi() as wifi:
        dispatcher = Dispatcher()
        dispatcher.include(wifi)
        async with (
            serve(dispatcher, "memory://wifi"),
            connect("memory://wifi") as client,
            client.proxy(Wifi).status_changed.values() as news,
        ):
            await client.call("rpc.ping")
            for state in (40, 70, 100, 110, 30):
                await manager.tell("EnterState", "ouu", wlan, state, 0)
            with anyio.fail_after(SECONDS):
                pushed = [(await news.receive()).state for _ in range(4)]
    assert pushed == [1, 2, 3, 0]


async def test_an_adapter_that_is_pulled_out(manager: MockedManager, wlan: str) -> None:
    await manager.tell("SetMood", "ays", HOME.encode(), "silent")
    async with NetworkManagerWifi() as wifi:

        async def join() -> None:
            with pytest.raises(NoWifiHardware, match="adapter is gone"):
                await wifi.connect(HOME, KEY)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(join)
            while await manager.state(wlan) < 50:  # noqa: ASYNC110  # nothing tells
                await anyio.sleep(0.002)
            await manager.tell("PullOut", "o", wlan)
        await all_refused(wifi, "no Wi-Fi adapter")
