"""Servers that announce themselves, and are called by their names: real mDNS, on loopback."""

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from anyio.abc import TaskStatus
from zeroconf import ServiceInfo, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from jsonrpc_iot import (
    ConnectFailed,
    Dispatcher,
    Found,
    InvalidUrl,
    MissingExtra,
    Server,
    UsageError,
    connect,
    discover,
    serve,
)
from jsonrpc_iot.client.discovery import usual_ways
from jsonrpc_iot.transports import mdns
from jsonrpc_iot.transports.mdns import announcing
from jsonrpc_iot.transports.mdns.link import LOOPBACK
from jsonrpc_iot.transports.mdns.records import TCP, UDP
from tests.conftest import ASYNCIO
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

HERE = [LOOPBACK]
PATIENCE = 3 * SECONDS
"""A name takes seconds where nothing else keeps the machine busy."""


@pytest.fixture(scope="module", params=ASYNCIO[:1])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture
def name() -> str:
    """A name that no other test has that runs at the same time."""
    return f"lamp {secrets.token_hex(4)}"


def lamp(says: str = "on") -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    def state() -> str:
        return says

    return dispatcher


def url_of(name: str) -> str:
    return f"mdns://{quote(name, safe='')}?interface={LOOPBACK}"


async def call(url: str) -> Any:
    async with connect(url) as client:
        return await client.call("state")


async def announced(server: Server) -> str:
    await eventually(lambda: server.announced, PATIENCE)
    assert server.announced is not None
    return server.announced


async def find(name: str, *urls: str) -> dict[str, Found]:
    """What is found of that name, when all of these URLs are."""
    found: dict[str, Found] = {}
    with anyio.fail_after(PATIENCE):
        async with aclosing(discover("mdns", interfaces=HERE)) as devices:
            async for device in devices:
                if device.name == name:
                    found[device.url] = device
                if found.keys() == set(urls):
                    break
    return found


@asynccontextmanager
async def written(*infos: ServiceInfo) -> AsyncIterator[None]:
    """Records that somebody has written who does not use this package."""
    async with AsyncZeroconf(interfaces=HERE) as link:
        for info in infos:
            await (await link.async_register_service(info, cooperating_responders=True))
        yield


def info(label: str, service: str = TCP, **properties: str) -> ServiceInfo:
    return ServiceInfo(
        service,
        f"{label}.{service}",
        port=80,
        properties=properties,
        server=f"{secrets.token_hex(4)}.local.",
        parsed_addresses=[LOOPBACK],
    )


async def test_from_hello_to_goodbye() -> None:
    name = f"Küche. {secrets.token_hex(4)} " + "ü" * 40
    gone = Tally()

    def hear(
        zeroconf: object, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            gone.add(service_type)

    async with AsyncZeroconf(interfaces=HERE) as link:
        async with serve(lamp(), "udp://127.0.0.1:0", "tcp://127.0.0.1:0", announce=name) as server:
            browser = AsyncServiceBrowser(link.zeroconf, [UDP, TCP], handlers=[hear])
            found = await find(name, *server.urls)
            assert [each.via for each in found.values()] == ["mdns", "mdns"]
            assert all(each.info["auth"] is False for each in found.values())
            assert await announced(server) == name
            assert await call(url_of(name)) == "on"
        await gone.reach(2)
        await browser.async_cancel()
    assert set(gone.items) == {UDP, TCP}


async def test_a_name_that_is_taken_gets_a_number(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with written(info(name, UDP)), serve(lamp(), "udp://127.0.0.1:0", announce=name) as one:
        assert await announced(one) == f"{name}-2"
        assert f"the name {name!r} is taken: announced as '{name}-2'" in caplog.text
        assert await call(url_of(f"{name}-2")) == "on"


async def test_two_that_take_a_name_at_the_same_moment(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "_FIRST_WAIT_SECONDS", 0)
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(serve(lamp(says), "tcp://127.0.0.1:0", announce=name))
            for says in "ab"
        ]
        for server in servers:
            await announced(server)
        await eventually(
            lambda: {each.announced for each in servers} == {name, f"{name}-2"}, PATIENCE
        )
        for server, says in zip(servers, "ab", strict=True):
            assert server.announced is not None
            assert await call(url_of(server.announced)) == says


async def test_a_device_that_has_moved_is_found_again(name: str) -> None:
    async def serve_old(*, task_status: TaskStatus[Server]) -> None:
        async with serve(lamp("old"), "tcp://127.0.0.1:0", announce=name, grace=0) as server:
            await announced(server)
            task_status.started(server)
            await server.wait_closed()

    async with anyio.create_task_group() as tasks:
        server = await tasks.start(serve_old)
        async with connect(url_of(name), reconnect=True) as client:
            assert await client.call("state") == "old"
            server.close()
            await eventually(lambda: client.state != "connected")
            async with serve(lamp("new"), "tcp://127.0.0.1:0", announce=name):
                assert await client.call("state", timeout=PATIENCE) == "new"


async def test_records_that_lead_elsewhere_are_not_found(name: str) -> None:
    hostile = [
        info(f"{name} a", path="//evil.example/rpc"),
        info(f"{name} b", scheme="javascript"),
        info(f"{name} c", name="\x1b]0;owned\x07"),
        info(f"{name} d", **{f"k{number}": "x" * 200 for number in range(30)}, path="\x00"),
    ]
    async with written(*hostile, info(name, path="/rpc", scheme="ws")):
        found: list[Found] = []
        with anyio.fail_after(PATIENCE):
            async with aclosing(discover("mdns", interfaces=HERE)) as devices:
                async for device in devices:
                    found += [device] if str(device.name).startswith(name) else []
                    if device.name == name:
                        break

    assert [device.url for device in found] == ["ws://127.0.0.1:80/rpc"]


async def test_nobody_has_that_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "_SECONDS", 0.2)

    with pytest.raises(ConnectFailed, match="nobody announces that name"):
        await call(url_of(name))


