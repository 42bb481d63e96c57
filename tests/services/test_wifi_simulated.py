"""The simulated radio: its networks, its times, its signals."""

import itertools
from collections.abc import Awaitable

import anyio
import msgspec
import pytest

from jsonrpc_iot.services.wifi import (
    DEFAULT_NETWORKS,
    AccessPoint,
    NetworkNotFound,
    SimulatedNetwork,
    SimulatedWifi,
    WifiState,
    WrongKey,
    decode_ssid,
)

from ._wifi import (
    HOME,
    KEY,
    Clock,
    ask,
    instant,
    on_virtual_time,
    pushes_of,
    serving,
    states,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", range(20))
async def test_a_default_scan_is_sorted_and_fits_a_serial_packet(seed: int) -> None:
    dispatcher = serving(instant(seed))
    reply = await dispatcher.dispatch(b'{"jsonrpc":"2.0","id":4294967295,"method":"wifi.scan"}')

    assert reply is not None
    assert len(reply) <= 1024
    levels = [entry["rssi"] for entry in msgspec.json.decode(reply)["result"]]
    assert len(levels) == 7
    assert levels == sorted(levels, reverse=True)
    assert all(-95 <= level < 0 for level in levels)


async def test_a_hidden_network_is_in_no_scan_but_can_be_joined() -> None:
    wifi = instant()
    assert "backstage" not in {found.ssid for found in await wifi.scan()}

    await wifi.connect("backstage", "break a leg!")
    assert (await wifi.status()).ssid == "backstage"


async def test_an_ssid_that_is_no_utf8_is_shown_and_given_whole() -> None:
    wifi = instant()
    [found] = [entry for entry in await ask(wifi, "wifi.scan") if "ssid_hex" in entry]
    assert (found["ssid"], found["ssid_hex"]) == ("caf\N{REPLACEMENT CHARACTER}", "636166e9")

    params = {"ssid": found["ssid"], "psk": "deux croissants"}
    assert await ask(wifi, "wifi.connect", params) is None
    assert (await ask(wifi, "wifi.status"))["ssid_hex"] == "636166e9"


@pytest.mark.parametrize("seed", range(5))
async def test_connect_chooses_the_strongest_access_point_of_a_name(seed: int) -> None:
    wifi = instant(seed)
    mesh = [found for found in await wifi.scan() if found.ssid == "office-mesh"]
    assert len({found.channel for found in mesh}) == 2

    await wifi.connect("office-mesh", "meeting room 4")
    assert (await wifi.status()).bssid == mesh[0].bssid


@pytest.mark.parametrize(
    "params", [{"ssid": "coffee-corner"}, {"ssid": "coffee-corner", "psk": ""}]
)
async def test_an_open_network_needs_no_key(params: dict[str, str]) -> None:
    assert await ask(instant(), "wifi.connect", params) is None


async def test_connecting_elsewhere_leaves_the_present_network() -> None:
    wifi = instant()
    await wifi.connect(HOME, KEY)
    pushes = pushes_of(wifi)

    await wifi.connect("coffee-corner")
    assert states(pushes) == [1, 2, 3]
    assert (await wifi.status()).ssid == "coffee-corner"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        pytest.param({"ssid": "nowhere", "psk": KEY}, 1001, id="no such network"),
        pytest.param({"ssid": HOME.upper(), "psk": KEY}, 1001, id="case counts"),
        pytest.param({"ssid": HOME, "psk": "a wrong key"}, 1002, id="wrong key"),
        pytest.param({"ssid": HOME}, 1002, id="key missing"),
        pytest.param({"ssid": "coffee-corner", "psk": KEY}, 1002, id="key for an open network"),
    ],
)
async def test_a_failed_attempt_ends_in_state_4(params: dict[str, str], code: int) -> None:
    wifi = instant()
    pushes = pushes_of(wifi)

    error = await ask(wifi, "wifi.connect", params)
    assert error["code"] == code
    assert error["message"]
    assert states(pushes) == [1, 4]
    assert await ask(wifi, "wifi.status") == {"ssid": "", "state": 4, "signal": 0}

    await ask(wifi, "wifi.disconnect")
    assert states(pushes) == [1, 4, 0]


