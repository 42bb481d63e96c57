"""What of a server is announced."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Dispatcher, Keyring, UsageError, serve
from jsonrpc_iot.server import announcer
from jsonrpc_iot.transports.mdns.records import Offer
from tests.waiting import SECONDS

# mDNS is for asyncio alone.
pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


async def announced(monkeypatch: pytest.MonkeyPatch, *urls: str, **options: Any) -> list[Offer]:
    """What would be, on interfaces that tests leave alone."""
    offered: list[Offer] = []
    done = anyio.Event()

    async def note(name: str, offers: Sequence[Offer], tell: object) -> None:
        offered.extend(offers)
        done.set()

    monkeypatch.setattr(announcer, "announce", note)
    async with serve(Dispatcher(), *urls, announce="lamp", **options):
        with anyio.fail_after(SECONDS):
            await done.wait()
    return offered


async def test_the_first_url_of_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = "127.0.0.1:0"
    urls = [f"unix://{tmp_path}/s", f"ws://{here}/a%20b", f"udp://{here}", f"tcp://{here}"]
    web, udp = await announced(monkeypatch, *urls)

    assert (web.scheme, web.host, web.path, web.auth) == ("ws", "127.0.0.1", "/a b", False)
    assert (udp.scheme, udp.host, udp.path, udp.auth) == ("udp", "127.0.0.1", "", False)
    assert web.port > 0 < udp.port


async def test_what_other_machines_reach_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    (offer,) = await announced(monkeypatch, "tcp://127.0.0.1:0", "udp://0.0.0.0:0")

    assert (offer.scheme, offer.host) == ("udp", "0.0.0.0")


async def test_whether_it_wants_to_know_who_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "x" * 32)
    url = "http://127.0.0.1:0/rpc"
    (offer,) = await announced(monkeypatch, f"{url}?token=env:TOKEN")
    assert offer.auth
    (tmp_path / "keys.toml").write_text("")
    keyring = Keyring(tmp_path / "keys.toml")
    (offer,) = await announced(monkeypatch, url, keyring=keyring, strangers=False)
    assert offer.auth


async def test_a_path_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="too long a path"):
        await announced(monkeypatch, "ws://127.0.0.1:0/" + "a" * 250)
