"""Brokers that refuse, do little or hang up, and what is said of a device that is not so."""

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest

from jsonrpc_iot import ChannelClosed, ConnectFailed, Dispatcher, Server, TooLarge, connect, serve
from jsonrpc_iot.protocol.backoff import Backoff
from jsonrpc_iot.protocol.limits import Limits
from jsonrpc_iot.transports.mqtt._facts import Settings
from jsonrpc_iot.transports.mqtt._link import Link
from tests.brokers import Broker, mosquitto, new_mosquitto, new_topic

from .scripted_broker import ACCEPTED_5, KICK_5, scripted_broker

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 20.0


def device() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("echo")(_echo)
    dispatcher.method("repeat")(lambda text, times: text * times)
    return dispatcher


def _echo(value: object) -> object:
    return value


@asynccontextmanager
async def serving(url: str, **options: Any) -> AsyncIterator[Server]:
    with anyio.fail_after(SECONDS):
        async with serve(device(), url, grace=0.5, **options) as server:
            yield server


@asynccontextmanager
async def onlooker(broker: Broker, topic: str, qos: int = 1) -> AsyncIterator[Link]:
    """Somebody at the same broker, who hears what is said at a topic."""
    name = f"onlooker{new_topic()}"
    host = {"host": "127.0.0.1", "port": broker.port}
    link = await Link.open(Settings(version="5", name=name, max_payload=1 << 16, **host))  # type: ignore[arg-type]
    try:
        await link.subscribe(topic, qos)
        yield link
    finally:
        await link.aclose()


async def heard(link: Link, data: bytes) -> None:
    """Wait until that is heard."""
    async with asyncio.timeout(SECONDS):
        while data not in [each.data for each in await link.receive()]:
            pass


# Presence


async def test_a_server_corrects_what_is_said_of_it() -> None:
    topic = new_topic()
    async with (
        serving(mosquitto().url(topic=topic)) as server,
        onlooker(mosquitto(), f"{topic}/online") as others,
    ):
        await heard(others, b"true")
        for lie in (b"false", b"false", b"", b"nonsense"):
            others.publish(f"{topic}/online", lie, 1, retain=True)
            await heard(others, b"true")
        async with connect(server.urls[0]) as client:
            assert await client.call("echo", [1]) == 1
    async with onlooker(mosquitto(), f"{topic}/online") as others:
        assert [each.data for each in await others.receive()] == [b"false"]


async def test_a_flood_of_lies_is_not_answered_with_another() -> None:
    topic = new_topic()
    async with (
        serving(mosquitto().url(topic=topic)),
        onlooker(mosquitto(), f"{topic}/online") as others,
    ):
        await heard(others, b"true")
        began = time.monotonic()
        told: list[bytes] = []
        for _ in range(200):
            others.publish(f"{topic}/online", b"false", 1)
        while told.count(b"false") < 200 or told[-1] != b"true":
            told += [each.data for each in await others.receive()]
        assert told.count(b"true") <= 2 + time.monotonic() - began


async def test_the_goodbye_of_the_server_before_does_not_count() -> None:
    topic = new_topic()
    url = mosquitto().url(topic=topic)
    async with serving(url) as server:
        async with serving(url):
            pass
        async with onlooker(mosquitto(), f"{topic}/online") as others:
            await heard(others, b"true")
        async with connect(server.urls[0]) as client:
            assert await client.call("echo", [1]) == 1


@pytest.mark.parametrize("options", ["", "?version=3.1.1"])
async def test_clients_ask_a_device_that_is_said_to_be_offline(options: str) -> None:
    """It may be one that does not correct that: of another make, or one of a group."""
    topic = new_topic()
    async with (
        serving(mosquitto().url("?share=lamps", topic=topic)),
        onlooker(mosquitto(), f"{topic}/online") as others,
    ):
        others.publish(f"{topic}/online", b"false", 1, retain=True)
        await heard(others, b"false")
        with anyio.fail_after(SECONDS):
            async with connect(mosquitto().url(options, topic=topic)) as client:
                assert await client.call("echo", [1]) == 1
        others.publish(f"{topic}/online", b"", 1, retain=True)


