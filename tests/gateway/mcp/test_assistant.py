"""Devices as tools: what an assistant sees and may do, asked by the official library's client."""

import json
import re
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError, types
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged

from jsonrpc_iot import Call, Context, Dispatcher, Gateway, Next, UsageError, connect, serve
from jsonrpc_iot.dispatch import forward_about
from jsonrpc_iot.gateway.mcp import mcp_server, service
from tests.gateway.rig import anywhere
from tests.rig import Restarts
from tests.waiting import SECONDS, Tally

from .rig import Lamp, Levels, assisted, call, text_of, tools_of

pytestmark = pytest.mark.anyio


async def test_what_reads_is_a_tool_with_all_that_is_known_of_it() -> None:
    async with assisted({"kitchen": Lamp().dispatcher}) as (client, _):
        tools = await tools_of(client)
        assert tools.keys() == {
            "read_more",
            "gateway_devices",
            "kitchen_lamp_get",
            "kitchen_hold",
            "kitchen_items",
            "kitchen_much",
        }
        get = tools["kitchen_lamp_get"]
        assert get.description == "Tell how bright it is.\n\nGives: percent of what it can."
        assert get.annotations is not None
        assert get.annotations.read_only_hint is True
        assert get.annotations.idempotent_hint is True
        assert tools["kitchen_much"].input_schema == {
            "type": "object",
            "properties": {
                "count": {"type": "integer"},
                "length": {"type": "integer", "default": 100},
            },
            "required": ["count"],
        }
        assert await call(client, "kitchen_lamp_get") == (False, "20")


@pytest.mark.parametrize("pattern", ["lamp.*", "kitchen.lamp.*", "*", "lamp.set"])
async def test_what_changes_is_opened_by_a_pattern(pattern: str) -> None:
    lamp = Lamp()
    async with assisted({"kitchen": lamp.dispatcher}, allow=[pattern]) as (client, _):
        tools = await tools_of(client)
        setting = tools["kitchen_lamp_set"]
        assert setting.input_schema["properties"]["to"] == {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "description": "percent of what it can.",
        }
        assert setting.annotations is not None
        assert (setting.annotations.read_only_hint, setting.annotations.destructive_hint) == (
            False,
            False,
        )
        assert "kitchen_lamp_reset" not in tools
        assert ("kitchen_lamp_old" in tools) is (pattern != "lamp.set")
        assert await call(client, "kitchen_lamp_set", to=40) == (False, "40")
        failed, text = await call(client, "kitchen_lamp_reset")
        assert failed
        assert text.startswith("kitchen.lamp.reset is a danger")
        assert "--allow kitchen.lamp.reset" in text
    assert lamp.level == 40


@pytest.mark.parametrize("name", ["lamp.reset", "kitchen.lamp.reset"])
async def test_a_danger_is_opened_by_its_whole_name(name: str) -> None:
    lamp = Lamp()
    async with assisted({"kitchen": lamp.dispatcher}, allow=[name]) as (client, _):
        annotations = (await tools_of(client))["kitchen_lamp_reset"].annotations
        assert annotations is not None
        assert annotations.destructive_hint is True
        assert await call(client, "kitchen_lamp_reset") == (
            False,
            "Done: kitchen.lamp.reset was called, and gives no result.",
        )
    assert lamp.level == -1


async def test_one_device_needs_no_name() -> None:
    async with assisted(Lamp().dispatcher) as (client, _):
        assert "lamp_get" in await tools_of(client)
    url = anywhere()
    async with (
        serve(Lamp().dispatcher, url),
        connect(url) as device,
        assisted(device, allow=["lamp.set"]) as (client, _),
    ):
        assert {"lamp_get", "lamp_set"} <= (await tools_of(client)).keys()
        assert await call(client, "lamp_set", to=7) == (False, "7")


async def test_wrong_arguments_are_told_with_their_place() -> None:
    lamp = Lamp()
    async with assisted(lamp.dispatcher, allow=["*"]) as (client, _):
        for arguments, said in (
            ({"to": "x"}, "the argument to: Expected `int`, got `str`"),
            ({"to": 101}, "the argument to: Expected `int` <= 100"),
            ({}, "the argument to: Object missing required field `to`"),
            ({"to": 1, "of": 2}, "the argument of: Object contains unknown field `of`"),
        ):
            failed, text = await call(client, "lamp_set", **arguments)
            assert failed
            assert text == f"lamp.set does not take {said}. Correct that and call it again."
        failed, text = await call(client, "nothing")
        assert (failed, text) == (True, "There is no tool 'nothing'. List the tools again.")
    assert lamp.level == 20


async def test_a_tool_of_a_device_that_is_away_since_the_start() -> None:
    away = {"off": ["tcp://127.0.0.1:1"], "here": ["memory://here"]}
    async with serve(Lamp().dispatcher, "memory://here"), assisted(away) as (client, _):
        failed, text = await call(client, "off_level")
    assert failed
    assert "There is no tool 'off_level'" in text
    assert "Of off nothing is known: it may be away." in text


