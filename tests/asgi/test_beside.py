"""`http://` and `ws://` on one address, and URLs that cannot share one."""

from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from jsonrpc_iot import BindFailed, ConnectFailed, InvalidUrl, JsonRpcIotError, connect, serve
from tests.transports.certificates import Certificates
from tests.waiting import Tally

from .conftest import Device

pytestmark = pytest.mark.anyio

HTTP = "http://127.0.0.1:0/rpc"
WS = "ws://127.0.0.1:0/rpc"


def places(urls: list[str]) -> set[str]:
    return {urlsplit(url).netloc for url in urls}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.mark.parametrize("urls", [(HTTP, WS), (WS, HTTP)], ids=["http first", "ws first"])
async def test_one_address_in_both_orders(device: Device, urls: tuple[str, str]) -> None:
    async with serve(device.dispatcher, *urls) as server:
        assert [urlsplit(url).scheme for url in server.urls] == [urlsplit(u).scheme for u in urls]
        assert len(places(server.urls)) == 1
        async with (
            connect(server.urls[0]) as one,
            connect(server.urls[1]) as two,
            one.notifications() as first,
            two.notifications() as second,
        ):
            for client in (one, two):
                assert await client.call("add", [1, 2]) == 3
            assert server.broadcast("news", [1]) == 2
            heard = [(await news.receive()).params for news in (first, second)]
        assert heard == [[1], [1]]


async def test_several_paths_of_one_address(device: Device) -> None:
    urls = (HTTP, WS, "ws://127.0.0.1:0/events", "http://127.0.0.1:0/api")
    async with serve(device.dispatcher, *urls) as server:
        assert len(places(server.urls)) == 1
        for url in server.urls:
            async with connect(url) as client:
                assert await client.call("add", [1, 2]) == 3
        for wrong in (server.urls[1].replace("/rpc", "/api"), server.urls[1] + "/openrpc.json"):
            with pytest.raises(ConnectFailed, match="404"):
                async with connect(wrong):
                    pytest.fail("nobody serves WebSockets there")


async def test_the_same_url_twice_is_two_ports(device: Device) -> None:
    async with serve(device.dispatcher, WS, WS) as server:
        assert len(places(server.urls)) == 2


@pytest.mark.parametrize("first", ["https", "wss"])
async def test_both_with_tls(device: Device, certificates: Certificates, first: str) -> None:
    second = {"https": "wss", "wss": "https"}[first]
    there = f"://127.0.0.1:0/rpc?cert={certificates.server}"
    # The second one may leave out what the first has said.
    for urls in ((first + there, second + there), (first + there, f"{second}://127.0.0.1:0/rpc")):
        async with serve(device.dispatcher, *urls) as server:
            assert len(places(server.urls)) == 1
            for url in server.urls:
                async with connect(f"{url}?ca={certificates.ca}") as client:
                    assert await client.call("add", [1, 2]) == 3


@pytest.mark.parametrize("first", ["https", "wss"])
async def test_other_certificates_on_one_address(
    device: Device, certificates: Certificates, first: str
) -> None:
    second = {"https": "wss", "wss": "https"}[first]
    urls = (
        f"{first}://127.0.0.1:0/rpc?cert={certificates.server}",
        f"{second}://127.0.0.1:0/rpc?cert={certificates.client}",
    )
    with pytest.raises(InvalidUrl, match="cert is another one"):
        async with serve(device.dispatcher, *urls):
            pytest.fail("one address has one certificate")


async def test_a_demand_for_client_certificates_holds_for_both(
    device: Device, certificates: Certificates
) -> None:
    there = f"://127.0.0.1:0/rpc?cert={certificates.server}"
    urls = (f"https{there}&ca={certificates.ca}", f"wss{there}")
    async with serve(device.dispatcher, *urls) as server:
        for url in server.urls:
            trusting = f"{url}?ca={certificates.ca}"
            async with connect(f"{trusting}&cert={certificates.client}") as client:
                assert await client.call("add", [1, 2]) == 3
            with pytest.raises(JsonRpcIotError):
                async with connect(trusting) as client:
                    await client.call("add", [1, 2])


async def test_plain_and_tls_do_not_share_a_port(
    device: Device, certificates: Certificates
) -> None:
    urls = (HTTP, f"wss://127.0.0.1:0/rpc?cert={certificates.server}")
    async with serve(device.dispatcher, *urls) as server:
        assert len(places(server.urls)) == 2
        port = urlsplit(server.urls[0]).port
        taken = f"wss://127.0.0.1:{port}/rpc?cert={certificates.server}"
        with pytest.raises(BindFailed):
            async with serve(device.dispatcher, taken):
                pytest.fail("the port is taken")


async def test_each_url_has_its_own_token(device: Device, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("boss")
    async with serve(device.dispatcher, HTTP, f"{WS}?token=file:{token}") as server:
        http, ws = server.urls
        async with connect(http) as client:
            assert await client.call("add", [1, 2]) == 3
        with pytest.raises(ConnectFailed, match="401"):
            async with connect(ws):
                pytest.fail("it demands a token")
        async with connect(f"{ws}?token=file:{token}") as client:
            assert await client.call("add", [1, 2]) == 3


async def test_the_end_lets_calls_of_both_finish(device: Device) -> None:
    gate, began, results = anyio.Event(), Tally(), Tally()

    @device.dispatcher.method
    async def hold() -> int:
        began.add()
        await gate.wait()
        return 1

    async def call(url: str) -> None:
        async with connect(url) as client:
            results.add(await client.call("hold"))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            async with serve(device.dispatcher, HTTP, WS) as server:
                for url in server.urls:
                    tasks.start_soon(call, url)
                await began.reach(2)
                gate.set()
            await results.reach(2)