async def test_a_device_that_says_nothing_is_offline_also_with_mqtt_3() -> None:
    topic = new_topic()
    async with onlooker(mosquitto(), f"{topic}/online") as others:
        others.publish(f"{topic}/online", b"false", 1, retain=True)
        await heard(others, b"false")
        with anyio.fail_after(SECONDS), pytest.raises(ConnectFailed, match="device is offline"):
            async with connect(mosquitto().url("?version=3.1.1", topic=topic)):
                pass
        others.publish(f"{topic}/online", b"", 1, retain=True)


# What the broker refuses


@pytest.fixture
def strict() -> Iterator[Broker]:
    """A broker where anybody may listen and nobody may publish, but below /free."""
    broker = new_mosquitto(
        "allow_anonymous true\nacl_file {folder}/acl\n",
        acl="topic read #\ntopic /free/#\ntopic /+/rpc/online\n",
    )
    yield broker
    broker.stop()


async def test_a_request_that_the_broker_refuses_fails_at_once(strict: Broker) -> None:
    began = time.monotonic()
    with pytest.raises(ChannelClosed, match="refuses to publish to /lamp/rpc: Not authorized"):
        async with connect(strict.url(topic="/lamp/rpc")) as client:
            await client.call("echo", [1], timeout=SECONDS)
    assert time.monotonic() - began < SECONDS / 2


async def test_a_refusal_is_told_also_where_the_device_is_said_to_be_offline(
    strict: Broker,
) -> None:
    async with onlooker(strict, "/lamp/rpc/online") as others:
        others.publish("/lamp/rpc/online", b"false", 1, retain=True)
        await heard(others, b"false")
        with anyio.fail_after(SECONDS), pytest.raises(ChannelClosed, match="Not authorized"):
            async with connect(strict.url(topic="/lamp/rpc")) as client:
                await client.call("echo", [1], timeout=SECONDS)


async def test_a_notification_that_the_broker_refuses_is_no_success(strict: Broker) -> None:
    for topic, code in (("/lamp/rpc", 3), ("/free/rpc", 0)):
        notify = [sys.executable, "-m", "jsonrpc_iot", "notify", strict.url(topic=topic), "touch"]
        with anyio.fail_after(SECONDS):
            ended = await anyio.run_process(notify, check=False)
        assert ended.returncode == code
        assert (b"refuses to publish to /lamp/rpc: Not authorized" in ended.stderr) == bool(code)


async def test_a_device_that_may_not_publish_says_so_once(
    strict: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "jsonrpc_iot.transports"):
        async with (
            serving(strict.url(topic="/lamp/rpc")) as server,
            onlooker(strict, "/lamp/rpc") as others,
        ):
            for number in range(3):
                server.broadcast("wifi.status", {"state": number})
            others.publish("/free/x", b"", 1)
            async with asyncio.timeout(SECONDS):
                while "no more are told of" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    texts = [each.getMessage() for each in caplog.records]
    assert len([text for text in texts if re.search("refuses to publish.*authorized", text)]) == 1


# What a broker cannot do


@pytest.mark.parametrize("version", ["", "?version=5", "?version=3.1.1"])
@pytest.mark.parametrize(
    "lack",
    ["retain_available false", "max_qos 0", "max_qos 0\nretain_available false"],
    ids=["retain", "qos", "both"],
)
async def test_brokers_without_retaining_or_qos(lack: str, version: str) -> None:
    broker = new_mosquitto(f"allow_anonymous true\n{lack}\n")
    try:
        async with serving(broker.url(version)) as server, connect(server.urls[0]) as client:
            assert client.info.reliable == ("qos" not in lack)
            assert await client.call("echo", ["x" * 3000]) == "x" * 3000
            async with client.notifications() as notifications:
                server.broadcast("wifi.status", {"state": 3})
                assert (await notifications.receive()).method == "wifi.status"
    finally:
        broker.stop()


async def test_a_broker_that_grants_less_makes_the_channel_a_lossy_one() -> None:
    async with (
        scripted_broker(granted=0) as broker,
        connect(broker.url("/lamp/rpc")) as client,
    ):
        assert not client.info.reliable
        with anyio.move_on_after(0.01):
            await client.call("echo", [1])
        assert (await broker.published()).startswith(b"\0\x09/lamp/rpc{")  # no number: QoS 0


