"""A keyring opens sealed links, and what it says counts at once."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import (
    ConnectFailed,
    Forbidden,
    Keyring,
    Peer,
    Server,
    Unauthorized,
    connect,
    serve,
)
from jsonrpc_iot.transports.sealed import greeting
from tests.waiting import SECONDS, eventually

from .rig import Device, joined, option

pytestmark = pytest.mark.anyio

WITHIN = 1.0


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    return Keyring(path)


def key_file(keyring: Keyring, name: str, *permissions: str) -> str:
    """Give somebody a key; returns the option that has it."""
    file = keyring.path.with_name(name)
    file.write_text(b64encode(keyring.add(name, permissions=permissions)).decode())
    return f"psk=file:{file}"


def seated(server: Server, name: str) -> list[Peer]:
    return [each for each in server.peers if each.principal and each.principal.name == name]


@asynccontextmanager
async def serving(
    device: Device, keyring: Keyring, url: str, *, strangers: bool = True
) -> AsyncIterator[Server]:
    with anyio.fail_after(2 * SECONDS):
        async with serve(
            device.dispatcher, url, keyring=keyring, strangers=strangers, grace=0
        ) as server:
            yield server


@pytest.mark.parametrize("permission", ["wifi", "*"])
@pytest.mark.parametrize("url", ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", "memory://ring"])
async def test_a_revoked_key_is_out_within_a_second(
    keyring: Keyring, url: str, permission: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeting, "_PING_SECONDS", 0.05)  # so that who is out hears so soon
    device = Device()
    app, other = key_file(keyring, "app", permission), key_file(keyring, "other")
    async with (
        serving(device, keyring, url) as server,
        connect(joined(server.urls[0], app)) as client,
        connect(joined(server.urls[0], other)) as stays,
    ):
        assert (await client.call("who"), await stays.call("who")) == ("app", "other")
        assert await client.call("secret") == "42"
        with pytest.raises(Forbidden):
            await stays.call("secret")
        (peer,) = seated(server, "app")
        keyring.revoke("app")
        await eventually(lambda: peer not in server.peers, WITHIN)
        with pytest.raises(ConnectFailed, match="but not to this key"):
            async with connect(joined(server.urls[0], app), connect_timeout=3.0):
                pass
        assert await stays.call("who") == "other"
        assert not [
            each for each in server.peers if each.principal and each.principal.name == "app"
        ]


async def test_a_key_beside_those_of_the_ring_stays(keyring: Keyring, tmp_path: Path) -> None:
    device = Device()
    own = option(tmp_path, "monitor")
    async with (
        serving(device, keyring, joined("udp://127.0.0.1:0", own)) as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("who") == "psk"
        added = key_file(keyring, "app")
        async with connect(joined(server.urls[0].partition("?")[0], added)) as another:
            assert await another.call("who") == "app"
        keyring.revoke("app")
        await eventually(lambda: keyring._generation >= 2)
        await anyio.sleep(WITHIN / 2)  # the server looks at its peers by then
        assert await client.call("secret") == "42"
        assert len(server.peers) == 1


async def test_strangers_are_kept_out_beside_sealed_ends(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeting, "_PING_SECONDS", 0.05)
    device = Device()
    app = key_file(keyring, "app")
    async with (
        serving(device, keyring, "udp://127.0.0.1:0", strangers=False) as server,
        connect(joined(server.urls[0], app)) as client,
        connect(server.urls[0]) as stranger,
    ):
        assert await client.call("who") == "app"
        assert await stranger.call("rpc.ping") is True
        with pytest.raises(Unauthorized):
            await stranger.call("who")
        wrong = joined(server.urls[0], option(keyring.path.parent, "wrong"))
        with pytest.raises(ConnectFailed, match="but not to this key"):
            async with connect(wrong, connect_timeout=3.0):
                pass
