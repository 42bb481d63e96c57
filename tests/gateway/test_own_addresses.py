"""The devices' own addresses, one step below the gateway's, where each answers as itself."""

import json
import time
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from jsonrpc_iot import (
    Call,
    ConnectFailed,
    Context,
    DeviceOffline,
    Dispatcher,
    Gateway,
    InvalidParams,
    MethodNotFound,
    Next,
    Principal,
    Unauthorized,
    connect,
    serve,
)
from tests import brokers
from tests.transports.links import psk
from tests.waiting import SECONDS, Tally

from .rig import Changes, anywhere, running

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]  # as the servers of the web are


@cache
def _folder() -> Path:
    """Where a key is, for as long as the tests run."""
    return Path(mkdtemp())


PLACES: dict[str, Callable[[], str]] = {
    "http": lambda: "http://127.0.0.1:0/rpc",
    "ws": lambda: "ws://127.0.0.1:0/rpc",
    "mqtt": lambda: brokers.mosquitto().url(),
    "sealed mqtt": lambda: brokers.mosquitto().url(f"?{psk(_folder())}"),
    "mqtt in segments": lambda: brokers.mosquitto().url("?segment=1"),
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return PLACES[request.param]()


def kitchen() -> tuple[Dispatcher, Tally]:
    """A device, and what it was told."""
    device, told = Dispatcher(title="Kitchen"), Tally()

    @device.method
    def echo(value: Any) -> Any:
        return value

    @device.method
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @device.notification
    def note(text: str) -> None:
        told.add(text)

    return device, told


def below(url: str, name: str) -> str:
    head, mark, options = url.partition("?")
    return f"{head}/{name}{mark}{options}"


async def test_a_device_answers_there_as_if_it_were_there_itself(place: str) -> None:
    device, told = kitchen()
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url)
    async with serve(device, url), running(gateway, place) as server, connect(url) as straight:
        async with connect(below(server.urls[0], "kitchen")) as client:
            assert await client.call("echo", {"value": [1, "x"]}) == [1, "x"]
            assert [item async for item in client.stream("count", [20])] == list(range(20))
            await client.notify("note", {"text": "hello"})
            await told.reach(1)
            with pytest.raises(MethodNotFound) as here:
                await client.call("ecko")
            with pytest.raises(MethodNotFound) as there:
                await straight.call("ecko")
            assert here.value.args == there.value.args
            assert await client.call("rpc.ping") is True
            for params in (None, {"method": "echo"}):
                said = await client.call("rpc.discover", params)
                assert said == await straight.call("rpc.discover", params)
            names = {name for name in await client.call("rpc.methods") if "rpc." not in name}
            assert names == {"echo", "count"}
            async with client.notifications() as news:
                device.emit("boiling", {"at": 100})
                with anyio.fail_after(SECONDS):
                    assert (await news.receive()).method == "boiling"
        async with connect(server.urls[0]) as client:
            assert await client.call("kitchen.echo", [1]) == 1
            said = await client.call("rpc.discover", {"device": "kitchen"})
            assert said == await straight.call("rpc.discover")
            said = await client.call("rpc.discover", {"method": "kitchen.echo"})
            assert [each["name"] for each in said["methods"]] == ["kitchen.echo"]
            with pytest.raises(InvalidParams):
                await client.call("rpc.discover", {"method": "kitchen.ecko"})


async def test_a_device_that_is_away_is_said_to_be(place: str) -> None:
    device, _ = kitchen()
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url)
    async with (
        running(gateway, place) as server,
        connect(below(server.urls[0], "kitchen")) as client,
        client.notifications("gateway.device") as news,
    ):
        for method in ("rpc.methods", "rpc.discover"):
            with pytest.raises(DeviceOffline) as away:
                await client.call(method)
            assert away.value.data["since"] <= time.time()
        with anyio.fail_after(SECONDS):
            async with serve(device, url):
                await until(news, online=True)
                assert (await client.call("rpc.discover"))["info"]["title"] == "Kitchen"
            await until(news, online=False)
        with pytest.raises(DeviceOffline):
            await client.call("rpc.discover")


async def until(news: Any, *, online: bool) -> None:
    """Wait until it is said that the device has come or gone."""
    while (await news.receive()).params["online"] is not online:
        pass