async def test_a_token_is_not_told_to_whoever_has_the_name(name: str) -> None:
    async with written(info(name, path="/rpc")):
        with pytest.raises(InvalidUrl, match="unencrypted"):
            await call(f"{url_of(name)}&token=env:HOME")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mdns://", "no name"),
        ("mdns://lamp/rpc", "no path"),
        ("mdns://lamp:80", "no port"),
        ("mdns://me@lamp", "no user"),
        ("mdns://a%1Bb", "no name"),
    ],
)
async def test_what_is_no_mdns_url(url: str, problem: str) -> None:
    with pytest.raises(InvalidUrl, match=problem):
        await call(url)


async def test_nobody_listens_there() -> None:
    with pytest.raises(InvalidUrl, match="announce=NAME"):
        async with serve(lamp(), "mdns://lamp"):
            pass


async def test_without_a_network(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = "192.0.2.77"
    with pytest.raises(ConnectFailed, match="mDNS is not to be had"):
        await call(f"mdns://lamp?interface={nowhere}")
    with pytest.raises(ConnectFailed, match="mDNS is not to be had"):
        async for _ in discover("mdns", interfaces=[nowhere]):
            pass
    monkeypatch.setattr(announcing, "LOOPBACK", nowhere)
    async with serve(lamp(), "udp://127.0.0.1:0", announce=name) as server:
        await eventually(lambda: "not announced" in caplog.text)
        (url,) = server.urls
        devices = discover(
            "udp", "mdns", targets=[url.removeprefix("udp://")], interfaces=[nowhere]
        )
        with anyio.fail_after(PATIENCE):
            async for device in devices:
                assert (device.url, device.via) == (url, "udp")
                break
        await devices.aclose()
    assert server.announced is None


async def test_it_is_announced_when_there_is_a_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(announcing, "LOOPBACK", "192.0.2.77")
    async with serve(lamp(), "udp://127.0.0.1:0", announce=name) as server:
        monkeypatch.setattr(announcing, "LOOPBACK", LOOPBACK)
        assert await announced(server) == name


async def test_what_zeroconf_refuses_costs_the_name_alone(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcing, "label_of", lambda name: "x" * 64)  # which is too long
    async with serve(lamp(), "tcp://127.0.0.1:0", announce=name) as server:
        await eventually(lambda: "not announced" in caplog.text)
        assert await call(server.urls[0]) == "on"


@pytest.mark.parametrize("package", ["zeroconf", "ifaddr"])
async def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    cure = r"pip install 'jsonrpc-iot\[mdns\]'"
    with pytest.raises(MissingExtra, match=cure):
        await call("mdns://lamp")
    with pytest.raises(MissingExtra, match=cure):
        async with serve(lamp(), "udp://127.0.0.1:0", announce="lamp"):
            pass
    with pytest.raises(MissingExtra, match=cure):
        await anext(discover("mdns"))
    assert "mdns" not in usual_ways()


async def test_nothing_to_announce(name: str) -> None:
    with pytest.raises(UsageError, match="nothing to announce"):
        async with serve(lamp(), f"memory://{name}", announce=name):
            pass


def test_on_trio() -> None:
    async def on_trio() -> None:
        problem = "mDNS works on asyncio, not on trio; a URL with an address works on both"
        with pytest.raises(UsageError, match=problem):
            await call("mdns://lamp")
        with pytest.raises(UsageError, match=problem):
            async with serve(lamp(), "udp://127.0.0.1:0", announce="lamp"):
                pass
        with pytest.raises(UsageError, match=problem):
            await anext(discover("mdns"))
        assert "mdns" not in usual_ways()

    anyio.run(on_trio, backend="trio")
