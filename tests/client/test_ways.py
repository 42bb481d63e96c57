"""Several ways to one device."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import anyio
import pytest

from jsonrpc_iot import (
    Call,
    ChannelClosed,
    Client,
    ConnectFailed,
    ConnectTimeout,
    Context,
    Dispatcher,
    InvalidUrl,
    Next,
    RpcError,
    UsageError,
    connect,
    connect_sync,
    serve,
)
from jsonrpc_iot.client import ways
from tests import brokers
from tests.peer.lossy.rig import raw
from tests.rig import ANYWHERE, Device, Restarts, outcome
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

REFUSED = "tcp://127.0.0.1:1"


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for better ways often."""
    monkeypatch.setattr(ways, "CHECK_SECONDS", 0.05)


class Silent:
    """Takes datagrams and answers none; nobody waits long for that.

    Args:
        taken: its socket.
    """

    def __init__(self, taken: socket.socket) -> None:
        self.url = f"udp://127.0.0.1:{taken.getsockname()[1]}"
        self._taken = taken
        self._callers: set[object] = set()

    def callers(self) -> int:
        """How many sockets have sent something so far."""
        with suppress(BlockingIOError):
            while True:
                self._callers.add(self._taken.recvfrom(1000)[1])
        return len(self._callers)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    monkeypatch.setattr(ways, "ANSWER_SECONDS", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.setblocking(False)
        yield Silent(taken)


def named(name: str) -> Dispatcher:
    """A device that says by which way it was reached."""
    device = Dispatcher()
    device.method("way")(lambda: name)
    return device


async def test_the_first_that_answers_is_used() -> None:
    with anyio.fail_after(SECONDS):
        async with (
            serve(named("one"), ANYWHERE) as one,
            serve(named("two"), ANYWHERE) as two,
            connect([REFUSED, one.urls[0], two.urls[0]]) as client,
        ):
            assert await client.call("way") == "one"
            assert client.url == one.urls[0]
            assert client.state == "connected"
            assert two.peers == ()


async def test_a_way_that_is_open_may_be_silent(silent: Silent) -> None:
    places = Tally()
    with anyio.fail_after(SECONDS):
        async with (
            serve(named("one"), ANYWHERE) as one,
            connect([silent.url, one.urls[0]], reconnect=True) as client,
        ):
            assert await client.call("way") == "one"
            client.connected.subscribe(places.add)
            seen = silent.callers()
            await eventually(lambda: silent.callers() >= seen + 3)  # it was looked there again
            assert (places.items, client.url) == ([], one.urls[0])


async def test_nobody_who_leaves_waits_for_a_look_at_a_better_way(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(SECONDS):
        async with (
            serve(named("one"), ANYWHERE) as one,
            connect([silent.url, one.urls[0]], reconnect=True) as client,
        ):
            assert await client.call("way") == "one"
            monkeypatch.setattr(ways, "ANSWER_SECONDS", 2 * SECONDS)
            seen = silent.callers()
            await eventually(lambda: silent.callers() > seen)


async def test_a_device_that_answers_with_an_error_answers() -> None:
    async def refuse(call: object, context: object, go_on: object) -> object:
        raise RpcError(7, "no")

    device = named("one")
    device.middleware(refuse)
    async with serve(device, "udp://127.0.0.1:0") as server, connect(server.urls) as client:
        assert client.url == server.urls[0]


async def test_late_copies_of_the_first_call_are_known_as_such() -> None:
    with anyio.fail_after(SECONDS), raw() as device:

        async def answer() -> None:
            device.send(id=(await device.take())["id"], result=True)  # rpc.ping

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            async with (
                connect([device.url, "tcp://127.0.0.1:1"]) as client,
                anyio.create_task_group() as calls,
            ):
                calls.start_soon(client.call, "run")
                call = await device.take()
                assert call["method"] == "run"
                assert "timeout" in call
                device.send(id=call["id"], result=None)


async def test_each_way_that_failed_is_named(silent: Silent) -> None:
    with anyio.fail_after(SECONDS):
        with pytest.raises(ConnectFailed) as failed:
            async with connect([REFUSED, silent.url]):
                pass
        with pytest.raises(ConnectTimeout, match="no answer within"):
            async with connect([silent.url]):
                pass
    text = str(failed.value)
    assert text.startswith(f"the device answers nowhere: {REFUSED}: ")
    assert text.endswith(f"; {silent.url}: rpc.ping: no answer within 0.2 s")
    assert text.count(REFUSED) == 1


async def test_secrets_are_not_shown() -> None:
    with pytest.raises(InvalidUrl) as failed:
        async with connect([f"{REFUSED}?psk={'A' * 43}="]):
            pass
    assert "psk=***" in str(failed.value)
    assert "AAA" not in str(failed.value)


@pytest.mark.parametrize(("urls", "error"), [([], UsageError), (["tcp://x", "no"], InvalidUrl)])
async def test_ways_that_make_no_sense(urls: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        async with connect(urls):
            pass


async def test_when_a_way_ends_the_next_one_is_used() -> None:
    device = Device()
    outcomes, repeated = Tally(), Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks, serve(device.dispatcher, ANYWHERE) as other:
            restarts = Restarts(device, tasks)
            await restarts.start()
            async with connect([restarts.url, other.urls[0]]) as client:
                assert client.url == restarts.url
                tasks.start_soon(outcome, lambda: client.call("hold", ["once"]), outcomes)
                tasks.start_soon(
                    outcome, lambda: client.call("hold", ["any"], idempotent=True), repeated
                )
                await device.began.reach(2)
                await restarts.stop()
                await device.began.reach(3)
                device.gate.set()
                await outcomes.reach(1)
                await repeated.reach(1)
                assert (outcomes.items, repeated.items) == ([ChannelClosed], ["any"])
                assert client.url == other.urls[0]
                assert sorted(device.began.items) == ["any", "any", "once"]


async def test_a_better_way_is_used_when_it_is_back() -> None:
    device = Device()
    outcomes, places, lost = Tally(), Tally(), Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks, serve(device.dispatcher, ANYWHERE) as other:
            better = Restarts(device, tasks)
            await better.start()
            await better.stop()
            async with connect([better.url, other.urls[0]]) as client:
                client.connected.subscribe(lambda info: places.add(client.url))
                client.lost.subscribe(lost.add)
                assert client.url == other.urls[0]
                tasks.start_soon(outcome, lambda: client.call("hold", ["here"]), outcomes)
                await device.began.reach(1)
                await better.start()
                await places.reach(1)
                assert (client.url, client.state) == (better.url, "connected")
                assert len(better.server.peers) == len(other.peers) == 1
                assert await client.call("echo", [1]) == 1
                device.gate.set()
                await outcomes.reach(1)
                assert outcomes.items == ["here"]  # the open call has ended where it was
                await eventually(lambda: not other.peers)
                assert lost.items == []
            await better.stop()


async def test_a_way_without_connections_that_falls_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways, "CHECK_SECONDS", 60.0)
    monkeypatch.setattr(ways, "SILENT_SECONDS", 0.1)
    device = Device()
    outcomes, repeated, lost = Tally(), Tally(), Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks, serve(named("two"), ANYWHERE) as other:
            restarts = Restarts(device, tasks, "udp://127.0.0.1:0")
            await restarts.start()
            async with connect([restarts.url, other.urls[0]]) as client:
                client.lost.subscribe(lost.add)
                assert await client.call("echo", [1]) == 1
                await restarts.stop()
                monkeypatch.setattr(ways, "ANSWER_SECONDS", 0.3)
                tasks.start_soon(outcome, lambda: client.call("way"), outcomes)
                tasks.start_soon(outcome, lambda: client.call("way", idempotent=True), repeated)
                await outcomes.reach(1)
                await repeated.reach(1)
                assert (outcomes.items, repeated.items) == ([ChannelClosed], ["two"])
                assert (client.url, lost.items) == (other.urls[0], ["the device does not answer"])


async def test_a_way_whose_calls_take_long_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "SILENT_SECONDS", 0.02)
    device, outcomes, pings = Device(), Tally(), Tally()

    @device.dispatcher.middleware
    async def count(call: Call, context: Context, go_on: Next) -> object:
        if call.method == "rpc.ping":
            pings.add()
        return await go_on(call, context)

    with anyio.fail_after(SECONDS):
        async with (
            serve(device.dispatcher, "udp://127.0.0.1:0") as server,
            connect(server.urls) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(outcome, lambda: client.call("hold", ["long"]), outcomes)
            await pings.reach(len(pings.items) + 5)  # it was asked, and has answered
            device.gate.set()
            await outcomes.reach(1)
            assert outcomes.items == ["long"]


@pytest.mark.only_on("asyncio")  # as MQTT is
async def test_a_broker_that_is_killed_and_is_back() -> None:
    broker = brokers.new_mosquitto()
    device = Device()
    outcomes, repeated, places = Tally(), Tally(), Tally()
    with anyio.fail_after(2 * SECONDS):
        async with (
            serve(device.dispatcher, broker.url()) as at_broker,
            serve(device.dispatcher, ANYWHERE) as other,
            connect([at_broker.urls[0], other.urls[0]]) as client,
            anyio.create_task_group() as tasks,
        ):
            better, worse = at_broker.urls[0], other.urls[0]
            assert client.url == better
            client.connected.subscribe(lambda info: places.add(client.url))
            tasks.start_soon(outcome, lambda: client.call("hold", ["once"]), outcomes)
            tasks.start_soon(
                outcome, lambda: client.call("hold", ["any"], idempotent=True), repeated
            )
            await device.began.reach(2)
            await anyio.to_thread.run_sync(broker.stop)
            await device.began.reach(3)
            await outcomes.reach(1)
            assert places.items == [worse]
            assert (outcomes.items, device.began.items[2]) == ([ChannelClosed], "any")
            assert await client.call("echo", [1]) == 1
            await anyio.to_thread.run_sync(broker.start)
            await places.reach(2)
            assert places.items == [worse, better]
            assert await client.call("echo", [2]) == 2
            device.gate.set()
            await repeated.reach(1)
            assert repeated.items == ["any"]  # where it was sent the second time
    broker.stop()


async def test_news_come_once_from_two_ways() -> None:
    device = Device()
    places = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks, serve(device.dispatcher, ANYWHERE) as other:
            better = Restarts(device, tasks)
            await better.start()
            await better.stop()
            async with (
                connect([better.url, other.urls[0]]) as client,
                client.notifications("n.*") as news,
            ):
                client.connected.subscribe(places.add)
                tasks.start_soon(outcome, lambda: client.call("hold", ["here"]), Tally())
                await device.began.reach(1)
                await better.start()
                await places.reach(1)
                await client.call("echo", [1])
                device.dispatcher.emit("n.one", {"n": 1})  # by both ways, as a call is open
                device.dispatcher.emit("n.two", {"n": 2})
                assert [(await news.receive()).method for _ in range(2)] == ["n.one", "n.two"]
                device.gate.set()
                await eventually(lambda: not other.peers)
                device.dispatcher.emit("n.three")
                assert (await news.receive()).method == "n.three"
            await better.stop()


async def test_a_device_that_is_off_at_first() -> None:
    device = Device()
    outcomes = Tally()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            restarts = Restarts(device, tasks)
            await restarts.start()
            await restarts.stop()
            async with connect([REFUSED, restarts.url], reconnect=True) as client:
                assert state(client) == "connecting"
                tasks.start_soon(outcome, lambda: client.call("echo", [7]), outcomes)
                await restarts.start()
                await outcomes.reach(1)
                assert (outcomes.items, state(client)) == ([7], "connected")
            assert state(client) == "closed"
            await restarts.stop()


def state(client: Client) -> str:
    return client.state


async def test_without_async() -> None:
    async with serve(named("one"), ANYWHERE) as server:

        def call() -> tuple[object, str]:
            with connect_sync([REFUSED, server.urls[0]]) as device:
                return device.call("way"), device.url

        assert await anyio.to_thread.run_sync(call) == ("one", server.urls[0])


def test_memory_has_no_two_event_loops() -> None:
    with pytest.raises(UsageError, match="memory://lamp: connect_sync has an event loop"):
        connect_sync([REFUSED, "memory://lamp"])
