"""`Gateway`: devices that are added, removed, away and back, and who may use them."""

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import (
    CallTimeout,
    DeadlineExceeded,
    DeviceOffline,
    Dispatcher,
    Forbidden,
    Gateway,
    InvalidParams,
    InvalidUrl,
    MethodNotFound,
    OutcomeUnknown,
    Principal,
    UsageError,
    connect,
    serve,
)
from jsonrpc_iot.client import ways
from tests.rig import Device, Restarts
from tests.waiting import SECONDS, Tally

from .rig import Changes, anywhere, running

pytestmark = pytest.mark.anyio


async def test_devices_are_listed_with_what_is_known_of_them() -> None:
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url)
    gateway.add("away", f"{url}-nowhere")
    changes = Changes(gateway)
    async with serve(Device().dispatcher, url), running(gateway) as server:
        await changes.reach("kitchen", online=True)
        async with connect(server.urls[0]) as client:
            away, kitchen = await client.call("gateway.devices")
        assert kitchen["name"] == "kitchen"
        assert (kitchen["online"], kitchen["url"], kitchen["last_error"]) == (True, url, None)
        assert 0 <= kitchen["round_trip"] < SECONDS
        assert (away["name"], away["online"], away["url"]) == ("away", False, None)
        assert "nothing in this process" in away["last_error"]
        assert away["since"] > 1_700_000_000
        assert set(away) == {"name", "online", "url", "since", "last_error", "round_trip"}


async def test_what_a_method_does_is_told_of_a_device_as_of_the_gateway() -> None:
    gateway, device = Gateway(), Dispatcher()
    device.method("reset", effect="danger")(lambda: None)
    device.method("look")(lambda: None)
    gateway.add("kitchen", device)
    async with running(gateway) as server, connect(server.urls[0]) as client:
        document = await client.call("rpc.discover")
    effects = {each["name"]: each.get("x-effect") for each in document["methods"]}
    assert effects["kitchen.reset"] == "danger"
    assert effects["kitchen.look"] is None
    assert effects["gateway.devices"] == "read"


@pytest.mark.parametrize("gateway_first", [True, False])
async def test_the_gateway_runs_before_it_is_served_or_after(gateway_first: bool) -> None:
    gateway, url, at = Gateway(), anywhere(), anywhere()
    gateway.add("kitchen", url, wait=SECONDS)
    contexts: list[Any] = [gateway, serve(gateway, at)]
    first, second = contexts if gateway_first else contexts[::-1]
    async with serve(Device().dispatcher, url), first, second, connect(at) as client:
        assert await client.call("kitchen.echo", [1]) == 1


async def test_a_gateway_that_does_not_run_has_no_devices() -> None:
    gateway, at = Gateway(), anywhere()
    gateway.add("kitchen", anywhere())
    async with serve(gateway, at), connect(at) as client:
        with pytest.raises(DeviceOffline):
            await client.call("kitchen.echo", [1])


async def test_a_gateway_runs_once_at_a_time() -> None:
    gateway, url, at = Gateway(), anywhere(), anywhere()
    gateway.add("kitchen", url, wait=SECONDS)
    async with serve(Device().dispatcher, url), serve(gateway, at), connect(at) as client:
        for _ in range(2):
            async with gateway:
                with pytest.raises(RuntimeError, match="already been entered"):
                    await gateway.__aenter__()
                assert await client.call("kitchen.echo", [1]) == 1


async def test_devices_come_and_go_while_it_runs() -> None:
    gateway, url = Gateway(), anywhere()
    changes = Changes(gateway)
    async with (
        serve(Device().dispatcher, url),
        running(gateway) as server,
        connect(server.urls[0]) as client,
        client.notifications("gateway.*") as news,
    ):
        with pytest.raises(MethodNotFound):
            await client.call("kitchen.echo", [1])
        gateway.add("kitchen", url)
        assert await client.call("kitchen.echo", [1]) == 1
        assert "kitchen.echo" in await client.call("rpc.methods")
        gateway.remove("kitchen")
        with pytest.raises(MethodNotFound):
            await client.call("kitchen.echo", [1])
        assert gateway.devices() == []
        gateway.add("kitchen", url)  # at once
        assert await client.call("kitchen.echo", [2]) == 2
        with anyio.fail_after(SECONDS):
            told: list[Any] = [(await news.receive()).params for _ in range(5)]
        assert [each["online"] for each in told] == [False, True, False, False, True]
        assert [each.get("removed", False) for each in told] == [False, False, True, False, False]
        assert len(changes.tally.items) == 5


async def test_what_a_removed_device_has_not_answered_fails() -> None:
    gateway, url, device = Gateway(), anywhere(), Device()
    gateway.add("kitchen", url)
    outcomes = Tally()
    async with (
        serve(device.dispatcher, url),
        running(gateway) as server,
        connect(server.urls[0]) as client,
        anyio.create_task_group() as tasks,
    ):

        async def call() -> None:
            try:
                await client.call("kitchen.hold", ["x"])
            except OutcomeUnknown as unknown:
                outcomes.add(unknown)

        tasks.start_soon(call)
        await device.began.reach(1)
        gateway.remove("kitchen")
        await outcomes.reach(1)
        device.gate.set()


