"""Both ends ours: `connect` on bleak's real BlueZ backend, and `serve` on BlueZ."""

import asyncio
import gc
import json
import os
import sys
from contextlib import AsyncExitStack
from operator import gt
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    Client,
    ConnectFailed,
    ConnectTimeout,
    Dispatcher,
    MessageTooLarge,
    TooLarge,
    connect,
)
from jsonrpc_iot.services.wifi import SimulatedNetwork, SimulatedWifi
from jsonrpc_iot.testing import check_channel_contract
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.gatt import _scan
from tests.rig import Device
from tests.transports.links import accepting
from tests.waiting import SECONDS, Tally

from .fake_bluez import FakeBluez
from .fake_link import ADAPTER, DEVICE, Link
from .rig import URL, close_bleak, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="BlueZ is Linux's"),
]

CALLS = 10_000 if os.environ.get("JSONRPC_IOT_SOAK") else 2_000
NETWORKS = [
    SimulatedNetwork(f"network {number}", f"02:00:00:00:00:{number:02x}", 1, -40 - number)
    for number in range(40)
]


def address(link: Link) -> str:
    return f"gatt://{link.address}"


@pytest.mark.parametrize("options", ["", "write=command", "codec=msgpack"])
async def test_the_contract(fake: FakeBluez, options: str) -> None:
    codec = f"&{options}" if "codec" in options else ""
    with anyio.fail_after(SECONDS):
        async with accepting(f"{URL}{codec}") as (_, accept):
            client = await open_channel(f"gatt://lamp?{options}")
            server = await accept()
            if "write" in options:  # the server sees with the first message how it is written
                await client.send(b"[0]")
                server = await accept()
                assert await server.receive() == b"[0]"
            assert client.info.reliable is server.info.reliable is ("write" not in options)
            assert client.info.max_message == server.info.max_message == 220
            await check_channel_contract(client, server, SECONDS)


async def test_calls_both_ways_streams_and_pushes(fake: FakeBluez) -> None:
    device = Device()
    device.dispatcher.include(SimulatedWifi(networks=NETWORKS, scan_time=0.0))
    answering = Dispatcher()
    answering.method("twice")(lambda value: 2 * value)
    async with (
        serving(device) as server,
        connect(server.urls[0], dispatcher=answering) as client,
        client.notifications() as news,
    ):
        assert await client.call("echo", ["x" * 150]) == "x" * 150
        with pytest.raises(TooLarge):
            await client.call("wifi.scan")
        assert len([each async for each in client.stream("wifi.scan")]) == 40
        assert server.broadcast("changed", {"on": True}) == 1
        assert (await news.receive()).method == "changed"
        (peer,) = server.peers
        assert await peer.call("twice", [21]) == 42


@pytest.mark.parametrize("mtu", [185, 247, 517])
async def test_sizes_are_exact(fake: FakeBluez, link: Link, mtu: int) -> None:
    link.mtu = mtu
    writes, notifies = min(mtu - 3, 512), min(mtu - 5, 512)
    shown: list[bytes] = []
    async with (
        serving(url=f"{URL}&max=512"),
        connect(
            f"{address(link)}?max=512",
            extensions=False,
            trace=lambda _, each: shown.append(each),
        ) as client,
    ):
        assert client.info.max_message == writes
        await client.call("echo", [1])
        next_id = json.loads(shown[0])["id"] + 1
        room = notifies - len(b'{"id":%d,"result":""}' % next_id)
        assert await client.call("big", [room]) == "x" * room
        more = len(str(next_id + 1)) - len(str(next_id))
        with pytest.raises(TooLarge) as refused:
            await client.call("big", [room - more + 1])
        assert refused.value.data == {"size": notifies + 1, "limit": notifies}
        with pytest.raises(MessageTooLarge, match=str(writes)):
            await client.call("echo", ["x" * writes])


async def test_the_smallest_mtu(fake: FakeBluez, link: Link) -> None:
    link.mtu = 23
    async with serving() as server, await open_channel(address(link)) as channel:
        await channel.send(b'{"id":1,"method":"big","params":[0]}')  # a long write
        with anyio.move_on_after(0.2):  # neither the answer of 20 bytes fits nor the error
            assert not await channel.receive()
        assert server.broadcast("12345") == 1
        assert server.broadcast("123456") == 0
        with anyio.fail_after(SECONDS):
            assert await channel.receive() == b'{"method":"12345"}'


