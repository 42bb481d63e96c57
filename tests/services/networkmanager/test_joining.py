"""Networks joined by NetworkManager: its profiles, its reasons, and what it is told."""

import anyio
import pytest
from dbus_fast import Message, Variant

from jsonrpc_iot import DeadlineExceeded, RpcError
from jsonrpc_iot.services.wifi import NetworkNotFound, WifiBusy, WifiError, WifiState, WrongKey
from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi, backend, joining
from tests.services._wifi import HOME, KEY, ask, pushes_of, reached, states
from tests.waiting import SECONDS, eventually

from .mock import DEVICE, NM, POINT, MockedManager
from .mock import PATH as NM_PATH

pytestmark = pytest.mark.anyio

LAB = "home-network-5g"
PROFILE = {
    "connection": {
        "id": Variant("s", "mine"),
        "type": Variant("s", "802-11-wireless"),
        "uuid": Variant("s", "2a0f4f6e-7c54-4c36-a4a6-5e5b0a3d1c11"),
        "autoconnect-priority": Variant("i", 7),
    },
    "802-11-wireless": {"ssid": Variant("ay", HOME.encode()), "bssid": Variant("ay", b"123456")},
    "802-11-wireless-security": {
        "key-mgmt": Variant("s", "wpa-psk"),
        "psk": Variant("s", "an older key"),
    },
    "ipv4": {"method": Variant("s", "manual"), "addresses": Variant("aau", [[1, 24, 0]])},
}


async def test_a_known_profile_is_replaced_and_not_doubled(
    manager: MockedManager, wlan: str
) -> None:
    await manager.tell("AddProfile", "a{sa{sv}}", PROFILE)
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)

        (profile,) = await manager.profiles()
        assert profile["802-11-wireless-security"] == {"key-mgmt": "wpa-psk", "psk": KEY}
        assert profile["802-11-wireless"] == {
            "ssid": HOME.encode(),
            "mode": "infrastructure",
            "hidden": False,
        }
        assert profile["ipv4"] == {"method": "manual", "addresses": [[1, 24, 0]]}
        assert profile["connection"]["id"] == "mine"
        assert profile["connection"]["autoconnect-priority"] == 7
        assert profile["connection"]["uuid"] != PROFILE["connection"]["uuid"].value


async def test_a_wrong_key_leaves_known_profiles_as_they_were(
    manager: MockedManager, wlan: str
) -> None:
    await manager.tell("AddProfile", "a{sa{sv}}", PROFILE)
    before = await manager.profiles()
    async with NetworkManagerWifi() as wifi:
        with pytest.raises(WrongKey):
            await wifi.connect(HOME, "a wrong key")
        with pytest.raises(WrongKey):
            await wifi.connect(LAB, "a wrong key")

    assert await manager.profiles() == before


async def test_after_a_wrong_key_it_comes_back_to_where_it_was(
    manager: MockedManager, wlan: str
) -> None:
    await manager.tell("ConnectAgain", "b", True)
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)
        pushes = pushes_of(wifi)
        back = reached(wifi, WifiState.CONNECTED)
        with pytest.raises(WrongKey):
            await wifi.connect(LAB, "a wrong key")
        with anyio.fail_after(SECONDS):
            await back.wait()

        assert states(pushes) == [1, 4, 1, 2, 3]
        assert (await wifi.status()).ssid == HOME


async def test_what_can_be_refused_is_refused_before_the_present_network_is_left(
    manager: MockedManager, wlan: str
) -> None:
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)
        pushes = pushes_of(wifi)
        for ssid, psk, code in (("nowhere", KEY, 1001), (LAB, "", 1002), (HOME, "x\0" * 9, 1002)):
            answer = await ask(wifi, "wifi.connect", {"ssid": ssid, "psk": psk})
            assert answer["code"] == code
        assert await ask(wifi, "wifi.connect", {"ssid": HOME, "psk": KEY}) is None

        assert pushes == []
        assert (await wifi.status()).state is WifiState.CONNECTED
        assert len(await manager.profiles()) == 1


@pytest.mark.parametrize("error", ["", f"{NM}.Settings.PermissionDenied"])
async def test_the_same_network_with_another_key_is_tried(
    manager: MockedManager, wlan: str, error: str
) -> None:
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)
        if error:
            await manager.tell("Refuse", "ss", "GetSecrets", error)
        with pytest.raises(WrongKey):
            await wifi.connect(HOME, "a wrong key")
        if error:  # whether it is the same key nobody tells, so it is tried
            pushes = pushes_of(wifi)
            await wifi.connect(HOME, KEY)
            assert states(pushes) == [1, 2, 3]