async def test_a_device_that_is_away_is_so_at_once_and_comes_back_by_itself() -> None:
    gateway, device = Gateway(), Device()
    changes = Changes(gateway)
    async with anyio.create_task_group() as tasks:
        restarts = Restarts(device, tasks, anywhere())
        await restarts.start()
        gateway.add("kitchen", restarts.url)
        async with running(gateway) as server, connect(server.urls[0]) as client:
            assert await client.call("kitchen.echo", [1]) == 1
            await restarts.stop()
            state = await changes.reach("kitchen", online=False)
            with pytest.raises(DeviceOffline) as away, anyio.fail_after(SECONDS):
                await client.call("kitchen.echo", [2], timeout=None)
            assert away.value.data == {"since": state.since}
            await restarts.start()
            await changes.reach("kitchen", online=True)
            assert await client.call("kitchen.echo", [3]) == 3
        await restarts.stop()


async def test_callers_may_wait_for_a_device() -> None:
    gateway, device = Gateway(), Device()
    changes = Changes(gateway)
    async with anyio.create_task_group() as tasks:
        restarts = Restarts(device, tasks, anywhere())
        gateway.add("kitchen", restarts.url, wait=SECONDS)
        gateway.add("never", anywhere(), wait=0.05)
        async with running(gateway) as server, connect(server.urls[0]) as client:
            await changes.reach("kitchen", online=False)
            outcomes = Tally()

            async def call() -> None:
                outcomes.add(await client.call("kitchen.echo", ["late"]))

            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            await restarts.start()
            await outcomes.reach(1)
            with pytest.raises(DeviceOffline):
                await client.call("never.echo", [1])
            gateway.remove("never")
            gateway.add("never", anywhere(), wait=SECONDS)
            with pytest.raises((CallTimeout, DeadlineExceeded)):
                await client.call("never.echo", [1], timeout=0.05)
        await restarts.stop()


async def test_several_ways_are_tried_in_order() -> None:
    gateway, second, third = Gateway(), anywhere(), anywhere()
    gateway.add("kitchen", [anywhere(), second, third])
    changes = Changes(gateway)
    async with serve(Device().dispatcher, third), running(gateway) as server:
        async with serve(Device().dispatcher, second):
            gateway.remove("kitchen")
            gateway.add("kitchen", [anywhere(), second, third])
            state = await changes.reach("kitchen", online=True)
            assert state.url == second
        await changes.reach("kitchen", online=False)
        state = await changes.reach("kitchen", online=True)
        assert state.url == third
        async with connect(server.urls[0]) as client:
            assert await client.call("kitchen.echo", [1]) == 1


async def test_a_better_way_is_returned_to_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "CHECK_SECONDS", 0.05)
    gateway, device, better, other = Gateway(), Device(), anywhere(), anywhere()
    gateway.add("kitchen", [better, other])
    changes = Changes(gateway)
    async with serve(device.dispatcher, other), running(gateway) as server:
        assert (await changes.reach("kitchen", online=True)).url == other
        seen = len(changes.tally.items)
        async with serve(device.dispatcher, better), connect(server.urls[0]) as client:
            await changes.tally.reach(seen + 1)
            assert [each.url for each in changes.tally.items[seen:]] == [better]
            assert await client.call("kitchen.echo", [1]) == 1
            (state,) = gateway.devices()
            assert (state.online, state.since) == (True, changes.tally.items[seen - 1].since)


async def test_an_open_client_is_a_way_too() -> None:
    gateway, url = Gateway(), anywhere()
    changes = Changes(gateway)
    async with anyio.create_task_group() as tasks:
        restarts = Restarts(Device(), tasks, url)
        await restarts.start()
        async with connect(url, reconnect=True) as device:
            gateway.add("kitchen", device)
            async with running(gateway) as server, connect(server.urls[0]) as client:
                assert await client.call("kitchen.echo", [1]) == 1
                assert gateway.devices()[0].url == url
                await restarts.stop()
                await changes.reach("kitchen", online=False)
                await restarts.start()
                await changes.reach("kitchen", online=True)
                assert await client.call("kitchen.echo", [2]) == 2
        await restarts.stop()


async def test_a_dispatcher_of_the_same_program_is_a_device_too() -> None:
    gateway, device = Gateway(), Device()
    gateway.add("kitchen", device.dispatcher)
    async with (
        running(gateway) as server,
        connect(server.urls[0]) as client,
        client.notifications("kitchen.*") as news,
    ):
        assert await client.call("kitchen.echo", [1]) == 1
        device.dispatcher.emit("boiling")
        with anyio.fail_after(SECONDS):
            assert (await news.receive()).method == "kitchen.boiling"