async def test_segments(fake: FakeBluez) -> None:
    async with (
        serving(url=f"{URL}&segment=1") as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("echo", ["x" * 5_000]) == "x" * 5_000


async def test_msgpack(fake: FakeBluez) -> None:
    async with (
        serving(url=f"{URL}&codec=msgpack") as server,
        connect(server.urls[0]) as client,
    ):
        assert await client.call("echo", [[1.5, None, "ü"]]) == [1.5, None, "ü"]


async def test_two_clients_get_their_own_replies(fake: FakeBluez) -> None:
    wrong: list[object] = []

    async def ask(link: Link, name: str) -> None:
        async with connect(address(link), timeout=SECONDS) as client:
            limiter = anyio.CapacityLimiter(8)

            async def one(number: int) -> None:
                async with limiter:
                    sent = [name, number]
                    if (reply := await client.call("echo", [sent])) != sent:
                        wrong.append(reply)

            async with anyio.create_task_group() as calls:
                for number in range(CALLS // 2):
                    calls.start_soon(one, number)

    async with serving(url=f"{URL}&centrals=2") as server, anyio.create_task_group() as tasks:
        for link, name in zip(fake.links, "ab", strict=True):
            tasks.start_soon(ask, link, name)
    assert not wrong
    assert not server.peers


async def call_until(client: Client, value: int) -> None:
    """Call until somebody answers."""
    while True:
        try:
            assert await client.call("echo", [value], idempotent=True, timeout=1) == value
        except (CallTimeout, ChannelClosed):
            continue
        return


async def test_a_lost_link_fails_the_call_and_the_client_comes_back(
    fake: FakeBluez, link: Link
) -> None:
    device = Device()
    async with (
        serving(device),
        connect(address(link), reconnect=True, connect_timeout=SECONDS) as client,
        anyio.create_task_group() as tasks,
    ):
        failed = anyio.Event()

        async def hold() -> None:
            with pytest.raises(ChannelClosed):
                await client.call("hold", timeout=None)
            failed.set()

        tasks.start_soon(hold)
        await device.began.reach(1)
        link.drop()
        with anyio.fail_after(1):
            await failed.wait()
        await device.cancelled.reach(1)
        await call_until(client, 2)


async def test_both_ends_survive_a_restart_of_bluetoothd(system_bus: None) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(FakeBluez().running())
        async with (
            serving(),
            connect("gatt://lamp", reconnect=True, connect_timeout=SECONDS) as client,
        ):
            assert await client.call("echo", [1]) == 1
            await first.aclose()
            async with FakeBluez().running():
                await call_until(client, 2)


async def test_an_absent_device_takes_no_longer_than_the_caller_waits(fake: FakeBluez) -> None:
    async with serving():
        started = anyio.current_time()
        with pytest.raises(ConnectTimeout, match="lamp"):
            async with connect("gatt://nobody", connect_timeout=0.5):
                pass
        assert anyio.current_time() - started < 1


async def resources(bus: MessageBus) -> tuple[int, int, int]:
    """Tasks, descriptors and D-Bus match rules of this process."""
    gc.collect()
    dbus, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
    reply = await bus.call(Message(dbus, path, f"{dbus}.Debug.Stats", "GetAllMatchRules"))
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    rules = sum(map(len, reply.body[0].values()))
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir())), rules


async def test_many_clients_leave_nothing_behind(fake: FakeBluez, link: Link) -> None:
    async with serving() as server:

        async def come_and_go(times: int) -> None:
            for number in range(times):
                async with connect(address(link)) as client:
                    assert await client.call("echo", [number]) == number
                await link.until(connected=False)

        await come_and_go(2)  # what is made once is there
        before = await resources(fake.bus)
        await come_and_go(25)
        while any(map(gt, await resources(fake.bus), before)):  # the last one is still leaving
            await anyio.lowlevel.checkpoint()
        assert not server.peers


@pytest.mark.parametrize("way", ["request", "reply"])
async def test_what_is_lost_is_sent_again_and_runs_once(
    fake: FakeBluez, link: Link, way: str
) -> None:
    device = Device()
    device.gate.set()
    lost: list[bytes] = []

    def loses(value: bytes) -> bool:
        message = json.loads(value)
        loses = ("method" in message) == (way == "request") and value not in lost
        if loses and message.get("method") != "rpc.ping":
            lost.append(value)
            return len(lost) <= 3
        return False

    async with (
        serving(device) as server,
        connect(f"{address(link)}?write=command", timeout=SECONDS) as client,
        anyio.create_task_group() as calls,
    ):
        server._ended._began -= SECONDS  # so long that whatever is repeated was never run before
        assert await client.call("rpc.ping") is True
        link.loses = loses

        async def call(tag: int) -> None:
            assert await client.call("hold", [tag]) == tag

        for tag in range(10):
            calls.start_soon(call, tag)
    assert len(lost) >= 10
    assert sorted(device.began.items) == list(range(10))


