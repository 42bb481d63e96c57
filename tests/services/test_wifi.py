"""What the `wifi` service promises for every backend, shown with the simulated radio."""

import pickle

import anyio
import msgspec
import pytest

from jsonrpc_iot import Cancelled, InvalidParams, RpcError
from jsonrpc_iot.services.wifi import (
    NetworkNotFound,
    NoWifiHardware,
    SimulatedNetwork,
    Wifi,
    WifiBusy,
    WifiError,
    WifiState,
    WrongKey,
    decode_ssid,
)

from ._wifi import (
    HOME,
    KEY,
    NEVER,
    ask,
    instant,
    on_virtual_time,
    pushes_of,
    reached,
    serving,
    states,
)

pytestmark = pytest.mark.anyio


# Scan


async def test_a_scan_has_the_protocols_fields_and_more() -> None:
    network = SimulatedNetwork("lamp", "02:00:00:00:00:01", 6, -50, "wpa2", "turn it on")
    [found] = await ask(instant(networks=(network,)), "wifi.scan")

    assert -58 <= found.pop("rssi") <= -42
    assert found == {
        "ssid": "lamp",
        "bssid": "02:00:00:00:00:01",
        "channel": 6,
        "security": "wpa2",
    }


async def test_scans_may_overlap() -> None:
    wifi = instant()
    lengths = []

    async def scan() -> None:
        lengths.append(len(await wifi.scan()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scan)
        tasks.start_soon(scan)
    assert lengths == [7, 7]


@pytest.mark.parametrize(
    ("raw", "text", "hexadecimal"),
    [
        (b"lamp", "lamp", msgspec.UNSET),
        ("灯".encode(), "灯", msgspec.UNSET),
        (b"", "", msgspec.UNSET),
        (b"\xff\x00", "\N{REPLACEMENT CHARACTER}\0", "ff00"),
    ],
)
def test_ssid_bytes_become_text(raw: bytes, text: str, hexadecimal: object) -> None:
    assert decode_ssid(raw) == (text, hexadecimal)


# Connect, status, disconnect


async def test_connect_answers_null() -> None:
    request = {"method": "wifi.connect", "id": 7, "params": {"ssid": HOME, "psk": KEY}}
    reply = await serving(instant()).dispatch(msgspec.json.encode(request))
    assert reply == b'{"id":7,"result":null}'


async def test_parameters_by_position() -> None:
    wifi = instant()
    assert await ask(wifi, "wifi.connect", [HOME, KEY]) is None
    assert (await ask(wifi, "wifi.status"))["ssid"] == HOME


async def test_the_states_of_a_connection_are_pushed_in_order() -> None:
    wifi = instant()
    pushes = pushes_of(wifi)

    await ask(wifi, "wifi.connect", {"ssid": HOME, "psk": KEY})
    await ask(wifi, "wifi.disconnect")
    assert states(pushes) == [1, 2, 3, 0]
    assert [status.ssid for status in pushes] == ["", HOME, HOME, ""]
    assert [status.signal < 0 for status in pushes] == [False, True, True, False]
    assert [status.signal for status in pushes[::3]] == [0, 0]


async def test_changes_go_out_as_the_notification_wifi_status() -> None:
    wifi = instant()
    pushes = pushes_of(wifi)
    sent: list[tuple[str, object]] = []
    serving(wifi).on_emit(lambda method, params: sent.append((method, params)))

    await wifi.connect(HOME, KEY)
    assert sent == [("wifi.status", status) for status in pushes]
    assert len(sent) == 3


async def test_status_without_a_network() -> None:
    assert await ask(instant(), "wifi.status") == {"ssid": "", "state": 0, "signal": 0}


async def test_status_has_the_shape_of_the_push_and_names_the_access_point() -> None:
    wifi = instant()
    pushes = pushes_of(wifi)
    await wifi.connect(HOME, KEY)

    status = await ask(wifi, "wifi.status")
    assert status == msgspec.to_builtins(pushes[-1])
    assert status["state"] == 3
    [seen] = [entry for entry in await ask(wifi, "wifi.scan") if entry["ssid"] == HOME]
    assert status["signal"] == seen["rssi"]
    assert {key: status[key] for key in ("bssid", "channel", "security")} == {
        key: seen[key] for key in ("bssid", "channel", "security")
    }


async def test_disconnect_without_a_network_does_nothing() -> None:
    wifi = instant()
    pushes = pushes_of(wifi)
    assert await ask(wifi, "wifi.disconnect") is None
    assert pushes == []


# Errors


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("wifi.scan", {}),
        ("wifi.connect", {"ssid": HOME, "psk": KEY}),
        ("wifi.disconnect", {}),
        ("wifi.status", {}),
    ],
)
async def test_without_a_radio_everything_answers_1003(method: str, params: object) -> None:
    wifi = instant(hardware=False)
    pushes = pushes_of(wifi)
    assert await ask(wifi, method, params) == {"code": 1003, "message": "No Wi-Fi hardware"}
    assert pushes == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(NetworkNotFound, 1001), (WrongKey, 1002), (NoWifiHardware, 1003), (WifiBusy, 1004)],
)
def test_errors_keep_code_and_text_when_pickled(error: type[WifiError], code: int) -> None:
    again = pickle.loads(pickle.dumps(error("why", {"channel": 6})))
    assert type(again) is error
    assert (again.code, again.message, again.data) == (code, "why", {"channel": 6})
    assert isinstance(again, RpcError)