async def test_addresses_come_and_go_with_the_devices(place: str) -> None:
    device, _ = kitchen()
    gateway, url = Gateway(), anywhere()
    async with serve(device, url), running(gateway, place) as server:
        for _ in range(2):
            gateway.add("kitchen", url)
            await answers(below(server.urls[0], "kitchen"))
            gateway.remove("kitchen")
        gateway.add("kitchen", url)
        await answers(below(server.urls[0], "kitchen"))


async def answers(url: str) -> None:
    """Wait until a device answers at a URL; nothing tells when its address is there."""
    with anyio.fail_after(SECONDS):
        while True:
            try:
                async with connect(url, timeout=0.5) as client:
                    assert await client.call("echo", ["back"], timeout=0.5, idempotent=True)
                    return
            except (ConnectFailed, TimeoutError):
                await anyio.sleep(0.01)


async def test_one_device_may_have_several_addresses() -> None:
    device, _ = kitchen()
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url)
    places = [make() for make in PLACES.values()]
    async with serve(device, url), running(gateway, *places, "tcp://127.0.0.1:0") as server:
        for each in server.urls[: len(places)]:
            await answers(below(each, "kitchen"))


async def test_a_device_that_is_away_is_so_there_too(place: str) -> None:
    gateway = Gateway()
    gateway.add("kitchen", anywhere())
    changes = Changes(gateway)
    async with running(gateway, place) as server:
        await changes.reach("kitchen", online=False)
        async with connect(below(server.urls[0], "kitchen")) as client:
            with pytest.raises(DeviceOffline):
                await client.call("echo", [1], timeout=5)


async def test_only_its_own_notifications_are_heard_there(place: str) -> None:
    one, _ = kitchen()
    two, _ = kitchen()
    gateway, urls = Gateway(), (anywhere(), anywhere())
    gateway.add("one", urls[0])
    gateway.add("two", urls[1])
    async with (
        serve(one, urls[0]),
        serve(two, urls[1]),
        running(gateway, place) as server,
        connect(below(server.urls[0], "two")) as client,
        client.notifications() as news,
    ):
        await client.call("echo", [1])
        one.emit("wrong")
        two.emit("right")
        with anyio.fail_after(SECONDS):
            while (heard := (await news.receive()).method) == "gateway.device":
                pass  # that it came
            assert heard == "right"


async def test_who_may_do_nothing_may_do_nothing_there() -> None:
    device, _ = kitchen()
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url)
    async with (
        serve(device, url),
        running(gateway, "ws://127.0.0.1:0/rpc", strangers=False) as server,
        connect(below(server.urls[0], "kitchen")) as client,
    ):
        with pytest.raises(Unauthorized):
            await client.call("echo", [1])


async def test_methods_have_places_below_a_devices_and_the_gateways_own_ones_too() -> None:
    httpx = pytest.importorskip("httpx2")
    device, _ = kitchen()
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url)
    gateway.method("house.name")(lambda: "home")
    async with (
        serve(device, url),
        running(gateway, "http://127.0.0.1:0/rpc") as server,
        httpx.AsyncClient(base_url=server.urls[0], trust_env=False) as web,
    ):
        assert (await web.post("/kitchen/echo", json=[5])).json() == 5
        assert (await web.post("/kitchen.echo", json=[6])).json() == 6
        assert (await web.post("/house.name", json={})).json() == "home"
        reply = await web.post("/kitchen/nothing", json={})
        assert (reply.status_code, reply.json()["code"]) == (404, -32601)
        document = (await web.get("/kitchen/openrpc.json")).json()
        assert document["info"]["title"] == "Kitchen"
        call = {"id": 1, "method": "echo", "params": ["x"]}
        assert (await web.post("/kitchen", json=call)).json() == {"id": 1, "result": "x"}
        assert (await web.get("/kitchen/echo?value=1")).status_code == 405


