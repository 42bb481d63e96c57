"""The calling end: requests to one topic, answers and pushes from below it."""

import asyncio
import math
import secrets
from collections import deque
from collections.abc import Callable
from functools import lru_cache

import anyio
from paho.mqtt.properties import Properties

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...channel.url import Url
from ...errors import ConnectFailed
from ..batched import BatchedChannel
from ._broker import Arrived, Broker, Refused, new_properties
from ._heads import HeadReader
from ._options import MqttOptions, broker_address, request_topic

RETRY_SECONDS = 1.0

_WAITING = 1000
_AGAIN_SECONDS = 0.5
_LONGEST_EXPIRY = 0xFFFF_FFFF


class MqttChannel(BatchedChannel):
    """A client's channel to the servers of one topic.

    Args:
        broker: connected.
        url: what was asked for.
        options: those of the URL.
        name: the client id.

    Attributes:
        accepts: says which messages a client has anything to do with.
        foreign: messages that were dropped: answers to others, requests, retained ones and junk.
        dropped: messages that came faster than they were received.
    """

    def __init__(self, broker: Broker, url: Url, options: MqttOptions, name: str) -> None:
        super().__init__()
        self._broker = broker
        self._topic = request_topic(url, options)
        self._qos = options.qos
        self.accepts: Callable[[bytes], bool] = HeadReader(options.codec).is_for_client
        everybody = f"{self._topic}/response"
        is_5 = broker.version == "5"
        self._own = f"{everybody}/{name}" if is_5 else None
        self._correlation = secrets.token_bytes(8)
        self._answers = tuple(filter(None, (self._own, everybody)))
        self._info = describe(url, options, self._own or everybody, self._topic)
        self._properties = lru_cache(64)(self._new_properties)
        self._seconds: dict[bytes, int | None] = {}  # of the requests that somebody waits for
        self._unconfirmed: dict[int, bytes] = {}
        self._arrived: deque[bytes] = deque()
        self._wake: anyio.Event | None = None
        self._is_offline = False
        self._closed = False
        self.foreign = 0
        self.dropped = 0
        broker.on_arrival = self._take
        broker.on_confirmed = self._confirm
        broker.on_end = self._wake_up

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    async def subscribe(self) -> None:
        """Subscribe to the answers, and see whether the device says that it is offline.

        Raises:
            ConnectFailed: it does, or the broker does not let us.
        """
        failures: list[str] = []

        async def subscribe(topic: str) -> None:
            try:
                await self._broker.subscribe(topic, max(self._qos, topic == presence))
            except Refused as error:
                if topic != presence:
                    failures.append(str(error))
            except anyio.BrokenResourceError:
                failures.append("the broker closed the connection")

        presence = f"{self._topic}/online"
        async with anyio.create_task_group() as tasks:
            # What is retained comes with its subscription, so before the later ones are confirmed.
            for topic in (presence, *self._answers):
                tasks.start_soon(subscribe, topic)
        if self._is_offline:
            failures.append("the device is offline")
        if failures:
            raise ConnectFailed(f"{self._info.peer}: {failures[0]}")

    def _take(self, arrived: Arrived) -> None:
        """Keep a message that may be for us."""
        if arrived.topic not in self._answers:
            self._is_offline = arrived.is_retained and arrived.data == b"false"
            return
        theirs = arrived.correlation not in (None, self._correlation)
        if theirs or arrived.is_retained or not self.accepts(arrived.data):
            self.foreign += 1
        elif len(self._arrived) >= _WAITING:
            self.dropped += 1
        else:
            self._arrived.append(arrived.data)
            self._wake_up()

    async def _next_batch(self) -> list[bytes]:
        while not self._arrived or self._closed:
            self._check_open()
            self._wake = anyio.Event()
            await self._wake.wait()
        batch = list(self._arrived)
        self._arrived.clear()
        return batch

    async def send(self, item: bytes) -> None:
        """Publish one message; see `Channel.send`."""
        if self._closed:
            raise anyio.ClosedResourceError
        await self._broker.wait_for_room()
        if not self._publish(item):
            raise anyio.BrokenResourceError

    def _publish(self, message: bytes) -> bool:
        properties = None
        if self._own is not None:
            properties = self._properties(self._seconds.get(message))
        mid = self._broker.publish(self._topic, message, self._qos, properties)
        if mid is not None and message in self._seconds:
            self._unconfirmed[mid] = message
        return mid is not None

    def _confirm(self, mid: int, unheard: bool) -> None:
        """Publish a request again that no server was there to take, while somebody waits for it.

        After a restart of the broker clients may be back before the server.
        """
        message = self._unconfirmed.pop(mid, None)
        if message is not None and unheard:
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._publish_again, message)

    def _publish_again(self, message: bytes) -> None:
        if message in self._seconds and not self._closed and not self._broker.is_lost:
            self._publish(message)

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        """The broker forgets a request that no server took in time."""
        endless = seconds is None or math.isinf(seconds)
        self._seconds[message] = None if endless else _whole(seconds or 0.0)

    def forget(self, message: bytes) -> None:
        """See `Channel.forget`."""
        self._seconds.pop(message, None)

    async def send_eof(self) -> None:
        """A topic has no end; see `Channel.send_eof`."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Leave the broker."""
        self._closed = True
        self._wake_up()
        await self._broker.aclose()

    def _new_properties(self, seconds: int | None) -> Properties:
        return new_properties(self._own, self._correlation, seconds)

    def _check_open(self) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._broker.is_lost:
            raise anyio.BrokenResourceError

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()


async def open_channel(url: Url, options: MqttOptions) -> Channel:
    """Connect to a broker; see `connect` of the package."""
    name = f"jsonrpc-iot-{secrets.token_hex(8)}"
    broker = await Broker.open(url, options, ConnectFailed, name=name)
    channel = MqttChannel(broker, url, options, name)
    try:
        if options.segment and broker.version != "5":
            raise ConnectFailed(f"{url}: segments need MQTT 5, which the broker does not speak")
        await channel.subscribe()
    except BaseException:
        await anyio.aclose_forcefully(channel)
        raise
    return channel


def describe(url: Url, options: MqttOptions, local: str, peer: str) -> ChannelInfo:
    """The facts about a client's channel."""
    return ChannelInfo(
        transport=url.scheme,
        local=broker_address(url, local),
        peer=broker_address(url, peer),
        max_message=options.max,
        reliable=options.qos > 0,
        is_shared=True,
        retry_seconds=RETRY_SECONDS,
        codec=options.codec,
    )


def _whole(seconds: float) -> int:
    """Seconds as the broker counts them, which never are none."""
    return min(_LONGEST_EXPIRY, max(1, math.ceil(seconds)))
