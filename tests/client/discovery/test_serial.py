"""The serial adapters of this host."""

import sys
from contextlib import aclosing

import anyio
import msgspec
import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from jsonrpc_iot import MissingExtra, discover
from jsonrpc_iot.cli.discover import discover as discover_command
from jsonrpc_iot.client.discovery import serial, usual_ways
from tests.waiting import SECONDS


def port(device: str, hwid: str = "USB", vid: int | None = None) -> ListPortInfo:
    made = ListPortInfo(device)
    made.description, made.hwid, made.vid, made.pid = "Bridge\x1b", hwid, vid, vid
    return made


FAKED = [port("/dev/ttyUSB1"), port("/dev/ttyUSB0", vid=0x10C4), port("/dev/ttyS0", "n/a")]


def test_ports_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: FAKED)

    discover_command(timeout=0.3, json=True, via=["serial"])

    first, second = map(msgspec.json.decode, capsys.readouterr().out.splitlines())
    assert first == {
        "url": "uart:///dev/ttyUSB0",
        "name": None,
        "via": "serial",
        "serial": "/dev/ttyUSB0",
        "description": "Bridge\x1b",
        "vid": 0x10C4,
        "pid": 0x10C4,
    }
    assert (second["serial"], second["vid"]) == ("/dev/ttyUSB1", None)


@pytest.mark.anyio
async def test_one_that_is_plugged_in_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "_LOOK_SECONDS", 0.01)
    here: list[ListPortInfo] = [port("/dev/ttyUSB0")]
    monkeypatch.setattr(list_ports, "comports", lambda: here)

    with anyio.fail_after(SECONDS):
        async with aclosing(discover("serial")) as devices:
            assert (await anext(devices)).url == "uart:///dev/ttyUSB0"
            here.append(port("/dev/ttyUSB1"))
            assert (await anext(devices)).url == "uart:///dev/ttyUSB1"


@pytest.mark.anyio
async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial.tools.list_ports", None)

    assert "serial" not in usual_ways()
    with pytest.raises(MissingExtra, match=r"pip install 'jsonrpc-iot\[uart\]'"):
        await anext(discover("serial"))
