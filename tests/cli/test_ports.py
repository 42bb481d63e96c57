"""`discover`: the serial ports of this host."""

import sys

import msgspec
import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from jsonrpc_iot.cli._ports import serial_ports
from jsonrpc_iot.cli.discover import discover


def port(device: str, hwid: str = "USB", vid: int | None = None) -> ListPortInfo:
    made = ListPortInfo(device)
    made.description, made.hwid, made.vid, made.pid = "Bridge\x1b", hwid, vid, vid
    return made


def test_ports_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faked = [port("/dev/ttyUSB1"), port("/dev/ttyUSB0", vid=0x10C4), port("/dev/ttyS0", "n/a")]
    monkeypatch.setattr(list_ports, "comports", lambda: faked)

    discover(timeout=0.01, json=True, port=1)

    first, second = map(msgspec.json.decode, capsys.readouterr().out.splitlines())
    assert first == {
        "url": "uart:///dev/ttyUSB0",
        "serial": "/dev/ttyUSB0",
        "description": "Bridge\x1b",
        "vid": 0x10C4,
        "pid": 0x10C4,
    }
    assert (second["serial"], second["vid"]) == ("/dev/ttyUSB1", None)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial.tools.list_ports", None)

    assert serial_ports() == []
