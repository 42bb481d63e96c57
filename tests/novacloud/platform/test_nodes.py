"""A platform of two nodes: whichever is asked, it knows and reaches the devices of both."""

import math
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Busy
from jsonrpc_iot.novacloud.errors import NameTaken
from jsonrpc_iot.novacloud.store.command_log import Transition
from jsonrpc_iot.novacloud.store.nodes import Lease, Taken
from tests.novacloud.nodes import Pair, node, pair
from tests.novacloud.rig import GONE, Rig
from tests.novacloud.servers import new_postgres, postgres
from tests.novacloud.store.postgres.databases import empty_database
from tests.waiting import SECONDS, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

FOUND_SECONDS = 2.0
"""Within which a node finds without hints what others do."""


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database() as url:
        yield url


@pytest.fixture(params=[True, False], ids=["bus", "looking"])
async def both(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(url, tmp_path, with_bus=request.param) as found:
        yield found


@pytest.fixture
async def hinted(url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(url, tmp_path) as found:
        yield found


async def names(rig: Rig, **params: Any) -> list[str]:
    page = await rig.call("device.page", **params)
    return [each["name"] for each in page["devices"]]


async def test_either_node_shows_the_devices_of_both(hinted: Pair) -> None:
    north, south, _ = hinted
    lamp, pump = await north.create("lamp", t="number"), await south.create("pump")
    async with north.device(lamp) as device:
        await device.data(t=1)
        await north.until_stat("values")
        for rig in north, south:
            found = await rig.call("device.get", device_id=lamp["device_id"])
            assert (found["online"], found["address"]) == (True, "127.0.0.1")
            assert found["last_seen"] >= found["connected_since"] > found["created"]
            assert found["counts"]["messages"] == 1
            assert await names(rig, online=True) == ["lamp"]
            assert await names(rig, online=False) == ["pump"]
            listed = {each["name"]: each["online"] for each in await rig.call("device.list")}
            assert listed == {"lamp": True, "pump": False}

            async def seen() -> bool:
                stats = await rig.stats()  # noqa: B023
                return (stats["online"], stats["connected"], stats["values"]) == (1, 1, 1)

            await rig.until(seen)
        nodes = await south.call("platform.nodes")
        assert [(each["node"], each["devices"]) for each in nodes] == [("north", 1), ("south", 0)]
        assert all(each["lease_until"] > each["since"] for each in nodes)
        assert await south.call("device.get", device_id=pump["device_id"])
    for rig in north, south:
        await rig.until(lambda: gone(rig))  # noqa: B023


async def gone(rig: Rig) -> bool:
    return await names(rig, online=True) == []


async def test_the_lists_of_all_nodes_are_at_each(hinted: Pair) -> None:
    north, south, _ = hinted
    lamp, pump = await north.create("lamp", t="number"), await south.create("pump", t="number")
    for rig, info, size in (north, lamp, 5), (south, pump, 500), (south, lamp, 50):
        async with rig.device(info) as device:
            await device.data(t=size, **{"k" * size: 1})
            await device.data(t="no number")
            await rig.until(lambda: counted(rig, info))  # noqa: B023
    async with north.link({"device_id": "no id", "device_key": "secret"}) as stranger:
        assert (await stranger.authenticate())["status"] == "error"
    for rig in north, south:
        stats = await rig.stats()
        assert [*stats["busiest"]] == [pump["device_id"], lamp["device_id"]]
        of_lamp = stats["ignored"][lamp["device_id"]]
        assert (of_lamp["unknown"], of_lamp["wrong"]) == (2, 2)
        assert sorted(of_lamp["keys"]) == ["kkkkk", "k" * 50, "t"]
        assert stats["refused"]["address"] == "127.0.0.1"
        assert stats["unheard"] == []


async def counted(rig: Rig, info: Mapping[str, str]) -> bool:
    """Whether the second message of a device has been looked at, at this node."""
    return rig.platform.counts.devices[info["device_id"]].wrong_values == 1


async def test_who_flaps_at_one_node_does_so_at_all(hinted: Pair) -> None:
    north, south, _ = hinted
    north.platform.settings.flap_delay = 0.1
    lamp = await north.create()
    async with AsyncExitStack() as stack:
        for _ in range(north.platform.settings.flaps + 1):
            await stack.enter_async_context(north.device(lamp))
    assert (await south.stats())["flapping"] == [lamp["device_id"]]


@pytest.mark.parametrize("is_alive", [True, False])
async def test_who_comes_from_a_dead_node_does_not_flap(hinted: Pair, is_alive: bool) -> None:
    north, south, url = hinted
    south.platform.settings.flaps, south.platform.settings.flap_delay = 1, 0.1
    lamp = await north.create()
    async with north.device(lamp) as device:
        await north.until_stat("online")
        if not is_alive:  # nor buried: it is to be found in the next look
            north.platform.cluster.membership.term.until = math.inf
            over = "UPDATE novacloud.nodes SET lease_until = now() WHERE name = 'north'"
            postgres().sql(over, url.rpartition("/")[2])
        async with south.device(lamp):
            await eventually(lambda: south.platform.presence.sessions)
            assert (south.platform.lists().flapping == [lamp["device_id"]]) is is_alive
        await device.wait_closed()


async def test_a_node_that_does_not_answer_is_left_out_and_named(hinted: Pair) -> None:
    north, south, _ = hinted
    south.platform.cluster.questions.answer("lists", lambda _: [])  # as one that is frozen
    began = anyio.current_time()
    stats = await north.stats()
    assert stats["unheard"] == ["south"]
    assert anyio.current_time() - began < SECONDS
    assert (await south.stats())["unheard"] == []


async def test_what_other_nodes_know_of_a_device(hinted: Pair) -> None:
    north, south, _ = hinted
    lamp = await north.create("lamp", t="number")
    async with north.link(lamp | {"device_key": "wrong"}) as device:
        assert (await device.authenticate())["status"] == "error"
    found = await south.call("device.get", device_id=lamp["device_id"])
    assert found["refused"]["reason"] == "unknown device or wrong key"
    assert (found["online"], found["last_seen"]) == (False, None)
    async with north.device(lamp) as device:
        await device.data(t=1)
        await north.until_stat("values")
        before = found = await south.call("device.get", device_id=lamp["device_id"])
        await device.data(t=2)
        await north.until_stat("values", 2)
        found = await south.call("device.get", device_id=lamp["device_id"])
        assert found["last_seen"] > before["last_seen"] > found["connected_since"]
        assert found["counts"]["messages"] == 2
    await north.until(lambda: gone(south))
    found = await south.call("device.get", device_id=lamp["device_id"])
    assert found["last_seen"] > before["last_seen"]
    assert found["counts"]["failed_auths"] == 1
    async with south.device(lamp) as device:
        await device.data(t=3)
        await south.until_stat("values")
        found = await north.call("device.get", device_id=lamp["device_id"])
        assert found["counts"]["messages"] == 3


async def test_a_device_that_moves_leaves_its_old_node(both: Pair) -> None:
    north, south, _ = both
    lamp = await north.create()
    async with north.device(lamp) as first:
        await north.until_stat("online")
        async with south.device(lamp) as second:
            with anyio.fail_after(FOUND_SECONDS):
                await first.wait_closed()
            await second.send({"type": "heartbeat"})
            assert await names(north, online=True) == ["lamp"]
            assert not north.platform.presence.sessions
            async with north.device(lamp):
                with anyio.fail_after(FOUND_SECONDS):
                    await second.wait_closed()
    seen = [name for name, _ in north.pushes]
    assert seen.count("device.online") == 1


async def test_two_nodes_cannot_have_one_name(url: str, tmp_path: Path) -> None:
    async with node(url, "north", tmp_path):
        with pytest.raises(NameTaken, match="'north'"):
            async with node(url, "north", tmp_path):
                raise AssertionError
        async with node(url, "south", tmp_path):
            pass
    async with node(url, "north", tmp_path):  # which has left it
        pass


@pytest.mark.parametrize("change", ["disable", "delete", "rotate"])
async def test_a_device_is_shut_out_from_either_node(both: Pair, change: str) -> None:
    north, south, _ = both
    lamp = await south.create()
    id = {"device_id": lamp["device_id"]}
    async with north.device(lamp) as device:
        await north.until_stat("online")
        if change == "disable":
            await south.call("device.update", enabled=False, **id)
        elif change == "delete":
            await south.call("device.delete", **id)
        else:
            await south.call("device.rotate_key", **id)
        with anyio.fail_after(FOUND_SECONDS):
            await device.wait_closed()
    async with north.link(lamp) as device:
        assert (await device.authenticate())["status"] == "error"


async def test_sensors_and_actuators_reach_the_other_node(both: Pair) -> None:
    north, south, _ = both
    lamp = await south.create()
    id = {"device_id": lamp["device_id"]}
    async with north.device(lamp) as device:
        await north.until_stat("online")
        await south.call("sensor.define", value_key="t", type="number", **id)
        await south.call("actuator.define", command_key="fan", **id)
        session = north.platform.presence.sessions[lamp["device_id"]]
        with anyio.fail_after(FOUND_SECONDS):
            await eventually(lambda: "t" in session.sensors and len(session.actuators) == 2)
        await device.data(t=3.5)
        await north.until_stat("values")
        assert (await south.call("telemetry.latest", **id))["t"]["value"] == 3.5


async def test_a_command_reaches_its_device_and_its_outcome_the_sender(both: Pair) -> None:
    north, south, _ = both
    lamp = await north.create()
    send = {"device_id": lamp["device_id"], "payload": {"light": "ON"}}
    async with north.device(lamp) as device, anyio.create_task_group() as tasks:
        await north.until_stat("online")
        await settled(north, lamp)

        async def answer() -> None:
            for _ in range(2):
                await device.answer("success", {"light": "is on"})

        tasks.start_soon(answer)
        with anyio.fail_after(2 * FOUND_SECONDS + 1):
            outcome = await south.call("command.send", **send)
        assert (outcome["status"], outcome["payload"]) == ("SUCCESS", {"light": "is on"})
        job = await south.call("command.broadcast", payload={"light": 1})

        async def ended() -> bool:
            return bool(await south.call("job.get", **job) == {"SUCCESS": 1})

        with anyio.fail_after(2 * FOUND_SECONDS + 1):
            await south.until(ended)
        page = await south.call("job.page", **job)
        assert [each["status"] for each in page["commands"]] == ["SUCCESS"]
        found = await south.call("command.get", command_id=outcome["command_id"])
        assert found["status"] == "SUCCESS"


async def settled(rig: Rig, info: dict[str, str]) -> None:
    """Wait until a node decides about a device's commands."""
    await eventually(lambda: rig.platform.custody.has(info["device_id"]))


async def test_a_command_waits_for_the_device_wherever_it_comes(both: Pair) -> None:
    north, south, _ = both
    lamp = await north.create()
    send = {"device_id": lamp["device_id"], "payload": {"light": "ON"}, "wait": False}
    first = await north.call("command.send", **send)
    second = await south.call("command.send", **send)
    third = await south.call("command.send", **send)
    await north.call("command.cancel", command_id=second["command_id"])
    async with south.device(lamp) as device:
        assert (await device.answer())["command_id"] == first["command_id"]
        # Without an answer it is not known whether the device has got it.
        assert (await device.receive())["command_id"] == third["command_id"]
        await north.until(lambda: is_at(north, first, "SUCCESS"))
        async with north.device(lamp) as again:
            assert (await again.answer())["command_id"] == third["command_id"]
            await south.until(lambda: is_at(south, third, "SUCCESS"))
    for rig in north, south:
        assert await is_at(rig, second, "CANCELLED")


async def is_at(rig: Rig, command: dict[str, Any], status: str) -> bool:
    """Whether a command has a status, as a node says that does not have its device."""
    found = await rig.call("command.get", command_id=command["command_id"])
    return bool(found["status"] == status)


async def test_a_command_that_another_node_has_cancelled_is_not_sent(
    both: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    north, south, _ = both
    lamp = await north.create()
    record, may_write = north.platform.store, anyio.Event()
    transition = record.transition

    async def late(changes: Sequence[Transition]) -> list[bool]:
        await may_write.wait()
        return await transition(changes)

    monkeypatch.setattr(record, "transition", late)
    send = {"device_id": lamp["device_id"], "payload": {"light": "ON"}, "wait": False}
    async with north.device(lamp) as device:
        await north.until_stat("online")
        await settled(north, lamp)
        first = await north.call("command.send", **send)
        await south.call("command.cancel", command_id=first["command_id"])
        may_write.set()
        second = await north.call("command.send", **send)
        assert (await device.answer())["command_id"] == second["command_id"]
        await south.until(lambda: is_at(south, second, "SUCCESS"))
    assert await is_at(south, first, "CANCELLED")


async def test_a_command_that_nobody_takes_ends_at_one_of_the_nodes(both: Pair) -> None:
    north, south, _ = both
    lamp = await north.create()
    send = {"device_id": lamp["device_id"], "payload": {"light": 1}, "expires": 0.1}
    with anyio.fail_after(2 * FOUND_SECONDS + 1):
        outcome = await north.call("command.send", **send)
    assert outcome["status"] == "EXPIRED"
    for rig in north, south:
        found = await rig.call("command.get", command_id=outcome["command_id"])
        assert found["status"] == "EXPIRED"


async def test_the_limit_of_a_queue_is_that_of_all_nodes(both: Pair) -> None:
    north, south, _ = both
    lamp = await north.create()
    send = {"device_id": lamp["device_id"], "payload": {"light": 1}, "wait": False}
    limit = north.platform.settings.queued_commands
    for number in range(limit):
        await (north if number % 2 else south).call("command.send", **send)
    for rig in north, south:
        assert isinstance(await rig.fails("command.send", **send), Busy)


async def test_events_of_all_nodes(hinted: Pair) -> None:
    north, south, _ = hinted
    lamp = await south.create("lamp", t="number")
    other = await south.create("other", t="number")
    await south.call("events.subscribe", kinds=["telemetry"], device_ids=[lamp["device_id"]])
    wanted = north.platform.cluster.events
    await eventually(lambda: wanted.is_wanted)
    async with north.device(other) as device, north.device(lamp) as watched:
        await device.data(t=1)
        await watched.data(t=2)
        assert (await south.push("telemetry"))["values"] == {"t": 2}
    assert [name for name, _ in south.pushes] == []


async def test_events_of_devices_with_a_tag_given_at_another_node(hinted: Pair) -> None:
    north, south, _ = hinted
    lamp = await south.create()
    await south.call("events.subscribe", kinds=["device.*"], tags=["kitchen"])
    await north.call("device.update", device_id=lamp["device_id"], tags=["kitchen"])
    tagged = await south.platform.news.wish(["*"], None, ["kitchen"])
    south.platform.news.device_id = lamp["device_id"]
    await eventually(lambda: tagged.match("device.online"))
    async with north.device(lamp):
        assert (await south.push("device.online"))["device_id"] == lamp["device_id"]
    assert (await south.push("device.offline"))["device_id"] == lamp["device_id"]


async def test_the_devices_of_a_dead_node_go_offline_once(hinted: Pair, tmp_path: Path) -> None:
    north, south, url = hinted
    lamp, here, there = await south.create(), await south.create(), await south.create()
    async with node(url, "west", tmp_path) as west, west.device(lamp):
        await west.until_stat("online")
        over = "UPDATE novacloud.nodes SET lease_until = now() WHERE name = 'west'"
        postgres().sql(over, url.rpartition("/")[2])
        await eventually(lambda: told(north, "device.offline") and told(south, "device.offline"))
    async with north.device(here), south.device(there):  # what was told before is there before
        for rig in north, south:
            for info in here, there:
                await eventually(lambda: info["device_id"] in ids(rig, "device.online"))  # noqa: B023
            assert ids(rig, "device.offline") == [lamp["device_id"]]
            assert told(rig, "device.offline")[0]["reason"] == "node west has died"


def ids(rig: Rig, name: str) -> list[str]:
    """The devices of which the client of a node has been told an event."""
    return [each["device_id"] for each in told(rig, name)]


def told(rig: Rig, name: str) -> list[Any]:
    """What the client of a node has been told under a name."""
    return [params for event, params in rig.pushes if event == name]


async def test_a_node_whose_lease_is_over_says_nothing(both: Pair) -> None:
    north, south, url = both
    lamp = await north.create()
    async with north.device(lamp) as device:
        await north.until_stat("online")
        term = north.platform.cluster.membership.term
        session = north.platform.presence.sessions[lamp["device_id"]]
        over = "UPDATE novacloud.nodes SET lease_until = now() WHERE name = 'north'"
        postgres().sql(over, url.rpartition("/")[2])
        term.until = 0.0  # as after a long stop
        session.connection.send(b"never\n")
        with anyio.fail_after(SECONDS), pytest.raises(GONE):
            assert await device.stream.receive() == b""
        await eventually(lambda: not term.is_over, SECONDS)
    async with north.device(lamp), south.link(lamp):
        assert [each["node"] for each in await south.call("platform.nodes")] == ["north", "south"]


async def test_a_node_goes_by_the_clock_of_the_database(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 300.0)
    async with node(url, "north", tmp_path) as north:
        lamp = await north.create("lamp", t="number")
        async with north.device(lamp) as device:
            await device.data(t=1)
            await north.until_stat("values")
        at = (await north.call("telemetry.latest", device_id=lamp["device_id"]))["t"]["timestamp"]
        assert at == pytest.approx(real(), abs=SECONDS)
        send = {"device_id": lamp["device_id"], "payload": {"light": 1}, "expires": 0.1}
        outcome = await north.call("command.send", **send)
        assert outcome["status"] == "EXPIRED"
    found = re.search(r"this clock is ([\d.]+) s ahead of the database's", caplog.text)
    assert found is not None
    assert float(found[1]) == pytest.approx(300.0, abs=SECONDS)


async def test_many_devices_at_once_are_taken_together(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(url, "north", tmp_path) as north:
        infos = [await north.create() for _ in range(40)]
        nodes = north.platform.store.nodes
        take, sizes = nodes.take, []

        async def counting(lease: Lease, wanted: Mapping[str, str]) -> dict[str, Taken]:
            sizes.append(len(wanted))
            return await take(lease, wanted)

        async def come(info: dict[str, str]) -> None:
            async with north.device(info):
                pass

        monkeypatch.setattr(nodes, "take", counting)
        async with anyio.create_task_group() as tasks:
            for info in infos:
                tasks.start_soon(come, info)
        assert sum(sizes) == 40
        assert max(sizes) > 1


async def test_a_node_without_its_database_is_not_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = new_postgres()
    try:
        async with node(server.database_url(), "north", tmp_path) as north:
            lamp = await north.create()
            health = await north.call("platform.health")
            assert (health["ok"], health["bus"]) == (True, "ok")
            pump = await north.create("pump")
            async with north.device(lamp) as device:
                async with north.device(pump):
                    await anyio.to_thread.run_sync(server.stop)
                await device.wait_closed()  # when the lease is over
                assert caplog.text.count("who has left is not told yet") == 1
                health = await north.call("platform.health")
                assert (health["ok"], health["writable"]) == (False, False)
            await anyio.to_thread.run_sync(server.start)
            term = north.platform.cluster.membership.term
            await eventually(lambda: not term.is_over)
            async with north.device(lamp):
                assert (await north.call("platform.health"))["ok"]
    finally:
        await anyio.to_thread.run_sync(server.stop)