async def test_a_profile_that_another_adapter_uses_stays(manager: MockedManager, wlan: str) -> None:
    other = await manager.add_radio("wlan1")
    security = {**PROFILE["802-11-wireless-security"], "psk": Variant("s", KEY)}
    right = {**PROFILE, "802-11-wireless-security": security}
    path = await manager.tell("AddProfile", "a{sa{sv}}", right)
    bound = {**PROFILE, "connection": {**PROFILE["connection"], "uuid": Variant("s", "other")}}
    bound["connection"]["interface-name"] = Variant("s", "wlan1")
    await manager.tell("AddProfile", "a{sa{sv}}", bound)
    await manager.tell("Join", "oo", other, path)
    async with NetworkManagerWifi("wlan0") as wifi:
        await wifi.connect(HOME, KEY)

    profiles = [each["connection"].get("interface-name") for each in await manager.profiles()]
    assert sorted(profiles, key=str) == [None, "wlan0", "wlan1"]


@pytest.mark.parametrize(
    ("mood", "error", "text"),
    [
        ("gone", NetworkNotFound, "does not answer"),
        ("7", WrongKey, "does not accept the key"),
        ("8", WrongKey, "does not accept the key"),
        ("11", WrongKey, "does not accept the key"),
        ("9", WifiError, "cannot join"),
        ("36", RpcError, "adapter is gone"),
        ("1", WifiError, "reason 1"),
        ("stubborn", WrongKey, "does not accept the key"),
    ],
)
async def test_reasons(
    manager: MockedManager, wlan: str, mood: str, error: type[RpcError], text: str
) -> None:
    await manager.tell("SetMood", "ays", HOME.encode(), mood)
    async with NetworkManagerWifi() as wifi:
        key = "a wrong key" if mood == "stubborn" else KEY  # a program is asked for another key
        with pytest.raises(error, match=text):
            await wifi.connect(HOME, key)
        assert (await wifi.status()).state is WifiState.FAILED
        assert await manager.profiles() == []


async def test_an_open_network_that_lets_nobody_in(manager: MockedManager, wlan: str) -> None:
    await manager.tell("SetMood", "ays", b"coffee-corner", "11")
    async with NetworkManagerWifi() as wifi:
        with pytest.raises(NetworkNotFound, match="does not let"):
            await wifi.connect("coffee-corner")


async def test_a_wrong_key_for_wpa3_that_networkmanager_does_not_notice(
    manager: MockedManager, wlan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_KEY_SECONDS", 0.1)
    await manager.tell("SetMood", "ays", LAB.encode(), "silent")
    async with NetworkManagerWifi() as wifi:
        with pytest.raises(WrongKey, match="in time"):
            await wifi.connect(LAB, KEY)
        assert await manager.profiles() == []
        await eventually(lambda: wifi._state_of(wlan) is WifiState.FAILED)


async def test_without_an_address_it_stays_in_state_2(
    manager: MockedManager, wlan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_JOIN_SECONDS", 0.2)
    await manager.tell("SetMood", "ays", HOME.encode(), "without address")
    async with NetworkManagerWifi() as wifi:
        pushes = pushes_of(wifi)
        with pytest.raises(DeadlineExceeded, match="no address yet"):
            await wifi.connect(HOME, KEY)

        assert states(pushes) == [1, 2]
        status = await wifi.status()
        assert (status.ssid, status.state) == (HOME, WifiState.ASSOCIATED)
        assert len(await manager.profiles()) == 1  # the key is right
        connected = reached(wifi, WifiState.CONNECTED)
        await manager.tell("EnterState", "ouu", wlan, 100, 0)
        with anyio.fail_after(SECONDS):
            await connected.wait()


async def test_dhcp_that_fails_is_told(manager: MockedManager, wlan: str) -> None:
    await manager.tell("SetMood", "ays", HOME.encode(), "without DHCP")
    async with NetworkManagerWifi() as wifi:
        with pytest.raises(WifiError, match="no address"):
            await wifi.connect(HOME, KEY)
        assert len(await manager.profiles()) == 1


async def test_it_gives_up_in_the_end(
    manager: MockedManager, wlan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_JOIN_SECONDS", 0.1)
    await manager.tell("SetMood", "ays", HOME.encode(), "silent")
    async with NetworkManagerWifi() as wifi:
        with pytest.raises(DeadlineExceeded, match="not done"):
            await wifi.connect(HOME, KEY)
        assert (await wifi.status()).state is WifiState.FAILED
        assert await manager.profiles() == []


async def test_a_caller_that_goes_away_leaves_nothing(manager: MockedManager, wlan: str) -> None:
    for mood, kept in (("silent", 0), ("without address", 1)):
        await manager.tell("SetMood", "ays", HOME.encode(), mood)
        async with NetworkManagerWifi() as wifi:
            state = WifiState.ASSOCIATED if kept else WifiState.CONNECTING
            far_enough = reached(wifi, state)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wifi.connect, HOME, KEY)
                await far_enough.wait()
                while await manager.tell("Saved") < kept:  # noqa: ASYNC110  # nothing tells
                    await anyio.sleep(0.002)
                tasks.cancel_scope.cancel()
            assert (await wifi.status()).state is WifiState.DISCONNECTED
            assert len(await manager.profiles()) == kept


async def test_another_program_joins_another_network(manager: MockedManager, wlan: str) -> None:
    await manager.tell("SetMood", "ays", HOME.encode(), "silent")
    async with NetworkManagerWifi() as wifi:
        await wifi.connect("coffee-corner")
        known = await manager.call(f"{NM_PATH}/Settings", f"{NM}.Settings", "ListConnections")
        failed = anyio.Event()

        async def connect() -> None:
            with pytest.raises((WifiBusy, WifiError)):
                await wifi.connect(HOME, KEY)
            failed.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connect)
            await reached(wifi, WifiState.CONNECTING).wait()
            await manager.tell("Join", "oo", wlan, known[0])
            with anyio.fail_after(SECONDS):
                await failed.wait()
        await eventually(lambda: wifi._state_of(wlan) is WifiState.CONNECTED)
        assert (await wifi.status()).ssid == "coffee-corner"


async def test_a_profile_that_cannot_be_kept_on_the_disk_is_kept_in_memory(
    manager: MockedManager, wlan: str, caplog: pytest.LogCaptureFixture
) -> None:
    await manager.tell("Refuse", "ss", "Update2 1", f"{NM}.Settings.Failed")
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)
        await wifi.disconnect()

    assert "is not kept on the disk" in caplog.text
    assert "in memory" not in caplog.text
    assert len(await manager.profiles()) == 1  # it would be gone as it was