async def test_a_pattern_that_opens_nothing_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lamp = Lamp()
    async with assisted(lamp.dispatcher, allow=["lamp.*", "nosuchthing"]) as (client, _):
        await tools_of(client)
        await tools_of(client)
    said = [each for each in caplog.messages if "opens nothing" in each]
    assert said == ["--allow nosuchthing opens nothing: no method has that name"]


async def test_a_stream_reports_its_items_and_gives_the_list() -> None:
    seen: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))

    async with assisted(Lamp().dispatcher) as (client, _):
        result = await client.call_tool("items", {"count": 3}, progress_callback=note)
        assert text_of(result) == "[0,1,2]"
        assert seen == [(1.0, "0"), (2.0, "1"), (3.0, "2")]
        assert await call(client, "items", count=0) == (False, "[]")


async def test_an_endless_stream_gives_what_has_come() -> None:
    device = Dispatcher()

    @device.method(effect="read")
    async def watch() -> Any:
        yield 1
        yield 2
        await anyio.sleep_forever()

    async with assisted(device, timeout=0.3) as (client, _):
        failed, text = await call(client, "watch")
        assert (failed, text) == (False, "[watch goes on; these are its first 2 items.]\n[1,2]")


async def test_a_large_result_has_pages() -> None:
    async with assisted(Lamp().dispatcher) as (client, _):
        failed, text = await call(client, "much", count=500)
        assert not failed
        found: list[str] = []
        pages = 1
        while True:
            page, _, note = text.rpartition("\n\n")
            found += json.loads(page)
            more = re.search(r"read_more with (\{.*\})", note)
            if more is None:
                break
            failed, text = await call(client, "read_more", **json.loads(more[1]))
            assert not failed
            pages += 1
        assert [each.partition(":")[0] for each in found] == [str(number) for number in range(500)]
        assert pages == 3
        _, text = await call(client, "much", count=1, length=50_000)
        page, _, note = text.partition("\n\n")
        assert (page[:4], len(page)) == ('"0:x', 20_000)
        assert "page 1 of 3" in note
        for wrong in ({"result": "nothing", "page": 1}, {"result": 1, "page": "x"}, {}):
            failed, text = await call(client, "read_more", **wrong)
            assert failed
            assert "Call the tool that gave the result again" in text


