"""What is said where BlueZ cannot serve."""

import sys
from functools import partial
from pathlib import Path

import anyio
import pytest
from dbus_fast import DBusError, Variant

from jsonrpc_iot import BindFailed, InvalidUrl, MissingExtra, UsageError
from jsonrpc_iot.transports import open_listener
from tests.waiting import SECONDS

from .fake_bluez import MANAGERS, FakeBluez, dbus_daemon
from .fake_link import ADAPTER
from .rig import URL, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="BlueZ is Linux's"),
]


async def refusal(url: str = URL, expected: type[Exception] = BindFailed) -> str:
    """Why a URL cannot be served."""
    with anyio.fail_after(SECONDS), pytest.raises(expected) as caught:
        await open_listener(url)
    assert url in str(caught.value)
    return str(caught.value)


async def test_without_a_system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for address in (
        f"unix:path={tmp_path}/none",
        f"unix:path={tmp_path}/file",
        "nonsense",
        "x:y=z",
    ):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        assert "no D-Bus system bus" in await refusal()


@pytest.mark.usefixtures("system_bus")
async def test_without_bluetoothd() -> None:
    assert "systemctl start bluetooth" in await refusal()


async def test_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny = '<deny send_destination="org.bluez" send_interface="org.bluez.GattManager1"/>'
    async with dbus_daemon(tmp_path, deny) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        async with FakeBluez().running():
            assert "group bluetooth" in await refusal()


async def test_adapters_that_do_not_do(fake: FakeBluez) -> None:
    adapter = fake.objects[ADAPTER]
    assert "there are hci0" in await refusal(f"{URL}&adapter=hci7")
    adapter["org.bluez.Adapter1"]["Powered"] = Variant("b", False)
    assert "bluetoothctl power on" in await refusal()
    adapter["org.bluez.Adapter1"]["Powered"] = Variant("b", True)
    managers = {name: adapter.pop(name) for name in MANAGERS}
    assert "cannot be a peripheral" in await refusal()
    adapter.update(managers)
    del fake.objects[ADAPTER]
    assert "no Bluetooth adapter" in await refusal()


async def test_what_bluetoothd_refuses(fake: FakeBluez) -> None:
    error = DBusError("org.bluez.Error.NotPermitted", "Maximum advertisements reached")
    fake.errors["RegisterAdvertisement"] = error
    assert "Maximum advertisements reached" in await refusal()
    await fake.until_app_left()
    del fake.errors["RegisterAdvertisement"]
    async with serving():
        assert fake.app


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("gatt://lamp", "name=lamp"),
        ("gatt://?name=lamp&address=F0:00:00:00:00:01", "adapter="),
        (f"gatt://?name={'x' * 30}", "29 bytes"),
        ("gatt://?name=lamp&centrals=0", "centrals"),
        ("gatt://?name=lamp&adapter=a/b", "adapter"),
        ("gatt://?name=lamp&tx=hello", "UUID"),
        ("gatt://?name=lamp&max=513", "max"),
        ("gatt:///path?name=lamp", "path"),
        ("gatt://?nam=lamp", "centrals"),
    ],
)
async def test_urls_that_make_no_sense(url: str, problem: str) -> None:
    assert problem in await refusal(url, InvalidUrl)


async def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in await refusal(expected=UsageError)


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dbus_fast", None)
    assert "pip install 'jsonrpc-iot[gatt]'" in await refusal(expected=MissingExtra)


def test_trio_is_told() -> None:
    text = anyio.run(partial(refusal, expected=UsageError), backend="trio")
    assert "not on trio" in text
