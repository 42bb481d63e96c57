"""`traceparent`: who sends it and to whom, what is read of it, and how gateways pass it on."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from jsonrpc_iot import (
    Client,
    Context,
    Dispatcher,
    Gateway,
    UsageError,
    connect,
    part_of_trace,
    serve,
)
from jsonrpc_iot.dispatch.identity import identify
from jsonrpc_iot.peer import asking
from jsonrpc_iot.testing import memory_pair
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{TRACE}-{'ab' * 8}-00"
WRONG = ['"00-1-2-3"', "5", "null", '{"a":[1]}', f'"{PARENT.upper()}"', '"' + "0" * 5000 + '"']

Urls = Callable[[Path], str]
LINKS: dict[str, Urls] = {
    "memory": lambda folder: "memory://traces",
    "pipe": lambda folder: f"pipe://traces?dir={folder}",
    "tcp": lambda folder: "tcp://127.0.0.1:0",
    "udp, MessagePack": lambda folder: "udp://127.0.0.1:0?codec=msgpack",
    "udp": lambda folder: "udp://127.0.0.1:0",
    "ws": lambda folder: "ws://127.0.0.1:0/rpc",
    "http": lambda folder: "http://127.0.0.1:0/rpc",
}


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The two that have context variables of their own; uvloop has asyncio's."""
    return str(request.param)


class Traced:
    """A device that notes which traces its calls belong to."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.told = Tally()
        self.dispatcher.method(self.where)
        self.dispatcher.method(self.slowly)
        self.dispatcher.method(self.count)
        self.dispatcher.method(self.plain)
        self.dispatcher.notification(self.tell)

    def where(self, context: Context) -> str | None:
        return context.traceparent

    async def slowly(self, context: Context) -> str | None:
        await anyio.lowlevel.checkpoint()
        return context.traceparent

    async def count(self, context: Context) -> AsyncIterator[str | None]:
        yield context.traceparent
        yield context.traceparent

    def plain(self, a: int) -> int:
        return a

    def tell(self, context: Context) -> None:
        self.told.add(context.traceparent)

    @property
    def wrong(self) -> int:
        """How many messages said something that is no `traceparent`."""
        return self.dispatcher.responder("json").traces.wrong


@asynccontextmanager
async def talking(url: str, **options: Any) -> AsyncIterator[tuple[Traced, Client]]:
    device = Traced()
    async with (
        serve(device.dispatcher, url) as server,
        connect(server.urls[0], **options) as client,
    ):
        yield device, client


def dispatch(device: Traced, message: str) -> Any:
    reply = device.dispatcher.dispatch_sync(message.encode())
    return None if reply is None else json.loads(reply)


# What is read


@pytest.mark.parametrize("name", ["where", "count"])
def test_a_handler_is_told_of_it(name: str) -> None:
    reply = dispatch(Traced(), f'{{"method":"{name}","id":1,"traceparent":"{PARENT}"}}')
    assert reply == {"id": 1, "result": [PARENT] * 2 if name == "count" else PARENT}


def test_a_plain_handler_answers_as_ever() -> None:
    request = f'{{"method":"plain","params":[1.0],"id":1.0,"traceparent":"{PARENT}","x":1}}'
    assert dispatch(Traced(), request) == {"id": 1.0, "result": 1}


@pytest.mark.parametrize("member", WRONG)
@pytest.mark.parametrize("name", ["where", "plain"])
def test_a_wrong_one_is_ignored_and_counted(name: str, member: str) -> None:
    device = Traced()
    params = "[1]" if name == "plain" else "[]"
    request = f'{{"method":"{name}","params":{params},"id":1,"traceparent":{member}}}'
    assert dispatch(device, request) == {"id": 1, "result": 1 if name == "plain" else None}
    assert device.wrong == 1


def test_each_entry_of_a_batch_has_its_own() -> None:
    entries = ",".join(
        f'{{"method":"where","id":{id}{member}}}'
        for id, member in enumerate(
            [f',"traceparent":"{PARENT}"', "", f',"traceparent":"{OTHER}"', ',"traceparent":1']
        )
    )
    replies = dispatch(Traced(), f"[{entries}]")
    assert [each["result"] for each in replies] == [PARENT, None, OTHER, None]


def test_it_is_no_part_of_what_middleware_sees_of_others() -> None:
    device = Traced()
    dispatch(device, f'{{"method":"tell","traceparent":"{PARENT}"}}')
    dispatch(device, '{"method":"tell"}')
    assert device.told.items == [PARENT, None]


def test_it_does_not_tell_requests_apart() -> None:
    """Where messages get lost a request may come again by another way, and with another value."""
    responder = Traced().dispatcher.responder("json")
    found = []
    for member in ("", f',"traceparent":"{PARENT}"', ',"traceparent":7'):
        data = f'{{"method":"where","id":1{member}}}'.encode()
        found.append(identify(data, responder.read(data), responder.handler))
    assert found[0] == found[1] == found[2]
    assert found[0] is not None
    assert not found[0].extended


# Who sends it


@pytest.mark.only_on("asyncio")
@pytest.mark.parametrize("link", LINKS)
async def test_it_goes_over_every_link(link: str, tmp_path: Path) -> None:
    async with talking(LINKS[link](tmp_path)) as (device, client):
        with part_of_trace(PARENT):
            assert await client.call("where") == PARENT
            assert [each async for each in client.stream("count")] == [PARENT, PARENT]
            async with client.batch() as batch:
                entry = batch.call("slowly")
                batch.notify("tell")
            assert entry.result() == PARENT
            await client.notify("tell")
        assert await client.call("where") is None
        await device.told.reach(2)
        assert device.told.items == [PARENT, PARENT]


async def test_who_does_not_know_extensions_gets_none() -> None:
    async with talking("memory://traces-strict", extensions=False) as (device, client):
        with part_of_trace(PARENT):
            assert await client.call("where") is None
            await client.notify("tell")
        await device.told.reach(1)
        assert device.told.items == [None]


async def test_who_sends_it_has_not_shown_that_it_knows_extensions() -> None:
    device = Traced()
    url = "memory://traces-peer"
    async with serve(device.dispatcher, url) as server, connect(url, extensions=False) as client:
        (peer,) = client._peers()
        request = f'{{"method":"where","id":7,"traceparent":"{PARENT}"}}'
        peer._outgoing.push(request.encode())
        await eventually(lambda: peer.session.strays == 1)
        (other,) = server.peers
        assert other.session.extensions is None


@pytest.mark.parametrize("answers", [True, False])
async def test_the_first_call_waits_until_it_is_known_whether_it_may_say_so(
    answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that does not answer `rpc.ping` is waited for once, and then called without."""
    monkeypatch.setattr(asking, "_ASKING_SECONDS", 0.05)
    here, there = memory_pair()
    asked: list[dict[str, Any]] = []

    async def answer() -> None:
        with suppress(anyio.EndOfStream, anyio.ClosedResourceError):
            while True:
                asked.append(request := json.loads(await there.receive()))
                if "id" in request and (answers or request["method"] != "rpc.ping"):
                    await there.send(json.dumps({"id": request["id"], "result": True}).encode())

    async with there, anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        async with connect(here) as client:
            with part_of_trace(PARENT):
                assert await client.call("switch") is True
                assert await client.call("switch") is True
            await client.call("switch")
            await there.aclose()  # which nobody has to wait for then
    switched = [each.get("traceparent") for each in asked if each["method"] == "switch"]
    assert switched == ([PARENT, PARENT, None] if answers else [None, None, None])
    assert len([each for each in asked if each["method"] == "rpc.ping"]) == 2  # at first, and then