async def test_a_device_that_is_away_is_told_and_comes_back() -> None:
    lamp = Lamp()
    changed = Tally()

    async def hear(message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed.add()

    async with anyio.create_task_group() as tasks:
        device = Restarts(lamp, tasks, anywhere())
        await device.start()
        where = {"kitchen": device.url}
        async with assisted(where, mode="legacy", message_handler=hear) as (client, _):
            assert "kitchen_lamp_get" in await tools_of(client)
            before = len(changed.items)
            await device.stop()
            await changed.reach(before + 1)
            failed, text = await call(client, "kitchen_lamp_get")
            assert failed
            assert re.fullmatch(
                r"kitchen is away since 20\d\d-.* UTC, so kitchen.lamp.get was not called. "
                "Try again later.",
                text,
            )
            await device.start()
            await changed.reach(before + 2)
            assert await call(client, "kitchen_lamp_get") == (False, "20")
        await device.stop()


async def test_a_device_that_vanishes_or_is_late_leaves_the_assistant_with_advice() -> None:
    lamp = Lamp()
    async with anyio.create_task_group() as tasks:
        device = Restarts(lamp, tasks)
        await device.start()
        async with assisted([device.url], allow=["*"], timeout=0.5) as (client, _):
            for name, advice in (
                ("hold", "It only reads, so you may call it again."),
                ("hold_change", "look at the device's state before you call it again"),
            ):
                answers: list[tuple[bool, str]] = []

                async def ask(name: str = name, answers: Any = answers) -> None:
                    answers.append(await call(client, name))

                async with anyio.create_task_group() as calls:
                    count = len(lamp.began.items)
                    calls.start_soon(ask)
                    await lamp.began.reach(count + 1)
                    if name == "hold_change":
                        await device.stop()
                failed, text = answers[0]
                assert failed
                assert advice in text
                assert ("in time" in text) is (name == "hold")
        await device.stop()


async def test_a_call_that_is_cancelled_is_cancelled_at_the_device() -> None:
    lamp = Lamp()
    async with assisted(lamp.dispatcher) as (client, _), anyio.create_task_group() as tasks:
        tasks.start_soon(call, client, "hold")
        await lamp.began.reach(1)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await lamp.cancelled.reach(1)
    assert lamp.cancelled.items


@pytest.mark.only_on("asyncio")
async def test_a_thousand_calls_at_once_are_all_answered() -> None:
    lamp = Lamp()
    answers: list[tuple[bool, str]] = []
    async with assisted(lamp.dispatcher) as (client, _):

        async def ask() -> None:
            answers.append(await call(client, "lamp_get"))

        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(ask)
    assert answers == [(False, "20")] * 1000


async def test_too_many_calls_are_not_even_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_AT_ONCE", 2)
    monkeypatch.setattr(service, "_WAITING", 1)
    lamp = Lamp()
    answers: list[tuple[bool, str]] = []
    async with assisted(lamp.dispatcher) as (client, _):

        async def ask() -> None:
            answers.append(await call(client, "hold"))
            lamp.gate.set()

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(ask)
    assert sorted(answers)[:3] == [(False, '"held"')] * 3
    failed, text = sorted(answers)[3]
    assert failed
    assert text.startswith("Too many calls wait already")


async def test_tools_of_a_slow_device_are_told_of_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_LOOKS", (0.05,) * 1000)
    monkeypatch.setattr(forward_about, "_SECONDS", 0.05)
    lamp = Lamp()
    told = anyio.Event()

    async def slowly(called: Call, context: Context, following: Next) -> Any:
        if called.method == "rpc.discover":
            await told.wait()
        return await following(called, context)

    lamp.dispatcher.middleware(slowly)
    async with assisted({"kitchen": lamp.dispatcher}) as (client, _):
        assert "kitchen_lamp_get" not in await tools_of(client)
        with anyio.fail_after(SECONDS):
            async with client.listen(tools_list_changed=True) as events:
                told.set()
                async for event in events:
                    assert event == ToolsListChanged()
                    if "kitchen_lamp_get" in await tools_of(client):
                        break


async def test_the_latest_notification_of_a_name_is_a_resource() -> None:
    lamp = Lamp()
    uri = "jsonrpc-iot://notifications/lamp.changed"
    async with assisted(lamp.dispatcher, allow=["*"]) as (client, _):
        listed = {each.uri: each for each in (await client.list_resources()).resources}
        assert listed[uri].name == "lamp.changed"
        assert await read(client, uri) | {"note": ""} == {
            "notification": "lamp.changed",
            "params": None,
            "at": None,
            "count": 0,
            "note": "",
        }
        with anyio.fail_after(SECONDS):
            async with client.listen(resource_subscriptions=[uri]) as events:
                await call(client, "lamp_set", to=30)
                await call(client, "lamp_set", to=31)
                assert await anext(aiter(events)) == ResourceUpdated(uri)
        latest = await read(client, uri)
        assert (latest["params"], latest["count"]) == ({"level": 31}, 2)
        assert latest["at"].startswith("20")
        with pytest.raises(MCPError, match="no such resource: file:///etc/passwd"):
            await client.read_resource("file:///etc/passwd")


async def test_older_assistants_subscribe_to_resources_one_by_one() -> None:
    lamp = Lamp()
    updated = Tally()

    async def hear(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.add(message.params.uri)

    uri = "jsonrpc-iot://notifications/lamp.changed"
    options: Any = {"allow": ["*"], "mode": "legacy", "message_handler": hear}
    async with assisted(lamp.dispatcher, **options) as (client, _):
        await subscribe(client, uri)
        await call(client, "lamp_set", to=30)
        await updated.reach(1)
        params = types.UnsubscribeRequestParams(uri=uri)
        request = types.UnsubscribeRequest(params=params)
        await client.session.send_request(request, types.EmptyResult)
        await call(client, "lamp_set", to=31)
        await subscribe(client, "jsonrpc-iot://notifications/other")
        lamp.dispatcher.emit("other", {})
        await updated.reach(2)
        assert updated.items == [uri, "jsonrpc-iot://notifications/other"]


async def test_what_needs_a_permission_is_not_for_strangers() -> None:
    lamp = Lamp()
    async with assisted(lamp.dispatcher, allow=["*"]) as (client, _):
        assert "lamp_private" not in await tools_of(client)
        assert (await call(client, "lamp_private"))[0]
        lamp.changes.secret.emit(Levels(99))
        uri = "jsonrpc-iot://notifications/lamp.secret"
        assert (await read(client, uri))["count"] == 0
        assert uri not in {each.uri for each in (await client.list_resources()).resources}


async def test_devices_of_a_gateway_come_and_go() -> None:
    gateway = Gateway()
    async with gateway, assisted(gateway) as (client, _):
        assert (await tools_of(client)).keys() == {"read_more", "gateway_devices"}
        with anyio.fail_after(SECONDS):
            async with client.listen(tools_list_changed=True) as events:
                gateway.add("kitchen", Lamp().dispatcher)
                assert await anext(aiter(events)) == ToolsListChanged()
                while "kitchen_lamp_get" not in await tools_of(client):
                    await anext(aiter(events))
        gateway.remove("kitchen")
        failed, text = await call(client, "kitchen_lamp_get")
        assert failed
        assert "List the tools again" in text or "is away" in text


@pytest.mark.parametrize("where", [{}, {"gateway": "tcp://127.0.0.1:1"}, {"a.b": "tcp://x"}, []])
async def test_what_can_be_no_devices_is_refused(where: Any) -> None:
    with pytest.raises(UsageError):
        async with mcp_server(where):
            pass


async def subscribe(client: Client, uri: str) -> None:
    """Subscribe as assistants did until 2026-07-28."""
    request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
    await client.session.send_request(request, types.EmptyResult)


async def read(client: Any, uri: str) -> Any:
    return json.loads((await client.read_resource(uri)).contents[0].text)