async def test_an_access_point_that_vanishes_when_it_is_chosen(
    manager: MockedManager, wlan: str
) -> None:
    async with NetworkManagerWifi() as wifi:
        point = await manager.call(wlan, f"{DEVICE}.Wireless", "GetAllAccessPoints")
        await manager.tell("Refuse", "ss", "AddAndActivateConnection2", f"{NM}.UnknownConnection")
        with pytest.raises(WifiError, match="refuses"):
            await wifi.connect(HOME, KEY)

        # It is gone by the time that NetworkManager says no.
        real = wifi._manager.call

        async def late(path: str, *rest: object, **options: object) -> list[object]:
            if rest[1] == "AddAndActivateConnection2":
                await manager.tell("RemoveAccessPoint", "ss", wlan, point[0])
            return await real(path, *rest, **options)  # type: ignore[arg-type]

        wifi._manager.call = late  # type: ignore[method-assign]
        with pytest.raises(NetworkNotFound, match="just vanished"):
            await wifi.connect(HOME, KEY)


async def test_the_strongest_access_point_of_a_name_is_chosen(
    manager: MockedManager, wlan: str
) -> None:
    points = await manager.call(wlan, f"{DEVICE}.Wireless", "GetAllAccessPoints")
    async with NetworkManagerWifi() as wifi:
        await wifi.connect("office-mesh", "meeting room 4")
        assert (await wifi.status()).bssid == "02:5e:20:00:00:01"
        await wifi.disconnect()
        await manager.set(points[3], POINT, Strength=Variant("y", 100))
        await wifi.connect("office-mesh", "meeting room 4")
        assert (await wifi.status()).bssid == "02:5e:20:00:00:02"


@pytest.mark.parametrize(
    ("flags", "wpa", "rsn", "text"),
    [(1, 0, 0, "wep"), (1, 0, 0x288, "enterprise"), (0, 0, 0x800, "takes no key")],
)
async def test_networks_that_take_something_else(
    manager: MockedManager, wlan: str, flags: int, wpa: int, rsn: int, text: str
) -> None:
    points = await manager.call(wlan, f"{DEVICE}.Wireless", "GetAllAccessPoints")
    values = {"Flags": flags, "WpaFlags": wpa, "RsnFlags": rsn}
    await manager.set(points[0], POINT, **{k: Variant("u", v) for k, v in values.items()})
    async with NetworkManagerWifi() as wifi:
        with pytest.raises(WrongKey, match=text):
            await wifi.connect(HOME, KEY)


async def test_the_outcome_is_told_at_once(manager: MockedManager, wlan: str) -> None:
    """The target is half a second after NetworkManager's own change."""
    times: dict[int, float] = {}

    def hear(message: Message) -> None:
        if message.member == "StateChanged" and message.path == wlan:
            times[message.body[0]] = anyio.current_time()

    await manager.listen(hear)
    async with NetworkManagerWifi() as wifi:
        await wifi.connect(HOME, KEY)
        joined = anyio.current_time()
        with pytest.raises(WrongKey):
            await wifi.connect(LAB, "a wrong key")
        failed = anyio.current_time()
    await eventually(lambda: {60, 100} <= times.keys())
    assert joined - times[100] < 0.5
    assert failed - times[60] < 0.5