def test_a_backend_has_to_fill_in_the_hooks() -> None:
    class Lazy(Wifi):
        pass

    with pytest.raises(TypeError, match=r"_join.*_leave.*_report.*_scan"):
        Lazy()  # type: ignore[abstract]


# Validation


@pytest.mark.parametrize(
    ("params", "path"),
    [
        pytest.param({"ssid": ""}, "$.ssid", id="empty ssid"),
        pytest.param({"ssid": "x" * 33}, "$.ssid", id="33 bytes"),
        pytest.param({"ssid": "é" * 16 + "x"}, "$.ssid", id="33 bytes in 17 characters"),
        pytest.param({"ssid": "灯" * 11}, "$.ssid", id="33 bytes in 11 characters"),
        pytest.param({"ssid": HOME, "psk": "x"}, "$.psk", id="1 character"),
        pytest.param({"ssid": HOME, "psk": "x" * 7}, "$.psk", id="7 characters"),
        pytest.param({"ssid": HOME, "psk": "é" * 7}, "$.psk", id="7 characters of 2 bytes"),
        pytest.param({"ssid": HOME, "psk": "g" * 64}, "$.psk", id="64, but no hex"),
        pytest.param({"ssid": HOME, "psk": "a" * 63 + "٣"}, "$.psk", id="an Arabic digit"),
        pytest.param({"ssid": HOME, "psk": "a" * 63 + "\n"}, "$.psk", id="63 hex and a newline"),
        pytest.param({"ssid": HOME, "psk": "a" * 65}, "$.psk", id="65 hex digits"),
        pytest.param({"ssid": HOME, "psk": None}, "$.psk", id="psk null"),
        pytest.param({"ssid": 1}, "$.ssid", id="ssid a number"),
    ],
)
async def test_params_that_no_network_has(params: dict[str, object], path: str) -> None:
    wifi = instant()
    pushes = pushes_of(wifi)

    error = await ask(wifi, "wifi.connect", params)
    assert error["code"] == -32602
    assert error["data"]["path"] == path
    assert error["data"]["message"].startswith("Expected")
    assert pushes == []


@pytest.mark.parametrize("params", [{}, {"psk": KEY}, {"ssid": HOME, "key": KEY}])
async def test_params_that_are_missing_or_too_many(params: dict[str, str]) -> None:
    assert (await ask(instant(), "wifi.connect", params))["code"] == -32602