async def test_what_a_device_calls_idempotent_may_be_got() -> None:
    httpx = pytest.importorskip("httpx2")
    device, _ = kitchen()
    asked = Tally()

    @device.method(idempotent=True)
    def again(text: str, number: float = 0, any: Any = None) -> list[Any]:
        return [text, number, any]

    @device.middleware
    async def note(call: Call, context: Context, following: Next) -> Any:
        asked.add((call.method, getattr(call.params, "method", None)))
        return await following(call, context)

    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url, deny=["hidden"])
    gateway.add("cellar", url, requires="cellar")
    gateway.add("away", anywhere())
    async with (
        serve(device, url),
        running(gateway, "http://127.0.0.1:0/rpc") as server,
        httpx.AsyncClient(base_url=server.urls[0], trust_env=False) as web,
    ):
        for place in ("/kitchen/again", "/kitchen.again"):
            reply = await web.get(f"{place}?text=5&number=5&any=true")
            assert (reply.status_code, reply.json()) == (200, ["5", 5, True])
        assert (await web.get("/kitchen/again?text=x&any=y")).json() == ["x", 0, "y"]
        assert [name for method, name in asked.items if method == "rpc.discover"] == ["again"]
        reply = await web.get("/kitchen/again?number=x")
        assert (reply.status_code, reply.json()["code"]) == (400, -32602)
        for place in ("/kitchen/echo?value=1", "/kitchen/none"):
            assert (await web.get(place)).status_code == 405
        assert (await web.get("/away/again")).status_code == 503
        assert (await web.get("/kitchen/hidden")).status_code == 404
        before = len(asked.items)
        assert (await web.get("/cellar/again?text=x")).status_code == 401
        page = {"sec-fetch-site": "cross-site"}
        assert (await web.get("/kitchen/again?text=x", headers=page)).status_code == 403
        assert len(asked.items) == before  # the device has heard of neither


async def test_all_are_there_as_soon_as_the_gateway_is() -> None:
    device, _ = kitchen()
    gateway, url = Gateway(), anywhere()
    for number in range(30):
        gateway.add(f"room{number}", url)
    places = PLACES["mqtt"](), "http://127.0.0.1:0/rpc"
    head = "POST /rpc/room29/echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    post = f'{head}Content-Length: 5\r\n\r\n["x"]'.encode()
    async with serve(device, url), running(gateway, *places) as server:
        address = urlsplit(server.urls[1])
        async with await anyio.connect_tcp("127.0.0.1", address.port or 0) as stream:
            await stream.send(post)
            with anyio.fail_after(SECONDS):
                assert (await stream.receive()).startswith(b"HTTP/1.1 200")


async def test_nobody_has_the_gateway_answer_where_a_device_hears_requests() -> None:
    paho = pytest.importorskip("jsonrpc_iot.transports.mqtt._broker")
    device, told = kitchen()
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url)
    place = brokers.mosquitto().url()
    topic = "/" + place.split("/", 3)[3]
    async with serve(device, url), running(gateway, place) as server:
        await answers(below(server.urls[0], "kitchen"))
        from jsonrpc_iot import Limits, Url
        from jsonrpc_iot.transports.mqtt._options import read_options

        parsed = Url.parse(place)
        broker = await paho.Broker.open(
            parsed, read_options(parsed), Limits(), ConnectFailed, name="stranger"
        )
        try:
            heard = paho.new_properties(f"{topic}/kitchen")
            call = {"id": 1, "method": "gateway.devices"}
            await broker.subscribe(f"{topic}/kitchen", 1)
            broker.publish(topic, json.dumps(call).encode(), 1, heard)
            own = json.dumps({"method": "note", "params": {"text": "last"}}).encode()
            broker.publish(f"{topic}/kitchen", own, 1)
            await told.reach(1)
            assert [each.data for each in broker.take()] == [own]
        finally:
            await broker.aclose()


async def test_permissions_of_a_device_hold_at_its_address() -> None:
    device, _ = kitchen()
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url, requires="kitchen", deny=["count"])
    cook = Principal("cook", {"kitchen"})
    async with (
        serve(device, url),
        running(gateway, "ws://127.0.0.1:0/rpc", authenticate=lambda channel: cook) as server,
        connect(below(server.urls[0], "kitchen")) as client,
    ):
        assert await client.call("echo", [1]) == 1
        with pytest.raises(MethodNotFound):
            await client.call("count", [1])
        assert "count" not in [m["name"] for m in (await client.call("rpc.discover"))["methods"]]
