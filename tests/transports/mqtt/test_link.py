"""One connection to an MQTT broker: what it tells, and what it holds back."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from paho.mqtt.reasoncodes import ReasonCode

from jsonrpc_iot.transports.mqtt._facts import (
    Arrived,
    LinkLost,
    LinkRefused,
    LinkSilent,
    Settings,
    Will,
)
from jsonrpc_iot.transports.mqtt._link import Link
from tests.brokers import (
    PASSWORD,
    USER,
    Broker,
    mosquitto,
    new_mosquitto,
    new_topic,
    secret_mosquitto,
)
from tests.transports.certificates import Certificates

from .scripted_broker import ACCEPTED_5, ACCEPTED_311, KICK_5, message, packet, scripted_broker

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 20.0


def settings(broker: Any, **more: Any) -> Settings:
    given = {"version": "5", "name": "tests", "max_payload": 1 << 16, **more}
    return Settings(host="127.0.0.1", port=broker.port, **given)


@asynccontextmanager
async def linked(broker: Any, **more: Any) -> AsyncIterator[Link]:
    with anyio.fail_after(SECONDS):
        link = await Link.open(settings(broker, **more))
        try:
            yield link
        finally:
            await link.aclose()


class Confirmations:
    """What a link tells of the messages that it published."""

    def __init__(self, link: Link) -> None:
        self._told: asyncio.Queue[tuple[int, ReasonCode]] = asyncio.Queue()
        link.on_confirmed = lambda mid, reason: self._told.put_nowait((mid, reason))

    async def next(self) -> tuple[int, ReasonCode]:
        return await asyncio.wait_for(self._told.get(), SECONDS)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1])
async def test_what_is_published_arrives(version: str, qos: int) -> None:
    topic = new_topic()
    async with linked(mosquitto(), version=version, name=new_topic()) as link:
        confirmations = Confirmations(link)
        assert (await link.subscribe(topic, qos)).value == qos
        mid = link.publish(topic, b"\0\xff", qos)
        assert await link.receive() == [Arrived(topic, b"\0\xff", acknowledge_as=qos)]
        told, reason = await confirmations.next()
        assert (told, reason.is_failure) == (mid, False)


async def test_what_a_broker_says_of_itself() -> None:
    broker = new_mosquitto(
        "allow_anonymous true\nmax_packet_size 20000\nmax_qos 0\nretain_available false\n"
        "max_keepalive 15\nmax_inflight_messages 7\n"
    )
    try:
        async with linked(broker, name="") as link:
            facts = link.facts
        assert (facts.max_packet, facts.max_qos, facts.retains) == (20_000, 0, False)
        assert (facts.keepalive, facts.window) == (15, 7)
        assert facts.name
        async with linked(broker, version="3.1.1") as link:
            assert link.facts.max_packet is None
        for will, code in ((Will("/x", b""), 154), (Will("/x", b"", retain=False), 155)):
            with pytest.raises(LinkRefused) as caught:
                await Link.open(settings(broker, will=will))
            assert caught.value.code == code
    finally:
        broker.stop()


async def test_a_refused_publication_is_told_with_its_reason() -> None:
    broker = new_mosquitto(
        "allow_anonymous true\nacl_file {folder}/acl\n", acl="topic read /x\ntopic /y\n"
    )
    try:
        async with linked(broker) as link:
            confirmations = Confirmations(link)
            for topic, text in (("/x", "Not authorized"), ("/y", "No matching subscribers")):
                mid = link.publish(topic, b"1", 1)
                told, reason = await confirmations.next()
                assert (told, str(reason)) == (mid, text)
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("version", "text"), [("5", "Not authorized"), ("3.1.1", "Unspecified error")]
)
async def test_a_refused_subscription_is_told_with_its_reason(version: str, text: str) -> None:
    accepted = ACCEPTED_5 if version == "5" else ACCEPTED_311
    granted = 0x87 if version == "5" else 0x80
    async with (
        scripted_broker(accepted, granted=granted) as broker,
        linked(broker, version=version) as link,
    ):
        assert str(await link.subscribe("/z", 1)) == text


async def test_logins_and_their_refusal() -> None:
    broker = secret_mosquitto()
    async with linked(broker, user=USER, password=PASSWORD) as link:
        assert link.ended is None
    for version in ("5", "3.1.1"):
        with pytest.raises(LinkRefused, match="Not authorized"):
            await Link.open(settings(broker, version=version, user=USER, password="wrong"))


async def test_the_will_is_published_when_a_link_is_aborted() -> None:
    topic = new_topic()
    async with linked(mosquitto(), name=new_topic()) as other:
        await other.subscribe(topic, 1)
        for say_goodbye in (True, False):
            will = Will(topic, b"gone", retain=False)
            link = await Link.open(settings(mosquitto(), name=new_topic(), will=will))
            if say_goodbye:
                await link.aclose()
            else:
                link.abort("enough")
                assert link.ended == "enough"
        assert [each.data for each in await other.receive()] == [b"gone"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_lost_connection_is_told_once_with_its_reason(version: str) -> None:
    accepted = ACCEPTED_5 if version == "5" else ACCEPTED_311
    async with scripted_broker(accepted) as broker, linked(broker, version=version) as link:
        ends: list[object] = []
        link.on_end = lambda: ends.append(link.ended)
        if version == "5":
            broker.send(KICK_5)
        broker.close()
        with pytest.raises(LinkLost, match="the broker closed the connection") as caught:
            await link.receive()
        assert str(caught.value).endswith("Administrative action") == (version == "5")
        assert ends == [str(caught.value)]
        assert link.publish("/x", b"", 1) is None
        with pytest.raises(LinkLost):
            await link.subscribe("/x", 1)
        link.abort()
        assert ends == [str(caught.value)]


async def test_an_open_subscription_ends_with_the_connection() -> None:
    async with (
        scripted_broker(farewell=b"\xd0\x00", granted=None) as broker,
        linked(broker, version="3.1.1") as link,
    ):
        with pytest.raises(LinkLost, match="closed the connection"):
            await link.subscribe("/x", 1)


@pytest.mark.parametrize(
    "junk",
    [
        packet(0x32, b"\xff\xff/x"),  # a topic longer than its packet
        packet(0x30, b"\x00\x01\xff{}"),  # a topic that is no UTF-8
        packet(0xF0, b""),  # no packet of this version
        b"\x30\xff\xff\xff\xff\xff",  # a length without end
        packet(0x90, b""),  # an answer to nothing
    ],
)
async def test_junk_ends_the_connection(junk: bytes) -> None:
    async with scripted_broker() as broker, linked(broker, version="3.1.1") as link:
        broker.send(junk)
        with pytest.raises(LinkLost):
            await link.receive()


async def test_a_broker_that_accepts_and_says_nothing() -> None:
    async with scripted_broker(b"") as broker:
        with anyio.fail_after(SECONDS), pytest.raises(LinkSilent, match="does not answer"):
            await Link.open(replace(settings(broker), seconds=0.1))


async def test_giving_up_while_it_connects_leaves_no_connection() -> None:
    async with scripted_broker(b"") as broker:
        for seconds in (0.0, 0.001, 0.01, 0.1):
            with anyio.move_on_after(seconds):
                await Link.open(settings(broker))
        with anyio.fail_after(SECONDS):
            await broker.idle()


async def test_a_broker_that_falls_silent_is_left() -> None:
    async with (
        scripted_broker(pings=False) as broker,
        linked(broker, version="3.1.1", keepalive=1) as link,
    ):
        with pytest.raises(LinkLost, match="does not answer any more"):
            await link.receive()


async def test_the_keepalive_of_the_broker_counts() -> None:
    accepted = packet(0x20, b"\x00\x00\x03\x13\x00\x01")  # Server Keep Alive: 1 s
    async with scripted_broker(accepted) as broker, linked(broker, keepalive=1000) as link:
        assert link.facts.keepalive == 1
        await broker.pinged.wait()


# Holding the broker back


async def test_what_is_not_taken_is_not_acknowledged_nor_read_for_ever() -> None:
    async with scripted_broker() as broker, linked(broker, version="3.1.1") as link:
        for mid in range(1, 4):
            broker.send(message("/x", b"%d" % mid, mid=mid))
        while len(link._arrived) < 3:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert broker.acknowledged == []
        assert [each.data for each in link.take()] == [b"1", b"2", b"3"]
        while len(broker.acknowledged) < 3:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert broker.acknowledged == [1, 2, 3]


@pytest.mark.parametrize(
    ("count", "size", "limit"), [(20_000, 1000, 1 << 20), (800, 60_000, 1 << 16)]
)
async def test_a_flood_is_held_back_and_nothing_of_it_lost(
    count: int, size: int, limit: int
) -> None:
    async with (
        scripted_broker() as broker,
        linked(broker, version="3.1.1", max_payload=limit) as link,
    ):

        async def flood() -> None:
            for number in range(count):
                broker.send(message("/x", b"%05d" % number + b"x" * size))
                await broker.drain()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flood)
            taken = 0
            while taken < count:
                if taken == 0:
                    await broker.stuck()
                batch = await link.receive()
                assert len(batch) <= 1000
                assert sum(len(each.data) for each in batch) <= limit + size + 5
                numbers = [int(each.data[:5]) for each in batch]
                assert numbers == list(range(taken, taken + len(batch)))
                taken += len(batch)


async def test_messages_over_the_limit_are_dropped_and_acknowledged() -> None:
    async with scripted_broker() as broker, linked(broker, version="3.1.1") as link:
        broker.send(message("/x", b"x" * ((1 << 16) + 1), mid=1))
        broker.send(message("/x", b"y" * (1 << 16), mid=2))
        assert [each.data[:1] for each in await link.receive()] == [b"y"]
        while broker.acknowledged != [1, 2]:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert link.oversize == 1


# TLS


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Broker, Certificates]:
    certificates = Certificates(tmp_path_factory.mktemp("link-certificates"))
    configuration = (
        f"allow_anonymous true\ncafile {certificates.ca}\ncertfile {certificates.server}\n"
        f"keyfile {certificates.server}\n"
    )
    return new_mosquitto(configuration), certificates


async def test_messages_that_share_a_tls_record_all_arrive(
    tls_broker: tuple[Broker, Certificates],
) -> None:
    broker, files = tls_broker
    topic = new_topic()
    tls = ssl.create_default_context(cafile=str(files.ca))
    async with linked(broker, tls=tls) as link:
        await link.subscribe(topic, 0)
        for burst in range(50):
            for number in range(20):
                link.publish(topic, b"%d" % number, 0)
            numbers: list[int] = []
            while len(numbers) < 20:
                numbers += [int(each.data) for each in await link.receive()]
            assert numbers == list(range(20)), burst


async def test_a_broker_with_a_strange_certificate_is_left(
    tls_broker: tuple[Broker, Certificates],
) -> None:
    broker, _ = tls_broker
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await Link.open(settings(broker, tls=ssl.create_default_context()))
