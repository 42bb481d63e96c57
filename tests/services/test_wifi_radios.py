"""What every radio does, simulated or driven by NetworkManager, in the same neighbourhood."""

from functools import partial

import anyio
import msgspec
import pytest

from jsonrpc_iot import Cancelled
from jsonrpc_iot.services.wifi import NetworkNotFound, WifiState, WifiStatus, WrongKey

from ._wifi import HOME, KEY, ask, pushes_of, reached, states
from .radios import Radio

pytestmark = pytest.mark.anyio

CAFE = "caf\N{REPLACEMENT CHARACTER}"
JOINED = [
    pytest.param(HOME, KEY, "wpa2", id="wpa2"),
    pytest.param("home-network-5g", KEY, "wpa3", id="wpa3"),
    pytest.param("coffee-corner", "", "open", id="open"),
    pytest.param("backstage", "break a leg!", "wpa2", id="hidden"),
    pytest.param(CAFE, "deux croissants", "wpa2", id="no UTF-8"),
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: the interface has its tests on all."""
    return "asyncio"


async def test_a_scan(radio: Radio) -> None:
    scan = await ask(radio.wifi, "wifi.scan")

    levels = [each["rssi"] for each in scan]
    assert levels == sorted(levels, reverse=True)
    assert all(-100 <= level < 0 for level in levels)
    assert "backstage" not in {each["ssid"] for each in scan}
    assert len({each["bssid"] for each in scan}) == len(scan)
    home = next(each for each in scan if each["ssid"] == HOME)
    assert {key: home[key] for key in ("bssid", "channel", "security")} == {
        "bssid": "02:5e:10:00:24:01",
        "channel": 6,
        "security": "wpa2",
    }
    assert next(each for each in scan if each["ssid"] == CAFE)["ssid_hex"] == "636166e9"
    mesh = [each for each in scan if each["ssid"] == "office-mesh"]
    assert {each["bssid"] for each in mesh} == {"02:5e:20:00:00:01", "02:5e:20:00:00:02"}


@pytest.mark.parametrize(("ssid", "psk", "security"), JOINED)
async def test_a_network_is_joined_and_left(
    radio: Radio, ssid: str, psk: str, security: str
) -> None:
    pushes = pushes_of(radio.wifi)
    assert await ask(radio.wifi, "wifi.connect", {"ssid": ssid, "psk": psk}) is None

    status = await ask(radio.wifi, "wifi.status")
    assert (status["ssid"], status["state"], status["security"]) == (ssid, 3, security)
    assert status["signal"] < 0
    assert states(pushes) == [1, 2, 3]
    assert [each.ssid for each in pushes] == ["", ssid, ssid]
    assert msgspec.to_builtins(pushes[-1])["bssid"] == status["bssid"]

    assert await ask(radio.wifi, "wifi.disconnect") is None
    assert await ask(radio.wifi, "wifi.status") == {"ssid": "", "state": 0, "signal": 0}
    assert pushes[3:] == [WifiStatus(state=WifiState.DISCONNECTED)]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        pytest.param({"ssid": "nowhere", "psk": KEY}, 1001, id="no such network"),
        pytest.param({"ssid": HOME.upper(), "psk": KEY}, 1001, id="case counts"),
        pytest.param({"ssid": HOME, "psk": "a wrong key"}, 1002, id="wrong key"),
        pytest.param({"ssid": "home-network-5g", "psk": "a wrong key"}, 1002, id="WPA3"),
        pytest.param({"ssid": HOME}, 1002, id="key missing"),
        pytest.param({"ssid": "coffee-corner", "psk": KEY}, 1002, id="key for an open network"),
    ],
)
async def test_an_attempt_that_fails_is_told_in_time(
    radio: Radio, params: dict[str, str], code: int
) -> None:
    pushes = pushes_of(radio.wifi)
    with anyio.fail_after(radio.patience):
        error = await ask(radio.wifi, "wifi.connect", params)

    assert error["code"] == code
    assert states(pushes) == [1, 4]
    assert await ask(radio.wifi, "wifi.status") == {"ssid": "", "state": 4, "signal": 0}
    await ask(radio.wifi, "wifi.disconnect")
    assert states(pushes) == [1, 4, 0]


async def test_after_a_wrong_key_the_right_one_is_tried(radio: Radio) -> None:
    with pytest.raises(WrongKey):
        await radio.wifi.connect(HOME, "a wrong key")
    await radio.wifi.connect(HOME, KEY)
    assert (await radio.wifi.status()).ssid == HOME


async def test_after_a_wrong_key_a_hidden_network_is_still_hidden(radio: Radio) -> None:
    with pytest.raises(WrongKey):
        await radio.wifi.connect("backstage", "a wrong key")
    await radio.wifi.connect("backstage", "break a leg!")
    assert (await radio.wifi.status()).ssid == "backstage"


async def test_one_network_after_another(radio: Radio) -> None:
    await radio.wifi.connect(HOME, KEY)
    pushes = pushes_of(radio.wifi)
    await radio.wifi.connect("coffee-corner")

    assert states(pushes) == [1, 2, 3]
    assert (await radio.wifi.status()).ssid == "coffee-corner"


async def test_what_can_be_refused_is_refused_before_the_network_is_left(radio: Radio) -> None:
    await radio.wifi.connect(HOME, KEY)
    pushes = pushes_of(radio.wifi)
    with pytest.raises(NetworkNotFound):
        await radio.wifi.connect("nowhere", KEY)

    assert (await radio.wifi.status()).ssid == HOME
    assert pushes == []


async def test_disconnect_without_a_network_does_nothing(radio: Radio) -> None:
    pushes = pushes_of(radio.wifi)
    await radio.wifi.disconnect()
    assert pushes == []


async def test_meanwhile_it_is_busy_until_it_is_disconnected(radio: Radio) -> None:
    pushes = pushes_of(radio.wifi)
    connecting = reached(radio.wifi, WifiState.CONNECTING)

    async def connect() -> None:
        with pytest.raises(Cancelled):
            await radio.wifi.connect("backstage", "break a leg!")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect)
        await connecting.wait()
        for method, params in (("connect", {"ssid": HOME, "psk": KEY}), ("scan", {})):
            assert (await ask(radio.wifi, f"wifi.{method}", params))["code"] == 1004
        assert (await radio.wifi.status()).state is WifiState.CONNECTING
        await radio.wifi.disconnect()
    assert states(pushes)[0] == 1
    assert states(pushes)[-1] == 0
    with pytest.raises(NetworkNotFound):
        await radio.wifi.connect("nowhere")


async def test_scans_may_overlap(radio: Radio) -> None:
    found: list[int] = []

    async def scan() -> None:
        found.append(len(await radio.wifi.scan()))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(partial(scan))
    assert len(found) == 3
    assert min(found) >= 7
