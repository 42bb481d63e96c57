"""`mqtt://` over Mosquitto: against raw MQTT clients, and against ourselves."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from jsonrpc_iot import (
    BindFailed,
    Busy,
    ChannelClosed,
    Client,
    ConnectFailed,
    Dispatcher,
    InvalidUrl,
    MessageTooLarge,
    Server,
    TooLarge,
    UsageError,
    connect,
    serve,
)
from jsonrpc_iot.channel.arrival import Answer
from jsonrpc_iot.channel.contract import Channel
from jsonrpc_iot.protocol.duplicates import DOUBLED_SECONDS
from jsonrpc_iot.testing import check_channel_contract
from jsonrpc_iot.transports import open_channel, open_listener
from jsonrpc_iot.transports.mqtt._client import MqttChannel
from jsonrpc_iot.transports.mqtt._heads import Correlations
from jsonrpc_iot.transports.mqtt._server import MqttListener
from tests.brokers import Broker, mosquitto, new_mosquitto, new_topic
from tests.transports.links import accepting
from tests.waiting import eventually

from .scripted_broker import message, scripted_broker

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 20.0


class Raw:
    """An MQTT client without any of our code, with a thread of its own."""

    def __init__(self, broker: Broker, version: MQTTProtocolVersion = paho.MQTTv5) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=version)
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[paho.MQTTMessage] = asyncio.Queue()
        self._subscribed = asyncio.Event()
        self._client.on_message = self._take
        self._client.on_subscribe = self._note
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def _take(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._arrived.put_nowait, message)

    def _note(self, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(self._subscribed.set)

    async def subscribe(self, topic: str) -> None:
        self._subscribed.clear()
        self._client.subscribe(topic, 1)
        await self._subscribed.wait()

    def publish(self, topic: str, data: bytes, retain: bool = False, **properties: Any) -> None:
        given = Properties(PacketTypes.PUBLISH) if properties else None  # type: ignore[no-untyped-call]
        for name, value in properties.items():
            setattr(given, name, value)
        self._client.publish(topic, data, 1, retain, given)

    async def receive(self) -> paho.MQTTMessage:
        return await asyncio.wait_for(self._arrived.get(), SECONDS)

    def nothing_waits(self) -> bool:
        return self._arrived.empty()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client._reset_sockets()  # those that woke its thread


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    client = Raw(mosquitto())
    yield client
    client.close()


@pytest.fixture
async def raw_311() -> AsyncIterator[Raw]:
    client = Raw(mosquitto(), paho.MQTTv311)
    yield client
    client.close()


@pytest.fixture
def topic() -> str:
    return new_topic()


class Device:
    """A device that counts."""

    def __init__(self) -> None:
        self.ran: list[object] = []
        self.release = anyio.Event()
        self.dispatcher = Dispatcher()

        @self.dispatcher.method
        def count(upto: int) -> list[int]:
            return list(range(upto))

        @self.dispatcher.method
        def echo(value: object) -> object:
            self.ran.append(value)
            return value

        @self.dispatcher.method
        async def hold() -> int:
            self.ran.append("hold")
            await self.release.wait()
            return len(self.ran)


@asynccontextmanager
async def serving(
    topic: str, options: str = "", device: Device | None = None
) -> AsyncIterator[tuple[Server, Device]]:
    device = device or Device()
    with anyio.fail_after(SECONDS):
        async with serve(
            device.dispatcher, mosquitto().url(options, topic=topic), grace=0.5
        ) as server:
            yield server, device


def listener_of(server: Server) -> MqttListener:
    listener = server._listeners[0]
    assert isinstance(listener, MqttListener)
    return listener


def channel_of(client: Client) -> MqttChannel:
    assert client._peer is not None
    channel = client._peer._channel
    assert isinstance(channel, MqttChannel)
    return channel


# The protocol on the wire


async def test_the_answer_comes_where_it_is_wanted_with_its_correlation(
    raw: Raw, topic: str
) -> None:
    async with serving(topic):
        await raw.subscribe(f"{topic}/response/me")
        for id, correlation in ((b"1", b"a"), (b'"1"', b"\0\xff"), (b"null", b"c"), (b"1.5", b"d")):
            raw.publish(
                topic,
                b'{"id":%s,"method":"echo","params":["x"]}' % id,
                ResponseTopic=f"{topic}/response/me",
                CorrelationData=correlation,
            )
            answer = await raw.receive()
            assert answer.payload == b'{"id":%s,"result":"x"}' % id
            assert answer.properties.CorrelationData == correlation  # type: ignore[union-attr]
            assert not answer.retain


async def test_answers_that_overtake_each_other_keep_their_correlation(
    raw: Raw, topic: str
) -> None:
    async with serving(topic) as (_, device):
        await raw.subscribe(f"{topic}/response/me")

        def send(data: bytes, correlation: bytes) -> None:
            raw.publish(
                topic, data, ResponseTopic=f"{topic}/response/me", CorrelationData=correlation
            )

        send(b'{"id":1,"method":"hold"}', b"first")
        send(b'{"method":"echo","params":["no answer"]}', b"none")
        send(b'[{"id":2,"method":"echo","params":[2]},{"id":3,"method":"x"}]', b"batch")
        send(b"{", b"broken")
        found = {}
        for _ in range(2):
            answer = await raw.receive()
            found[answer.properties.CorrelationData] = answer.payload  # type: ignore[union-attr]
        device.release.set()
        answer = await raw.receive()
        found[answer.properties.CorrelationData] = answer.payload  # type: ignore[union-attr]
        assert found.keys() == {b"first", b"batch", b"broken"}
        assert found[b"first"] == b'{"id":1,"result":3}'
        assert found[b"batch"].startswith(b"[")
        assert b"-32700" in found[b"broken"]


async def test_answers_with_equal_ids_keep_their_correlation(raw: Raw, topic: str) -> None:
    async with serving(topic) as (server, device):
        await raw.subscribe(f"{topic}/response/me")
        answers = f"{topic}/response/me"
        hold, echo = b'{"id":1,"method":"hold"}', b'{"id":1,"method":"echo","params":[%d]}'

        async def answer() -> tuple[Any, Any]:
            heard = await raw.receive()
            return heard.properties.CorrelationData, heard.payload  # type: ignore[union-attr]

        raw.publish(topic, hold, ResponseTopic=answers, CorrelationData=b"first")
        raw.publish(topic, hold, ResponseTopic=answers, CorrelationData=b"doubled")  # is joined
        raw.publish(topic, echo % 2, ResponseTopic=answers, CorrelationData=b"second")
        assert await answer() == (b"second", b'{"id":1,"result":2}')
        device.release.set()
        assert await answer() == (b"first", b'{"id":1,"result":2}')
        for number in range(3, 6):
            data = b"%d" % number
            raw.publish(topic, echo % number, ResponseTopic=answers, CorrelationData=data)
            assert await answer() == (data, b'{"id":1,"result":%d}' % number)
        raw.publish(topic, echo % 5, ResponseTopic=answers, CorrelationData=b"doubled")
        assert await answer() == (b"doubled", b'{"id":1,"result":5}')
        assert device.ran == ["hold", 2, 3, 4, 5]
        assert not len(listener_of(server)._correlations)


async def test_a_caller_without_a_response_topic_is_answered_below_the_path(
    raw_311: Raw, topic: str
) -> None:
    async with serving(topic):
        await raw_311.subscribe(f"{topic}/response")
        raw_311.publish(topic, b'{"id":7,"method":"echo","params":[1]}')
        assert (await raw_311.receive()).payload == b'{"id":7,"result":1}'


async def test_only_topics_below_the_path_are_answered_at(raw: Raw, topic: str) -> None:
    async with serving(topic) as (server, device):
        await raw.subscribe(f"{topic}/response")
        bad = ["/elsewhere", topic, f"{topic}/online", f"{topic}x/response", topic[:-1]]
        for name in bad:
            raw.publish(topic, b'{"id":1,"method":"echo","params":["no"]}', ResponseTopic=name)
        raw.publish(topic, b'{"id":1,"method":"echo","params":["yes"]}')
        assert (await raw.receive()).payload == b'{"id":1,"result":"yes"}'
        assert device.ran == ["yes"]
        assert listener_of(server).ignored == len(bad)


async def test_where_answers_may_be_wanted_can_be_set(raw: Raw, topic: str) -> None:
    async with serving(topic, f"?replies={topic}-answers"):
        await raw.subscribe(f"{topic}-answers/me")
        raw.publish(
            topic,
            b'{"id":1,"method":"echo","params":[1]}',
            ResponseTopic=f"{topic}-answers/me",
        )
        assert (await raw.receive()).payload == b'{"id":1,"result":1}'


async def test_requests_carry_topic_correlation_and_expiry(raw: Raw, topic: str) -> None:
    await raw.subscribe(topic)
    async with connect(mosquitto().url(topic=topic), extensions=False) as client:
        for timeout, expiry in ((0.01, 1), (1.5, 2)):
            async with anyio.create_task_group() as tasks:

                async def call(timeout: float = timeout) -> None:
                    with pytest.raises(TimeoutError):
                        await client.call("x", timeout=timeout)

                tasks.start_soon(call)
                properties: Any = (await raw.receive()).properties
                assert properties is not None
                assert properties.ResponseTopic.startswith(f"{topic}/response/")
                assert properties.CorrelationData
                assert properties.MessageExpiryInterval in (expiry, expiry - 1)
        await client.notify("no.hurry")
        message = await raw.receive()
        assert not hasattr(message.properties, "MessageExpiryInterval")
        assert not message.retain
        assert message.qos == 1


async def test_ids_start_at_random(raw: Raw, topic: str) -> None:
    await raw.subscribe(topic)
    first: set[bytes] = set()
    for _ in range(3):
        async with connect(mosquitto().url(topic=topic)):  # which asks at once with a ping
            first.add(bytes((await raw.receive()).payload))
    assert len(first) == 3


async def test_only_the_path_itself_is_subscribed_to(raw: Raw, topic: str) -> None:
    async with serving(topic) as (_, device):
        await raw.subscribe(f"{topic}/response")
        raw.publish(f"{topic}/below", b'{"id":1,"method":"echo","params":["no"]}')
        raw.publish(topic.lstrip("/"), b'{"id":2,"method":"echo","params":["no"]}')
        raw.publish(topic, b'{"id":3,"method":"echo","params":["yes"]}')
        assert (await raw.receive()).payload == b'{"id":3,"result":"yes"}'
        assert device.ran == ["yes"]


async def test_a_topic_of_any_form(raw: Raw, topic: str) -> None:
    name = topic.lstrip("/").replace("/", "-") + " grün&?"
    quoted = name.replace(" ", "%20").replace("&", "%26").replace("?", "%3F")
    device = Device()
    async with (
        serve(device.dispatcher, f"mqtt://{mosquitto().host}?topic={quoted}") as server,
        connect(server.urls[0]) as client,
    ):
        await raw.subscribe(f"{name}/response/#")
        assert await client.call("echo", [1]) == 1
        assert (await raw.receive()).topic.startswith(f"{name}/response/")


# Retained messages, presence


async def test_retained_requests_are_ignored(raw: Raw, topic: str) -> None:
    await raw.subscribe(topic)
    raw.publish(topic, b'{"id":1,"method":"echo","params":["stale"]}', retain=True)
    await raw.receive()
    await raw.subscribe(f"{topic}/response")
    async with serving(topic) as (server, device):
        raw.publish(topic, b'{"id":2,"method":"echo","params":["fresh"]}')
        while (answer := await raw.receive()).topic != f"{topic}/response":
            pass
        assert answer.payload == b'{"id":2,"result":"fresh"}'
        assert device.ran == ["fresh"]
        assert listener_of(server).ignored == 1
    raw.publish(topic, b"", retain=True)


async def test_birth_and_farewell(raw: Raw, topic: str) -> None:
    async with serving(topic) as (server, _):
        async with connect(server.urls[0]) as client:
            await client.call("echo", [1])
        await raw.subscribe(f"{topic}/online")
        birth = await raw.receive()
        assert (birth.payload, birth.retain) == (b"true", True)
    assert (await raw.receive()).payload == b"false"


async def test_the_will_says_that_a_server_has_vanished(raw: Raw, topic: str) -> None:
    listener = await open_listener(mosquitto().url(topic=topic))
    await raw.subscribe(f"{topic}/online")
    assert (await raw.receive()).payload == b"true"
    assert isinstance(listener, MqttListener)
    assert listener._broker is not None
    listener._broker._link.abort()
    assert (await raw.receive()).payload == b"false"
    await listener.aclose()


async def test_clients_fail_fast_where_the_device_says_that_it_is_offline(
    topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = mosquitto().url(topic=topic)
    async with connect(url):
        pass  # nothing is known of it
    async with serving(topic), connect(url) as client:
        assert await client.call("echo", [1]) == 1
    with pytest.raises(ConnectFailed, match="the device is offline"):
        async with connect(url):
            pass
    for _ in range(10):  # what the closed connection has still to tell
        await asyncio.sleep(0)
    gc.collect()
    assert not caplog.records  # of a future that nobody has asked


# Pushes


async def test_a_push_is_one_message_that_all_clients_hear(raw: Raw, topic: str) -> None:
    await raw.subscribe(f"{topic}/response/#")
    async with serving(topic) as (server, _), AsyncExitStack() as stack:
        await eventually(lambda: server.peers, SECONDS)
        assert server.broadcast("early") == 1
        assert (await raw.receive()).payload == b'{"method":"early"}'
        options = ("", "", "?version=3.1.1")
        clients = [
            await stack.enter_async_context(connect(server.urls[0] + each, extensions=True))
            for each in options
        ]
        heard = [await stack.enter_async_context(each.notifications()) for each in clients]
        for client in clients:
            await client.call("echo", [1])
            await raw.receive()
        assert server.broadcast("wifi.status", {"state": 3}) == 1
        push = await raw.receive()
        assert (push.topic, push.retain) == (f"{topic}/response", False)
        assert push.payload == b'{"method":"wifi.status","params":{"state":3}}'
        for stream in heard:
            assert (await stream.receive()).method == "wifi.status"
        assert raw.nothing_waits()


async def test_a_server_cannot_call_its_clients(topic: str) -> None:
    device = Device()
    failures: list[Exception] = []

    @device.dispatcher.method
    async def ask() -> None:
        for peer in server.peers:
            try:
                await peer.call("x")
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    async with serving(topic, device=device) as (server, _), connect(server.urls[0]) as client:
        await client.call("ask")
        assert [type(each).__name__ for each in failures] == ["TransportError"] * 2


# What arrives that is not for us


async def test_foreign_messages_on_the_response_topics_are_dropped_and_counted(
    raw: Raw, topic: str
) -> None:
    async with (
        serving(topic) as (server, device),
        connect(server.urls[0], extensions=True) as client,
    ):
        channel = channel_of(client)
        own = channel.info.local.partition(mosquitto().host)[2]
        junk = [
            b"\xff\xfe",
            b"",
            b"{",
            b'"text"',
            b'{"id":1,"method":"echo","params":["do not answer"]}',
            b'[{"id":1,"method":"echo"}]',
        ]
        await raw.subscribe(topic)
        for place in (own, f"{topic}/response"):
            for data in junk:
                raw.publish(place, data)
            raw.publish(place, b'{"id":1,"result":1}', CorrelationData=b"another's")
        await eventually(lambda: channel.foreign == 2 * len(junk) + 2, SECONDS)
        assert raw.nothing_waits()
        before = client._peer.session.strays  # type: ignore[union-attr]
        raw.publish(own, b'{"id":1,"result":"late"}')
        raw.publish(f"{topic}/response", b'{"id":null,"error":{"code":1,"message":"of another"}}')
        async with anyio.create_task_group() as tasks:

            async def hold() -> None:
                assert await client.call("hold") == 1

            tasks.start_soon(hold)
            await eventually(lambda: client._peer.session.strays == before + 2, SECONDS)  # type: ignore[union-attr]
            device.release.set()


async def test_payloads_that_are_no_utf_8_are_answered(raw: Raw, topic: str) -> None:
    async with serving(topic):
        await raw.subscribe(f"{topic}/response")
        for data in (b"\xff", b'{"id":1,"method":"echo","params":["\xff"]}', b"", b"\0" * 100):
            raw.publish(topic, data)
            answer = (await raw.receive()).payload
            assert b'"code":-32700' in answer
            assert b'"id":null' in answer


async def test_what_comes_twice_runs_once(raw: Raw, topic: str) -> None:
    async with serving(topic) as (_, device):
        await raw.subscribe(f"{topic}/response")
        request = b'{"id":5,"method":"echo","params":["once"]}'
        for _ in range(3):
            raw.publish(topic, request)
        raw.publish(topic, b'{"id":6,"method":"echo","params":["end"]}')
        answers = [(await raw.receive()).payload for _ in range(4)]
        assert answers[:3] == [b'{"id":5,"result":"once"}'] * 3
        assert device.ran == ["once", "end"]


async def test_too_much_at_once_is_busy_and_not_kept(topic: str) -> None:
    async with serving(topic) as (server, device), connect(server.urls[0]) as client:
        outcomes: list[object] = []

        async def hold() -> None:
            try:
                outcomes.append(await client.call("hold", timeout=None))
            except Busy as error:
                outcomes.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(hold)
            await eventually(lambda: len(outcomes) == 200 - 128, SECONDS)
            device.release.set()
        assert sum(isinstance(each, Busy) for each in outcomes) == 200 - 128


async def test_a_flood_is_bounded_and_the_server_lives(raw: Raw, topic: str) -> None:
    async with serving(topic) as (server, _), connect(server.urls[0]) as client:
        for number in range(3000):
            raw.publish(topic, b'{"id":%d,"method":"nope"}' % number)
        assert await client.call("echo", ["still here"], timeout=SECONDS) == "still here"
        listener = listener_of(server)
        assert len(listener._broker._link._arrived) <= 1000  # type: ignore[union-attr]
        assert len(listener.demux) <= 2
        assert len(listener._correlations) <= 1


# Sizes


async def test_sizes(topic: str) -> None:
    async with serving(topic, "?max=300") as (server, _), connect(server.urls[0]) as client:
        assert client.info.max_message == 4096
        with pytest.raises(MessageTooLarge):
            await client.call("echo", ["x" * 4096])
        with pytest.raises(TooLarge):
            await client.call("echo", ["x" * 400])
        assert await client.call("echo", ["x"]) == "x"


async def test_segments_and_messagepack(topic: str) -> None:
    async with (
        serving(topic, "?segment=1&codec=msgpack") as (server, _),
        connect(server.urls[0]) as client,
    ):
        assert "segment=1" in server.urls[0]
        big = {"bytes": b"\0" * 50_000}
        assert await client.call("echo", {"value": big}) == big
    with pytest.raises(ConnectFailed, match="segments need MQTT 5"):
        async with connect(mosquitto().url("?segment=1&version=3.1.1")):
            pass


# Streams


@pytest.mark.parametrize(
    ("server", "client", "fits"),
    [
        ("", "", True),
        ("?qos=0", "?qos=0", True),
        ("", "?version=3.1.1", False),
        ("?share=blue", "", False),
    ],
)
async def test_items_go_one_by_one_where_only_the_caller_hears_them(
    topic: str, server: str, client: str, fits: bool
) -> None:
    async with serving(topic, server), connect(mosquitto().url(client, topic=topic)) as caller:
        if fits:
            assert [item async for item in caller.stream("count", [2000])] == list(range(2000))
        else:
            assert [item async for item in caller.stream("count", [20])] == list(range(20))
            with pytest.raises(TooLarge):
                assert [item async for item in caller.stream("count", [2000])] == []


# QoS


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_qos_0_is_lossy_and_qos_1_is_not(topic: str, version: str) -> None:
    async with serving(topic, f"?qos=0&version={version}") as (server, _):
        assert server.urls[0].endswith(f"?qos=0&version={version}")
        async with connect(server.urls[0]) as client:
            assert not client.info.reliable
            assert await client.call("echo", [1]) == 1
        async with connect(mosquitto().url(topic=topic)) as client:
            assert client.info.reliable
            assert await client.call("echo", [1]) == 1


# Connections


async def test_the_contract_of_channels(topic: str) -> None:
    url = mosquitto().url("?max=3000", topic=topic)
    async with accepting(url) as (listener, accept):
        everybody = await accept()
        assert everybody.info.peer.endswith(f"{topic}/response")
        client = await open_channel(listener.addresses[0] + "?max=3000")
        assert isinstance(client, MqttChannel)
        client.accepts = lambda message: True  # the contract's messages are neither answer nor push
        await client.send(b"hello")
        server: Channel = await accept()
        assert await server.receive() == b"hello"
        await check_channel_contract(client, server, SECONDS)
        await everybody.aclose()


async def test_a_broker_that_is_not_there_fails_at_once() -> None:
    url = "mqtt://127.0.0.1:1/path/to/rpc"
    started = time.monotonic()
    with pytest.raises(BindFailed, match=r"127\.0\.0\.1:1/path/to/rpc: Connection refused"):
        async with serve(Dispatcher(), url):
            pass
    with pytest.raises(ConnectFailed, match="Connection refused"):
        async with connect(url):
            pass
    assert time.monotonic() - started < SECONDS


async def test_a_broker_that_says_nothing_is_left_in_time() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.listeners[0].extra(anyio.abc.SocketAttribute.local_port)
        started = time.monotonic()
        with pytest.raises(ConnectFailed):
            async with connect(f"mqtt://127.0.0.1:{port}/x", connect_timeout=0.3):
                pass
        assert time.monotonic() - started < SECONDS


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A Mosquitto that the test may stop."""
    broker = new_mosquitto()
    yield broker
    broker.stop()