async def test_after_a_failure_one_can_connect() -> None:
    wifi = instant()
    with pytest.raises(WrongKey):
        await wifi.connect(HOME, "a wrong key")
    await wifi.connect(HOME, KEY)
    assert (await wifi.status()).state is WifiState.CONNECTED


async def test_a_wpa2_key_may_be_given_as_hex_digits() -> None:
    # IEEE 802.11-2016, J.4.2, test vector 1
    raw_key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    wpa2 = SimulatedNetwork("IEEE", "02:00:00:00:00:01", 1, -40, "wpa2", "password")
    await instant(networks=(wpa2,)).connect("IEEE", raw_key)
    await instant(networks=(wpa2,)).connect("IEEE", raw_key.upper())

    wpa3 = msgspec.structs.replace(wpa2, security="wpa3")
    with pytest.raises(WrongKey):
        await instant(networks=(wpa3,)).connect("IEEE", raw_key)


@pytest.mark.parametrize("seed", range(10))
def test_the_default_radio_is_quick_but_not_instant(seed: int) -> None:
    async def seconds(call: Awaitable[object]) -> float:
        started = anyio.current_time()
        await call
        return anyio.current_time() - started

    async def main() -> None:
        wifi = SimulatedWifi(seed)
        assert 0.1 < await seconds(wifi.scan()) < 1
        for network in DEFAULT_NETWORKS:
            ssid, _ = decode_ssid(network.raw_ssid)
            assert 0.5 < await seconds(wifi.connect(ssid, network.key)) < 3

    on_virtual_time(main)


async def seconds_to_connect(seed: int, rssi: int) -> list[float]:
    """How long three attempts take with a signal of about that strength."""
    lamp = SimulatedNetwork("lamp", "02:00:00:00:00:01", 6, rssi)
    wifi = SimulatedWifi(seed, networks=[lamp], clock=Clock())
    times = [anyio.current_time()]
    for _ in range(3):
        await wifi.connect("lamp")
        times.append(anyio.current_time())
    return [round(end - start, 6) for start, end in itertools.pairwise(times)]


def test_attempts_take_as_long_as_seed_and_signal_say() -> None:
    async def main() -> None:
        # As strong as can be received, so that the seed's offset of the signal plays no part.
        first = await seconds_to_connect(1, rssi=0)
        assert first == await seconds_to_connect(1, rssi=0)
        assert first != await seconds_to_connect(2, rssi=0)
        assert len(set(first)) == 3

        weak = await seconds_to_connect(1, rssi=-85)
        assert all(slow > fast for slow, fast in zip(weak, first, strict=True))

    on_virtual_time(main)


def test_an_unknown_network_is_looked_for_as_long_as_a_scan_takes() -> None:
    async def main() -> None:
        wifi = SimulatedWifi(scan_time=0.25)
        started = anyio.current_time()
        with pytest.raises(NetworkNotFound):
            await wifi.connect("nowhere")
        assert anyio.current_time() - started == pytest.approx(0.25)

    on_virtual_time(main)


async def test_equal_seeds_give_equal_radios() -> None:
    async def history(seed: int, start: float) -> list[list[AccessPoint]]:
        clock = Clock()
        clock.now = start
        wifi = SimulatedWifi(seed, scan_time=0, clock=clock)
        scans = []
        for seconds in (0, 60, 61.5):
            clock.now = start + seconds
            scans.append(await wifi.scan())
        return scans

    assert await history(7, 0) == await history(7, 5000)
    assert await history(7, 0) != await history(8, 0)


async def test_the_signal_drifts_slowly_and_is_a_function_of_time() -> None:
    clock = Clock()
    wifi = SimulatedWifi(connect_time=0, clock=clock)
    await wifi.connect(HOME, KEY)

    async def level(second: float) -> int:
        clock.now = 1000 + second
        return (await wifi.status()).signal

    levels = [await level(second) for second in range(600)]
    assert 3 <= max(levels) - min(levels) <= 10
    steps = [abs(after - before) for before, after in itertools.pairwise(levels)]
    assert max(steps) == 1
    assert [await level(second) for second in range(0, 600, 7)] == levels[::7]
