"""Devices that misbehave, and gateways that lead to themselves: no harm comes of them to others."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import ConnectedUDPSocket, UDPSocket

from jsonrpc_iot import (
    CallTimeout,
    Client,
    DeadlineExceeded,
    DeviceOffline,
    DeviceState,
    Dispatcher,
    Gateway,
    OutcomeUnknown,
    ServerError,
    TooLarge,
    connect,
    serve,
)
from jsonrpc_iot.client import ways
from jsonrpc_iot.dispatch import forward_about
from tests.rig import Device, Raw, far_end
from tests.waiting import SECONDS, Tally, eventually

from .rig import Changes, anywhere, running

pytestmark = pytest.mark.anyio

Script = Callable[[Raw, dict[str, Any]], Awaitable[None]]
"""What a device does with a request."""


@asynccontextmanager
async def beside(script: Script, **options: Any) -> AsyncIterator[tuple[Client, Gateway]]:
    """A client of a gateway with a good device `good`, and a scripted one, `bad`."""
    gateway, url = Gateway(), anywhere()
    gateway.add("good", url)
    changes = Changes(gateway)
    async with far_end() as (far, accept), serve(Device().dispatcher, url):
        gateway.add("bad", far, **options)

        async def play() -> None:
            while True:
                tasks.start_soon(serve_one, await accept())

        async def serve_one(raw: Raw) -> None:
            async with raw.stream:
                try:
                    while True:
                        request = await raw.receive()
                        if request.get("method") == "rpc.ping":
                            await raw.send(json.dumps({"id": request["id"], "result": True}))
                        elif request.get("method") == "gateway.trace":
                            error = {"code": -32601, "message": "?"}
                            await raw.send(json.dumps({"id": request["id"], "error": error}))
                        elif "id" in request:
                            await script(raw, request)
                except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                    pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play)
            async with running(gateway) as server, connect(server.urls[0]) as client:
                await changes.reach("bad", online=True)
                yield client, gateway
                assert await client.call("good.echo", ["well"]) == "well"
            tasks.cancel_scope.cancel()


async def test_a_device_that_answers_with_other_ids_answers_nobody() -> None:
    async def script(raw: Raw, request: dict[str, Any]) -> None:
        for id in (request["id"] + 1000, str(request["id"]), None, True, -request["id"]):
            await raw.send(json.dumps({"id": id, "result": "wrong"}))

    async with beside(script) as (client, _):
        with pytest.raises((CallTimeout, DeadlineExceeded)):
            await client.call("bad.x", timeout=0.1)


async def test_a_device_that_floods_notifications_keeps_nobody_from_being_answered() -> None:
    async def script(raw: Raw, request: dict[str, Any]) -> None:
        flood = json.dumps({"method": "flood", "params": {"x": "y" * 100}}).encode() + b"\n"
        await raw.stream.send(flood * 5000)
        await raw.send(json.dumps({"id": request["id"], "result": "done"}))

    async with beside(script) as (client, _), client.notifications("bad.*") as news:
        assert await client.call("bad.x") == "done"
        assert (await news.receive()).method == "bad.flood"


async def test_a_megabyte_passes_or_is_too_large_for_the_callers_link() -> None:
    async def script(raw: Raw, request: dict[str, Any]) -> None:
        await raw.send(json.dumps({"id": request["id"], "result": "x" * 1_000_000}))

    async with beside(script) as (client, gateway):
        assert len(await client.call("bad.x")) == 1_000_000
        async with serve(gateway, "udp://127.0.0.1:0") as small, connect(small.urls[0]) as narrow:
            with pytest.raises(TooLarge) as refused:
                await narrow.call("bad.x")
            assert refused.value.data["limit"] == 1400


async def test_more_than_is_taken_in_ends_the_connection_and_nothing_else() -> None:
    async def script(raw: Raw, request: dict[str, Any]) -> None:
        await raw.send(json.dumps({"id": request["id"], "result": "x" * (1 << 21)}))

    async with beside(script) as (client, gateway):
        changes = Changes(gateway)
        with pytest.raises(OutcomeUnknown):
            await client.call("bad.x")
        await changes.reach("bad", online=True)  # again


async def test_a_device_that_never_answers_is_not_waited_for_without_end() -> None:
    async def script(raw: Raw, request: dict[str, Any]) -> None:
        pass

    async with beside(script, timeout=0.05) as (client, _):
        with pytest.raises(DeadlineExceeded):
            await client.call("bad.x", timeout=None)


async def test_an_answer_that_is_none_is_an_error_of_that_call() -> None:
    async def script(raw: Raw, request: dict[str, Any]) -> None:
        await raw.send(json.dumps({"id": request["id"], "result": 1, "error": 2}))

    async with beside(script) as (client, _):
        with pytest.raises(ServerError):
            await client.call("bad.x")


LIES: list[Any] = [
    None,
    [],
    "x" * 1_000_000,
    {"methods": "none"},
    {"methods": [1, None, [], {"name": 5}, {"name": ""}, {"no": "name"}, {"name": "x" * 5000}]},
    {"methods": [{"name": "rpc.ping"}, {"name": "rpc.cancel"}], "info": []},
    {"methods": [{"name": "ok", "params": 5, "result": []}], "components": {"schemas": [1]}},
    {
        "methods": [
            {"name": f"m{n}", "params": [{"$ref": "#/components/schemas/S"}]} for n in range(999)
        ],
        "components": {"schemas": {"S": {"$ref": "#/components/schemas/S"}, "T": 5}},
        "x-notifications": {"a": 1},
    },
    {"methods": [{"name": "deep", "params": [[[[[[[[[[]]]]]]]]]], "x": "y" * 900}] * 1000},
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
async def test_lies_of_a_device_are_told_as_its_own_or_not_at_all(lie: Any) -> None:
    async def script(raw: Raw, request: dict[str, Any]) -> None:
        is_names = request["method"] == "rpc.methods"
        result = ["a", "b"] if is_names and isinstance(lie, dict) else lie
        await raw.send(json.dumps({"id": request["id"], "result": result}))

    async with beside(script) as (client, _):
        said = await client.call("rpc.discover", timeout=None)
        names = [each["name"] for each in said["methods"]]
        assert "good.echo" in names
        assert len(names) == len(set(names))
        assert not any(name.startswith("bad.rpc.") or len(name) > 300 for name in names)
        assert "good.echo" in await client.call("rpc.methods", timeout=None)
        alone = await client.call("rpc.discover", {"device": "bad"}, timeout=None)
        assert isinstance(alone["methods"], list)


async def test_a_device_that_describes_itself_slowly_is_known_later() -> None:
    asked = Tally()

    async def script(raw: Raw, request: dict[str, Any]) -> None:
        asked.add(request["method"])
        await go.wait()
        result = {"methods": [{"name": "x"}], "info": {"title": "slow"}}
        await raw.send(json.dumps({"id": request["id"], "result": result}))

    go = anyio.Event()
    async with beside(script) as (client, _):
        await client.call("rpc.ping")  # so that the gateway is told how long the caller waits
        early = await client.call("rpc.discover", {"device": "bad"}, timeout=0.2)
        assert early["methods"] == []
        go.set()
        said = await client.call("rpc.discover", {"device": "bad"}, timeout=None)
        assert [each["name"] for each in said["methods"]] == ["x"]
        assert asked.items == ["rpc.discover"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways that notice in a moment what takes them 15 s."""
    monkeypatch.setattr(ways, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(ways, "ANSWER_SECONDS", 0.2)


class Mouth:
    """A UDP socket between a gateway and a device, which may be shut."""

    def __init__(self, udp: UDPSocket, device: ConnectedUDPSocket) -> None:
        self.is_shut = False
        self.pings = Tally()
        self._udp = udp
        self._device = device
        self._gateway: tuple[str, int] | None = None

    async def there(self) -> None:
        async for packet, address in self._udp:
            self._gateway = address
            if self.is_shut:
                self.pings.add(packet)
            else:
                await self._device.send(packet)

    async def back(self) -> None:
        async for packet in self._device:
            if not self.is_shut and self._gateway:
                await self._udp.sendto(packet, *self._gateway)


async def test_a_device_without_a_connection_is_away_when_it_is_silent(impatient: None) -> None:
    gateway, device = Gateway(), Device()
    changes = Changes(gateway)
    async with (
        serve(device.dispatcher, "udp://127.0.0.1:0") as far,
        await anyio.create_udp_socket(local_host="127.0.0.1") as udp,
        await anyio.create_connected_udp_socket(
            "127.0.0.1", int(far.urls[0].rpartition(":")[2])
        ) as out,
        anyio.create_task_group() as tasks,
    ):
        mouth = Mouth(udp, out)
        tasks.start_soon(mouth.there)
        tasks.start_soon(mouth.back)
        port = udp.extra(anyio.abc.SocketAttribute.local_port)
        gateway.add("far", f"udp://127.0.0.1:{port}")
        async with running(gateway) as server, connect(server.urls[0]) as client:
            assert await client.call("far.echo", [1]) == 1
            mouth.is_shut = True
            with pytest.raises((CallTimeout, DeadlineExceeded, OutcomeUnknown)):
                await client.call("far.echo", [2], timeout=0.1)
            state = await changes.reach("far", online=False)
            assert state.last_error == "the device does not answer"
            with pytest.raises(DeviceOffline), anyio.fail_after(SECONDS):
                await client.call("far.echo", [3], timeout=None)
            mouth.is_shut = False
            await changes.reach("far", online=True)
            assert await client.call("far.echo", [4]) == 4
        tasks.cancel_scope.cancel()


async def test_a_device_that_works_for_long_but_answers_pings_is_there(impatient: None) -> None:
    gateway, device = Gateway(), Device()
    changes = Changes(gateway)
    async with serve(device.dispatcher, "udp://127.0.0.1:0") as far:
        gateway.add("far", far.urls[0])
        async with running(gateway) as server, connect(server.urls[0]) as client:
            await changes.reach("far", online=True)
            outcomes = Tally()

            async def call() -> None:
                outcomes.add(await client.call("far.hold", ["long"], timeout=None))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await device.began.reach(1)
                await anyio.sleep(0.5)  # several times what it takes to be away
                device.gate.set()
                await outcomes.reach(1)
            assert outcomes.items == ["long"]
            assert [each.online for each in changes.tally.items[1:]] == [True]


async def test_a_device_too_busy_for_pings_may_still_answer_its_call(impatient: None) -> None:
    gateway, replies = Gateway(), Tally()
    changes = Changes(gateway)

    async def answer_late() -> None:
        async for packet, address in udp:
            request = json.loads(packet)
            is_first = not replies.items and request["method"] != "slow"
            if "id" in request and (is_first or request["method"] == "gateway.trace"):
                await udp.sendto(json.dumps({"id": request["id"], "result": 1}).encode(), *address)
                replies.add()
            elif request["method"] == "slow":
                late.append((request["id"], address))

    late: list[tuple[int, tuple[str, int]]] = []
    async with (
        await anyio.create_udp_socket(local_host="127.0.0.1") as udp,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(answer_late)
        gateway.add("busy", f"udp://127.0.0.1:{udp.extra(anyio.abc.SocketAttribute.local_port)}")
        async with running(gateway) as server, connect(server.urls[0]) as client:
            await changes.reach("busy", online=True)
            outcomes = Tally()

            async def call() -> None:
                outcomes.add(await client.call("busy.slow", timeout=None))

            tasks.start_soon(call)
            await changes.reach("busy", online=False)
            id, address = late[0]
            await udp.sendto(json.dumps({"id": id, "result": "done"}).encode(), *address)
            await outcomes.reach(1)
            assert outcomes.items == ["done"]
        tasks.cancel_scope.cancel()


async def test_two_gateways_that_reach_each_other_end_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward_about, "_SECONDS", 0.3)  # each waits for the other for so long
    one, two = Gateway(), Gateway()
    here, there = anywhere(), anywhere()
    one.add("two", there)
    two.add("one", here)
    one.method("lamp")(lambda: "on")
    one_changes, two_changes = Changes(one), Changes(two)
    async with (
        serve(one, here),
        serve(two, there),
        one,
        two,
        connect(here) as client,
        client.notifications() as news,
    ):
        await one_changes.reach("two", online=True)
        await two_changes.reach("one", online=True)
        assert await client.call("two.one.two.one.lamp") == "on"
        names = [each["name"] for each in (await client.call("rpc.discover"))["methods"]]
        assert "lamp" in names
        assert len(names) < 50
        one.emit("lamp.changed")
        with anyio.fail_after(SECONDS):
            while (await news.receive()).method != "lamp.changed":
                pass
            await anyio.wait_all_tasks_blocked()  # it goes round no more


@pytest.mark.only_on("asyncio")
async def test_a_device_that_is_the_gateway_itself_stays_away() -> None:
    one, two = Gateway(), Gateway()
    async with (
        serve(one, "http://127.0.0.1:0/rpc") as here,
        serve(two, "ws://127.0.0.1:0/rpc") as there,
    ):
        one.add("x", f"{there.urls[0]}/x")
        two.add("x", f"{here.urls[0]}/x")
        async with one, two, connect(f"{here.urls[0]}/x") as client:

            def devices() -> list[DeviceState]:
                return [*one.devices(), *two.devices()]

            await eventually(lambda: any("leads back" in str(x.last_error) for x in devices()))
            with pytest.raises((DeviceOffline, OutcomeUnknown, DeadlineExceeded, ServerError)):
                await client.call("anything", timeout=2)
            await client.notify("anything")


async def test_a_request_that_comes_again_runs_once_at_the_device() -> None:
    device, gateway, url = Dispatcher(), Gateway(), anywhere()
    ran = Tally()

    @device.method
    def toggle() -> int:
        ran.add()
        return len(ran.items)

    gateway.add("lamp", url)
    changes = Changes(gateway)
    async with serve(device, url), running(gateway, "udp://127.0.0.1:0") as server:
        await changes.reach("lamp", online=True)
        port = int(server.urls[0].rpartition(":")[2])
        async with await anyio.create_connected_udp_socket("127.0.0.1", port) as udp:
            request = {"id": 5, "method": "lamp.toggle", "timeout": 9}
            replies = []
            for again in ({}, {"retry": True}, {"retry": True}):
                await udp.send(json.dumps(request | again).encode())
                with anyio.fail_after(SECONDS):
                    replies.append(json.loads(await udp.receive()))
            assert replies == [{"id": 5, "result": 1}] * 3
        assert len(ran.items) == 1


@pytest.mark.only_on("asyncio")
async def test_on_a_link_for_one_at_a_time_nothing_is_sent_for_who_has_gone() -> None:
    device, gateway = Device(), Gateway()
    async with serve(device.dispatcher, "http://127.0.0.1:0/rpc") as far:
        gateway.add("slow", f"{far.urls[0]}?in_flight=1")
        async with (
            running(gateway) as server,
            connect(server.urls[0]) as client,
            anyio.create_task_group() as tasks,
        ):
            assert await client.call("slow.echo", [1]) == 1
            tasks.start_soon(client.call, "slow.hold", ["first"])
            await device.began.reach(1)
            with pytest.raises((CallTimeout, DeadlineExceeded)):
                await client.call("slow.hold", ["too late"], timeout=0.05)
            with anyio.move_on_after(0.05):
                await client.call("slow.hold", ["gone"])
            device.gate.set()
            assert await client.call("slow.echo", ["next"]) == "next"
            assert device.began.items == ["first"]