async def test_a_restart_of_the_broker_in_the_middle_of_calls(
    broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device()
    url = broker.url(topic=topic)
    with anyio.fail_after(2 * SECONDS):
        async with (
            serve(device.dispatcher, url, grace=0.5) as server,
            connect(url, reconnect=True) as client,
        ):
            failures: list[Exception] = []
            repeated: list[object] = []

            async def hold(idempotent: bool) -> None:
                try:
                    repeated.append(await client.call("hold", timeout=None, idempotent=idempotent))
                except ChannelClosed as error:
                    failures.append(error)

            with caplog.at_level(logging.WARNING, "jsonrpc_iot.transports"):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(hold, False)
                    tasks.start_soon(hold, True)
                    await eventually(lambda: len(device.ran) == 2, SECONDS)
                    broker.stop()
                    await eventually(lambda: failures, SECONDS)
                    assert "outcome unknown" in str(failures[0])
                    assert not repeated
                    server.broadcast("nobody.hears.it")
                    broker.start()
                    await eventually(lambda: len(device.ran) == 3, SECONDS)
                    device.release.set()
            assert len(repeated) == 1
            assert await client.call("echo", ["again"]) == "again"
            texts = [each.getMessage() for each in caplog.records]
            assert sum("is lost" in text for text in texts) == 1
            assert sum("connected to the broker again" in text for text in texts) == 1
            assert listener_of(server).unsent == 1


async def test_a_client_that_does_not_reconnect_ends_with_the_broker(
    broker: Broker, topic: str
) -> None:
    async with connect(broker.url(topic=topic)) as client:
        broker.stop()
        with pytest.raises(ChannelClosed):
            await client.call("x", timeout=SECONDS)


@pytest.mark.only_on("trio")
async def test_mqtt_does_not_work_on_trio() -> None:
    for open_it in (open_channel, open_listener):
        with pytest.raises(UsageError, match="MQTT works on asyncio, not on trio"):
            await open_it("mqtt://127.0.0.1/x")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mqtt:///x", "a host is missing"),
        ("mqtt://h", "a topic is missing"),
        ("mqtt://h/", "a topic is missing"),
        ("mqtt://h/a/+/b", "is no topic"),
        ("mqtt://h?topic=a/%23", "is no topic"),
        ("mqtt://h/x?qos=2", "option qos='2'"),
        ("mqtt://h/x?version=4", "valid are 5, 3.1.1"),
        ("mqtt://h/x?ca=x", "unknown option 'ca'"),
        ("mqtt://h/x?password=env:X", "a password needs a user"),
        ("mqtt://u@h/x?password=secret", "password=env:NAME or file:PATH"),
        ("mqtt://u@h/x?password=env:NOT_THERE", "the environment has no NOT_THERE"),
        ("mqtt://u@h/x?password=file:/not/there", "No such file"),
        ("mqtts://h/x?ca=/not/there", "cannot load cert, key or ca"),
        ("mqtt://h/x?share=a/b", "the name of a group"),
        ("mqtt://h/x?share=g&version=3.1.1", "share needs MQTT 5"),
        ("mqtt://h/x?share=g&segment=1", "several servers"),
        ("mqtt://h/x?replies=a/%23", "without + or #"),
    ],
)
async def test_urls_that_make_no_sense(url: str, problem: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        await open_listener(url)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_what_the_broker_marks_as_delivered_before_is_not_run_again(topic: str) -> None:
    request = b'{"id":5,"method":"echo","params":["once"]}\n'
    device = Device()
    async with (
        scripted_broker() as broker,
        serve(device.dispatcher, broker.url(topic), grace=0.5),
    ):
        birth = await broker.published()
        assert birth.endswith(b"true")
        broker.send(message(topic, request, mid=1))
        first = await broker.published()
        assert first.endswith(b'{"id":5,"result":"once"}')
        await anyio.sleep(DOUBLED_SECONDS + 0.1)  # later than any doubled packet
        # A broker does so after a lost connection, if it keeps the session: ours are never kept.
        broker.send(message(topic, request, mid=1, again=True))
        assert _answer(await broker.published()) == _answer(first)
        assert device.ran == ["once"]
        broker.send(message(topic, request, mid=1))
        assert _answer(await broker.published()) == _answer(first)
        assert device.ran == ["once", "once"]


def _answer(published: bytes) -> bytes:
    """The message in a PUBLISH packet."""
    return published[published.index(b"{") :]


def test_correlations_take_up_no_more_room_than_they_may() -> None:
    kept = Correlations()
    tickets = [kept.put(b"c" * 60_000) for _ in range(300)]
    assert len(kept) < 80
    first, last = (Answer.to(each, b"answer") for each in (tickets[0], tickets[-1]))
    assert kept.take(first) is None
    assert kept.take(b"answer") is None
    assert kept.take(last) == b"c" * 60_000
    assert kept.take(last) is None
    tickets.clear()
    assert not len(kept)