async def test_direct_calls_are_validated_too() -> None:
    wifi = instant()
    with pytest.raises(InvalidParams):
        await wifi.connect("x" * 33)
    with pytest.raises(InvalidParams):
        await wifi.connect(HOME, "short")


@pytest.mark.parametrize("ssid", ["x", "x" * 32, "é" * 16, "灯" * 10 + "xx", "\ud800", "\0"])
async def test_an_ssid_of_1_to_32_bytes_is_looked_for(ssid: str) -> None:
    with pytest.raises(NetworkNotFound):
        await instant().connect(ssid)


@pytest.mark.parametrize("psk", ["x" * 8, "é" * 8, "g" * 63, "é" * 63, "aF" * 32, "0" * 64])
async def test_a_key_of_a_valid_length_is_tried(psk: str) -> None:
    with pytest.raises(WrongKey):
        await instant().connect(HOME, psk)


# One attempt at a time


async def test_while_connecting_other_attempts_and_scans_are_busy() -> None:
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    pushes = pushes_of(wifi)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, wifi, "wifi.connect", {"ssid": HOME, "psk": KEY})
        await connecting.wait()

        assert (await ask(wifi, "wifi.connect", {"ssid": "coffee-corner"}))["code"] == 1004
        assert (await ask(wifi, "wifi.scan"))["code"] == 1004
        assert await ask(wifi, "wifi.status") == {"ssid": "", "state": 1, "signal": 0}
        assert states(pushes) == [1]
        tasks.cancel_scope.cancel()


async def test_disconnect_cancels_a_running_attempt() -> None:
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)
    pushes = pushes_of(wifi)
    answers = []

    async def connect() -> None:
        answers.append(await ask(wifi, "wifi.connect", {"ssid": HOME, "psk": KEY}))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect)
        await connecting.wait()
        assert await ask(wifi, "wifi.disconnect") is None
        assert (await wifi.status()).state is WifiState.DISCONNECTED
        assert len(await wifi.scan()) == 7
    assert answers == [{"code": -32003, "message": "Disconnected while connecting"}]
    assert states(pushes) == [1, 0]


async def test_after_disconnect_a_new_attempt_may_begin_at_once() -> None:
    wifi = instant(connect_time=NEVER)
    connecting = reached(wifi, WifiState.CONNECTING)

    async def connect() -> None:
        with pytest.raises(Cancelled):
            await wifi.connect(HOME, KEY)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect)
        await connecting.wait()
        await wifi.disconnect()
        with pytest.raises(NetworkNotFound):
            await wifi.connect("nowhere")


@pytest.mark.parametrize("state", [WifiState.CONNECTING, WifiState.ASSOCIATED])
async def test_a_cancelled_handler_leaves_the_radio_disconnected_and_free(state: WifiState) -> None:
    wifi = instant()
    pushes = pushes_of(wifi)
    with anyio.CancelScope() as caller:
        stop = wifi.status_changed.subscribe(
            lambda status: caller.cancel() if status.state is state else None
        )
        await wifi.connect(HOME, KEY)
    stop()

    assert caller.cancelled_caught
    assert states(pushes) == [*range(1, state + 1), 0]
    await wifi.connect(HOME, KEY)
    assert (await wifi.status()).state is WifiState.CONNECTED


# Time


def test_connect_answers_after_20_seconds_at_the_latest() -> None:
    async def main() -> None:
        wifi = instant(connect_time=NEVER)
        started = anyio.current_time()
        error = await ask(wifi, "wifi.connect", {"ssid": HOME, "psk": KEY})
        assert error["code"] == -32002
        assert anyio.current_time() - started == pytest.approx(20)
        assert (await wifi.status()).state is WifiState.DISCONNECTED

    on_virtual_time(main)