async def test_a_broker_that_takes_one_message_at_a_time() -> None:
    broker = new_mosquitto("allow_anonymous true\nmax_inflight_messages 1\n")
    try:
        async with serving(broker.url()) as server, connect(server.urls[0]) as client:
            results: list[object] = []

            async def call(number: int) -> None:
                results.append(await client.call("echo", [number]))

            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(call, number)
            assert sorted(results, key=str) == sorted(range(100), key=str)
    finally:
        broker.stop()


async def test_a_burst_of_pushes_waits_for_the_broker_and_keeps_no_answer_out() -> None:
    broker = new_mosquitto("allow_anonymous true\nmax_queued_messages 0\n")
    topic, count = new_topic(), 2000
    try:
        async with (
            serving(broker.url(topic=topic), limits=Limits(queue_bytes=1 << 17)) as server,
            onlooker(broker, f"{topic}/response") as others,
            connect(server.urls[0], timeout=SECONDS) as client,
        ):
            await client.call("echo", [0])
            for number in range(count):
                assert server.broadcast("count", [number]) == 1
            assert await client.call("echo", [1]) == 1
            said: list[int] = []
            while len(said) < count:
                said += [json.loads(each.data)["params"][0] for each in await others.receive()]
            assert said == list(range(count))
            while server.broadcast("count", [1]) == 1:  # in one go that is too much
                pass
            assert await client.call("echo", [2]) == 2
    finally:
        broker.stop()


async def test_messages_that_are_too_large_for_the_broker_are_not_sent() -> None:
    broker = new_mosquitto("allow_anonymous true\nmax_packet_size 1000\n")
    try:
        async with serving(broker.url()) as server, connect(server.urls[0]) as client:
            limit = client.info.max_message
            assert limit is not None
            assert 600 < limit < 1000
            fits = "x" * (limit - 100)  # the server leaves room for correlation data
            assert await client.call("echo", [fits]) == fits
            with pytest.raises(TooLarge):
                await client.call("repeat", ["x", 1000])
    finally:
        broker.stop()


# What comes from strangers


async def test_a_large_message_of_a_stranger_does_not_reach_the_server() -> None:
    topic = new_topic()
    limits = Limits(receive_bytes=10_000)
    async with (
        serving(mosquitto().url(topic=topic), limits=limits) as server,
        onlooker(mosquitto(), f"{topic}/response") as others,
    ):
        others.publish(topic, b'{"id":1,"method":"echo","params":["%s"]}' % (b"x" * 1_000_000), 1)
        others.publish(topic, b'{"id":2,"method":"echo","params":["%s"]}' % (b"x" * 20_000), 1)
        others.publish(topic, b'{"id":3,"method":"echo","params":["x"]}', 1)
        assert [each.data for each in await others.receive()] == [b'{"id":3,"result":"x"}']
        link = server._listeners[0]._broker._link  # type: ignore[attr-defined]
        assert link.oversize == 1  # the broker has dropped the other one


async def test_both_ends_tell_the_broker_how_large_a_packet_they_take() -> None:
    limits = Limits(receive_bytes=10_000)
    most = b"\x27" + (10_000 + (256 << 10)).to_bytes(4, "big")
    async with scripted_broker(ACCEPTED_5) as broker:
        url = broker.url("/lamp/rpc", "")
        async with serving(url, limits=limits), connect(url, limits=limits):
            assert [most in each for each in broker.connects] == [True, True]


# Storms


@pytest.mark.parametrize("farewell", [KICK_5, b""])
async def test_pauses_grow_also_when_connections_open_and_end_at_once(
    farewell: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def longest(least: float, most: float) -> float:
        pauses.append(most)
        return least

    jittered = partial(Backoff, uniform=longest)
    monkeypatch.setattr("jsonrpc_iot.transports.mqtt._server.Backoff", jittered)
    async with (
        scripted_broker(ACCEPTED_5, farewell=farewell) as broker,
        serving(broker.url("/lamp/rpc", "?version=5")),
    ):
        async with asyncio.timeout(SECONDS):
            while len(pauses) < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert pauses[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


async def test_topics_that_begin_with_two_slashes_are_shown_so() -> None:
    topic = f"/{new_topic()}"
    async with serving(mosquitto().url(topic=topic)) as server:
        assert server.urls[0].endswith(topic)
        async with connect(server.urls[0]) as client:
            assert await client.call("echo", [1]) == 1
