"""Where the key comes from, and that nobody sees it; and what a supervisor is told."""

import logging
import os
import socket
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import UsageError
from jsonrpc_iot.novacloud import NovaDevice
from tests.novacloud.scripted import ID, KEY, Platform, connected

pytestmark = pytest.mark.anyio


async def test_the_key_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml, bare = tmp_path / "device.toml", tmp_path / "key"
    toml.write_text(f'# a lamp\ndevice_key = "{KEY}"\n')
    bare.write_text(f"{KEY}\n")
    monkeypatch.setenv("NOVACLOUD_DEVICE_KEY", KEY)
    platform = Platform()
    for given in (toml, bare, None):
        async with platform.device(device_key=given):
            said = await (await platform.accept()).admit()
            assert said["device_key"] == KEY
    platform.close()


@pytest.mark.parametrize(
    "content",
    [
        f'device_key = "{KEY}',
        f"[{KEY}]",
        f'key = "{KEY}"',
        f"device_key = [ '{KEY}' ]",
        b"\xff" * 9,
    ],
)
async def test_a_file_without_a_key(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "device.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as caught:
        NovaDevice("h", device_id=ID, device_key=path)
    assert str(path) in str(caught.value)
    assert KEY not in repr(caught.getrepr(showlocals=False))


def test_no_key_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOVACLOUD_DEVICE_KEY", raising=False)
    with pytest.raises(UsageError, match="NOVACLOUD_DEVICE_KEY"):
        NovaDevice("h", device_id=ID)
    with pytest.raises(UsageError, match="No such file"):
        NovaDevice("h", device_id=ID, device_key=tmp_path / "none")


async def test_the_key_is_nowhere_to_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    platform = Platform()
    async with platform.device() as device:
        far = await platform.accept()
        far.refuse(f"no device has the key {KEY}")
        far = await platform.admit()
        refusal = device.refusal
        far.send({"type": "config", "key": KEY})
        far.socket.sendall(b'{"type":"command","payload":"' + KEY.encode() + b'"}\n')
        far.send({"type": "error", "payload": {"message": "odd"}})
        await device.report({"echo": 1})
        await far.read()
        far.command("c1")
        await far.response()
        shown = [repr(device), str(device), repr(vars(device)), f"{device.counts}", str(refusal)]
        far.reset()
        await platform.admit()
    platform.close()
    assert "***" in str(refusal)
    assert all(KEY not in text for text in shown)
    messages = [record.getMessage() for record in caplog.records]
    assert any('"echo":1' in message for message in messages)  # DEBUG shows what is sent
    assert all(KEY not in message for message in messages)
    assert KEY not in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="systemd runs on Linux")
@pytest.mark.parametrize("abstract", [False, True])
async def test_a_supervisor_is_told(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@jsonrpc-iot-{os.getpid()}" if abstract else str(tmp_path / "notify")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(f"\0{name[1:]}" if abstract else name)
    listening.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    said: list[bytes] = []
    async with connected():
        while said.count(b"WATCHDOG=1") < 3:
            said.append(await anyio.to_thread.run_sync(listening.recv, 100))
    while b"STOPPING=1" not in said:
        said.append(listening.recv(100))
    listening.close()
    assert said[0] == b"READY=1"
    assert set(said) == {b"READY=1", b"WATCHDOG=1", b"STOPPING=1"}


async def test_a_supervisor_that_is_gone_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    monkeypatch.setenv("WATCHDOG_USEC", "many")
    async with connected() as (device, far, _):
        await device.report({"n": 1})
        assert (await far.read())["payload"] == {"n": 1}