async def test_patterns_hide_names_both_ways() -> None:
    device = Dispatcher()
    heard = Tally()
    for name in ("lamp.set", "lamp.reset", "sys.info"):
        device.method(name)(lambda: "done")
    device.notification("lamp.note")(lambda: heard.add("lamp"))
    device.notification("sys.note")(lambda: heard.add("sys"))
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url, allow=["lamp.*"], deny=["lamp.reset"])
    async with (
        serve(device, url),
        running(gateway) as server,
        connect(server.urls[0]) as client,
        client.notifications("kitchen.*") as news,
    ):
        assert await client.call("kitchen.lamp.set") == "done"
        for hidden in ("kitchen.lamp.reset", "kitchen.sys.info"):
            with pytest.raises(MethodNotFound):
                await client.call(hidden)
        names = await client.call("rpc.methods")
        assert [name for name in names if name.startswith("kitchen.")] == ["kitchen.lamp.set"]
        await client.notify("kitchen.sys.note")
        await client.notify("kitchen.lamp.note")
        await heard.reach(1)
        assert heard.items == ["lamp"]
        device.emit("sys.changed")
        device.emit("lamp.changed")
        with anyio.fail_after(SECONDS):
            assert (await news.receive()).method == "kitchen.lamp.changed"


async def test_a_permission_may_be_needed_for_all_of_a_device() -> None:
    gateway, url = Gateway(), anywhere()
    gateway.add("kitchen", url, requires="kitchen")
    guest = Principal("guest")
    async with (
        serve(Device().dispatcher, url),
        running(gateway, authenticate=lambda channel: guest) as server,
        connect(server.urls[0]) as client,
    ):
        with pytest.raises(Forbidden):
            await client.call("kitchen.echo", [1])
        with pytest.raises(InvalidParams):
            await client.call("rpc.discover", {"device": "kitchen"})


async def test_a_sealed_link_ends_at_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(b64encode(bytes(range(32))).decode())
    sealed = f"tcp://127.0.0.1:0?psk=file:{tmp_path / 'key'}"
    gateway = Gateway()
    async with serve(Device().dispatcher, sealed) as device:
        gateway.add("door", device.urls[0])
        async with running(gateway) as server, connect(server.urls[0]) as client:
            assert await client.call("door.echo", ["open"]) == "open"
            (state,) = gateway.devices()
            assert state.url == device.urls[0].partition("?")[0]


async def test_a_device_cannot_call_into_the_gateway() -> None:
    device, gateway, url = Device(), Gateway(), anywhere()
    gateway.add("kitchen", url)
    gateway.method("secret")(lambda: "told")
    async with (
        serve(device.dispatcher, url),
        running(gateway) as server,
        connect(server.urls[0]) as client,
    ):
        with pytest.raises(MethodNotFound):
            await client.call("kitchen.ask", ["secret"])
        assert await client.call("kitchen.ask", ["rpc.ping"]) is True


@pytest.mark.parametrize(
    "name",
    [
        *("", "a.b", "a/b", "a b", "a+b", "#", "a?b", "%41", "..", "x" * 65, "a\nb"),
        *("rpc", "gateway", "response", "online", "ticket", "taken"),
    ],
)
def test_names_that_are_no_part_of_a_path_are_refused(name: str) -> None:
    gateway = Gateway()
    gateway.method("taken")(lambda: None)
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        gateway.add(name, anywhere())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"wait": -1}, "wait has to be"),
        ({"timeout": 0}, "timeout more than 0 s"),
        ({"allow": "lamp.*"}, "take lists"),
        ({"deny": "reset"}, "take lists"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Gateway().add("lamp", anywhere(), **options)


def test_a_name_that_can_be_none_is_told_what_names_take() -> None:
    with pytest.raises(UsageError, match=r"1 to 64 characters, without spaces and \. /"):
        Gateway().add("a b", anywhere())
    with pytest.raises(UsageError, match="the gateway has that itself"):
        Gateway().add("rpc", anywhere())


def test_two_devices_have_two_names() -> None:
    gateway = Gateway()
    gateway.add("lamp", anywhere())
    with pytest.raises(UsageError, match="there is a device 'lamp' already"):
        gateway.add("lamp", anywhere())
    with pytest.raises(ValueError, match="lamp"):
        gateway.method("lamp.set")(lambda: None)
    with pytest.raises(ValueError, match="nobody"):
        gateway.remove("nobody")


@pytest.mark.parametrize(
    "where",
    [
        *("nonsense://x", [], "tcp:/x", 5),
        *("udp://h?pks=env:X", "tcp://h?max=0", "tls://h?psk=env:X", "http://h/x?segment=1"),
        *("ws://h?colour=red", "pipe://", "unix://lamp", "mqtt://h", "memory://x?colour=red"),
        *("uart:///dev/x?baud=9600", "tuya-dp:///dev/x?role=mod", "gatt://", "mdns://"),
        *("udp://h?psk=secret", "udp://h?psk=env:", "udp://h?segment=1&max=4", "udp://h?segment=x"),
        ["udp://127.0.0.1:1", "udp://127.0.0.1:1?pks=env:X"],
    ],
)
def test_where_it_is_has_to_make_sense(where: Any) -> None:
    with pytest.raises((InvalidUrl, ValueError)):
        Gateway().add("lamp", where)
