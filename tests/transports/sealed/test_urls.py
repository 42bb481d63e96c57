"""Where a key may stand, and what it has to be."""

from base64 import b64encode
from pathlib import Path

import pytest

from jsonrpc_iot import BindFailed, ConnectFailed, InvalidUrl
from jsonrpc_iot.channel.options import PacketOptions
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.transports import open_channel, open_listener, schemes
from jsonrpc_iot.transports.sealed.keys import SCHEMES, without_key

from .rig import option

pytestmark = pytest.mark.anyio

KEY = b64encode(bytes(32)).decode()
SECRETS = [KEY, KEY.rstrip("="), "swordfish", "env:", "file:"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("open", [open_channel, open_listener])
async def test_a_key_that_stands_in_the_url_is_refused_and_not_shown(
    open: object, secret: str
) -> None:
    with pytest.raises(InvalidUrl, match="env:NAME or file:PATH") as caught:
        await open(f"udp://127.0.0.1:0?psk={secret}")  # type: ignore[operator]
    assert KEY.rstrip("=") not in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize("text", ["correct horse battery staple", KEY[:-5], KEY + KEY, "ä"])
async def test_only_32_bytes_in_base64_are_a_key(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(text)
    monkeypatch.setenv("LAMP_KEY", text)
    for place in (f"file:{tmp_path}/key", "env:LAMP_KEY"):
        with pytest.raises(InvalidUrl, match="jsonrpc-iot keys new") as caught:
            await open_listener(f"udp://127.0.0.1:0?psk={place}")
        assert text not in str(caught.value)


async def test_a_key_that_is_not_there() -> None:
    with pytest.raises(InvalidUrl, match="the environment has no NO_SUCH_KEY"):
        await open_channel("tcp://127.0.0.1:1?psk=env:NO_SUCH_KEY")


@pytest.mark.parametrize("scheme", ["http", "ws", "tls"])
async def test_what_has_tls_takes_no_key(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidUrl, match="psk"):
        await open_channel(f"{scheme}://127.0.0.1:1/rpc?{option(tmp_path)}")


@pytest.mark.parametrize(
    ("url", "least"),
    [("udp://127.0.0.1:0?max=69", 70), ("memory://x?max=69", 70), ("tcp://127.0.0.1:0?max=96", 97)],
)
async def test_packets_have_to_fit(url: str, least: int, tmp_path: Path) -> None:
    for open in (open_channel, open_listener):
        with pytest.raises(InvalidUrl, match=f"up to {least} bytes: max is too small"):
            await open(f"{url}&{option(tmp_path)}")


async def test_a_group_of_servers_has_no_sealed_links(tmp_path: Path) -> None:
    with pytest.raises(InvalidUrl, match="with share= any server may get a packet"):
        await open_listener(f"mqtt://127.0.0.1:1/rpc?share=lamps&{option(tmp_path)}")


def test_the_transport_below_sees_no_key() -> None:
    url = without_key(Url.parse("tcp://h:1?max=200&psk=env:KEY&reuse_port=1"))

    assert url.options == {"max": "200", "reuse_port": "1"}
    assert str(url) == "tcp://h:1?max=200&reuse_port=1"
    assert str(without_key(Url.parse("unix:///x.sock?psk=env:KEY"))) == "unix:///x.sock"


async def test_addresses_say_what_a_client_needs(tmp_path: Path) -> None:
    key = option(tmp_path)
    async with await open_listener(f"udp://127.0.0.1:0?{key}") as listener:
        (address,) = listener.addresses
        assert address.endswith(f"?{key}")
    async with await open_listener(f"udp://127.0.0.1:0?segment=1&{key}") as listener:
        (address,) = listener.addresses
        assert address.endswith(f"?{key}&segment=1")
    async with await open_listener(f"unix://{tmp_path}/a.sock?{key}") as listener:
        assert listener.addresses == [f"unix://{tmp_path}/a.sock?{key}"]
    async with await open_listener("udp://127.0.0.1:0", keys=lambda id: None) as listener:
        assert "psk" not in listener.addresses[0]


async def test_without_the_extra_the_url_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(Exception, match=r"pip install 'jsonrpc-iot\[seal\]'"):
        await open_listener(f"udp://127.0.0.1:0?{option(tmp_path)}")
    async with await open_listener("udp://127.0.0.1:0", keys=lambda id: None):
        pass  # those who have tokens and certificates do not need it


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_key_is_an_option_wherever_links_can_be_sealed(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}://nowhere.invalid/x?{option(tmp_path)}"
    with pytest.raises((InvalidUrl, ConnectFailed, BindFailed, ValueError)) as caught:
        await open_channel(url)
    assert "unknown option" not in str(caught.value)


@pytest.mark.parametrize("scheme", sorted({*schemes(), *SCHEMES} - {"mdns"}))
async def test_an_unknown_option_is_told_with_psk_where_that_is_one(scheme: str) -> None:
    with pytest.raises(InvalidUrl, match="unknown option 'pks'") as caught:
        Url.parse(f"{scheme}://lamp?pks=env:KEY").read_options(PacketOptions)
    assert (" psk" in str(caught.value)) == (scheme in SCHEMES)