@pytest.mark.parametrize("member", ["StartDiscovery", "Connect", "StartNotify"])
async def test_a_bluetoothd_that_does_not_answer_takes_no_longer_than_the_caller_waits(
    fake: FakeBluez, member: str
) -> None:
    async with serving():
        fake.unanswered.add(member)
        started = anyio.current_time()
        with pytest.raises(ConnectTimeout):
            async with connect("gatt://lamp", connect_timeout=0.5):
                pass
        assert anyio.current_time() - started < 1


async def test_a_link_lost_while_a_write_waits_for_its_answer(fake: FakeBluez, link: Link) -> None:
    async with (
        serving(),
        connect(address(link), extensions=False) as client,
        anyio.create_task_group() as tasks,
    ):
        fake.unanswered.add("WriteValue")

        async def call() -> None:
            with pytest.raises(ChannelClosed):
                await client.call("echo", [1])

        tasks.start_soon(call)
        await fake.until_called("WriteValue")
        link.drop()
        started = anyio.current_time()
    assert anyio.current_time() - started < 1


async def refusal(url: str = "gatt://lamp") -> str:
    """Why a client cannot connect."""
    with anyio.fail_after(SECONDS), pytest.raises(ConnectFailed) as caught:
        await open_channel(url)
    assert url in str(caught.value)
    return str(caught.value)


async def test_a_client_without_a_system_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for place in (f"unix:path={tmp_path}/none", f"unix:path={tmp_path}/file", "nonsense", "x:y=z"):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", place)
        assert "no D-Bus system bus" in await refusal()


@pytest.mark.usefixtures("system_bus")
async def test_a_client_without_bluetoothd() -> None:
    assert "systemctl start bluetooth" in await refusal()


async def test_a_client_without_an_adapter_that_does(fake: FakeBluez) -> None:
    fake.errors["StartDiscovery"] = DBusError("org.bluez.Error.NotReady", "Resource Not Ready")
    assert "bluetoothd refuses: Resource Not Ready" in await refusal()
    fake.objects[ADAPTER]["org.bluez.Adapter1"]["Powered"] = Variant("b", False)
    await close_bleak()
    assert "with: No powered Bluetooth adapters found" in await refusal()
    del fake.objects[ADAPTER]
    await close_bleak()
    assert (await refusal()).endswith("No Bluetooth adapters found.")


async def test_a_client_says_which_adapter(fake: FakeBluez, link: Link) -> None:
    async with serving():
        async with connect(f"{address(link)}?adapter=hci0") as client:
            assert await client.call("echo", [1]) == 1
        with pytest.raises(ConnectFailed, match="adapter 'hci7' not found"):
            await open_channel(f"{address(link)}?adapter=hci7")


async def test_a_device_of_which_bluez_remembers_other_services(fake: FakeBluez) -> None:
    remembered = [f"0000180{number}-0000-1000-8000-00805f9b34fb" for number in (0, 1)]
    async with serving() as server:
        for each in fake.links:
            fake.change(each.path, DEVICE, UUIDs=Variant("as", remembered))
        async with connect(server.urls[0], connect_timeout=SECONDS) as client:
            assert await client.call("echo", [1]) == 1


async def test_searches_at_the_same_time_take_turns(fake: FakeBluez) -> None:
    """Of a device that is not there, and of one that is."""
    with anyio.fail_after(SECONDS):
        async with serving() as server, anyio.create_task_group() as tasks:
            tasks.start_soon(open_channel, "gatt://nobody")
            await fake.until_called("StartDiscovery")
            async with connect(server.urls[0]) as client:
                assert await client.call("echo", [1]) == 1
            tasks.cancel_scope.cancel()


async def test_a_device_that_comes_late_is_found(
    fake: FakeBluez, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search goes on after its turns, in which others may search."""
    monkeypatch.setattr(_scan, "_TURN_SECONDS", 0.05)
    replies = Tally()

    async def call() -> None:
        async with connect("gatt://lamp", connect_timeout=SECONDS) as client:
            replies.add(await client.call("echo", [1]))

    async with anyio.create_task_group() as calls:
        calls.start_soon(call)
        for _ in range(3):
            await fake.until_called("StartDiscovery")
        async with serving():
            await replies.reach(1)
    assert replies.items == [1]