def test_only_a_traceparent_will_do() -> None:
    with pytest.raises(UsageError, match="no traceparent"), part_of_trace("lamp"):
        pass


# Over HTTP, and through gateways


@pytest.mark.only_on("asyncio")
async def test_the_header_counts_where_a_message_says_nothing() -> None:
    device = Traced()
    async with (
        serve(device.dispatcher, "http://127.0.0.1:0/rpc") as server,
        httpx2.AsyncClient(timeout=SECONDS) as web,
    ):

        async def ask(member: str, header: str | None, place: str = "") -> Any:
            headers = {"content-type": "application/json"}
            if header is not None:
                headers["traceparent"] = header
            body = f'{{"method":"slowly","id":1{member}}}' if not place else ""
            reply = await web.post(server.urls[0] + place, content=body, headers=headers)
            return reply.json() if place else reply.json()["result"]

        own = f',"traceparent":"{OTHER}"'
        assert await ask("", PARENT) == PARENT
        assert await ask(own, PARENT) == OTHER
        assert await ask(',"traceparent":"x"', PARENT) == PARENT
        assert await ask("", None) is None
        assert await ask("", "x") is None
        assert await ask("", f"{PARENT}, {PARENT}") is None
        assert await ask("", PARENT, "/slowly") == PARENT
        assert device.wrong == 3


@pytest.mark.parametrize("middleware", [False, True], ids=["without a task", "in a task"])
async def test_a_gateway_passes_it_on(middleware: bool) -> None:
    device, gateway = Traced(), Gateway()
    gateway.add("lamp", device.dispatcher)
    if middleware:
        gateway.middleware(lambda call, context, next: next(call, context))
    url = "memory://traces-gateway"
    async with gateway, serve(gateway, url), connect(url) as client:
        await eventually(lambda: gateway.devices()[0].online)
        with part_of_trace(PARENT):
            assert await client.call("lamp.where") == PARENT
            assert [each async for each in client.stream("lamp.count")] == [PARENT, PARENT]
            await client.notify("lamp.tell")
        assert await client.call("lamp.where") is None
        await device.told.reach(1)
        assert device.told.items == [PARENT]
