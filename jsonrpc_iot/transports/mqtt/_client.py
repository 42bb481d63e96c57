"""The calling end: requests to one topic, answers and pushes from below it."""

import asyncio
import math
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache, partial

import anyio
from msgspec import structs
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...channel.url import Url
from ...errors import ConnectFailed
from ...protocol.limits import Limits
from ..batched import BatchedChannel
from ._broker import NOBODY, Arrived, Broker, Refused, new_properties
from ._heads import HeadReader
from ._options import MqttOptions, broker_address, request_topic

RETRY_SECONDS = 1.0

_PROOF_SECONDS = 2.0
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
    """

    def __init__(self, broker: Broker, url: Url, options: MqttOptions, name: str) -> None:
        super().__init__()
        self._broker = broker
        self._topic = request_topic(url, options)
        self._qos = options.qos
        self._heads = HeadReader(options.codec)
        self.accepts: Callable[[bytes], bool] = self._heads.is_for_client
        everybody = f"{self._topic}/response"
        is_5 = broker.version == "5"
        self._own = f"{everybody}/{name}" if is_5 else None
        self._correlation = secrets.token_bytes(8)
        self._answers = tuple(filter(None, (self._own, everybody)))
        self._info = describe(url, options, self._own or everybody, self._topic)
        self._properties = lru_cache(64)(self._new_properties)
        self._seconds: dict[bytes, int | None] = {}  # of the requests that somebody waits for
        self._is_offline = False
        self.foreign = 0

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    def take_also(self, is_wanted: Callable[[bytes], bool]) -> None:
        """See `Channel.take_also`."""
        accepts = self.accepts
        self.accepts = lambda message: is_wanted(message) or accepts(message)

    async def subscribe(self) -> None:
        """Subscribe to the answers, and see whether the device is there if it is said not to be.

        Raises:
            ConnectFailed: it is not, or the broker does not let us.
        """
        failures: list[str] = []
        granted: list[int] = []

        async def subscribe(topic: str) -> None:
            try:
                qos = await self._broker.subscribe(topic, max(self._qos, topic == presence))
            except Refused as error:
                if topic != presence:
                    failures.append(str(error))
            except anyio.BrokenResourceError as error:
                failures.append(str(error))
            else:
                if topic != presence:
                    granted.append(qos)

        presence = f"{self._topic}/online"
        async with anyio.create_task_group() as hearing:
            hearing.start_soon(self._hear)
            async with anyio.create_task_group() as tasks:
                # What is retained comes with its subscription, before the later ones are confirmed.
                for topic in (presence, *self._answers):
                    tasks.start_soon(subscribe, topic)
            hearing.cancel_scope.cancel()
        if not failures:
            self._qos = min(self._qos, *granted)
            self._info = self._describe_more()
            self._keep(self._sort(self._broker.take()))
            if self._is_offline and not await self._is_there():
                failures.append("the device is offline")
        if failures:
            raise ConnectFailed(f"{self._info.peer}: {failures[0]}")

    async def _hear(self) -> None:
        """Take what comes meanwhile: amqtt (0.12) grants nothing more until it is acknowledged."""
        with suppress(anyio.BrokenResourceError):
            while True:
                self._keep(self._sort(await self._broker.receive()))

    def _describe_more(self) -> ChannelInfo:
        """The facts, now that the broker has told what it does."""
        topics = sum(len(each.encode()) for each in (self._topic, self._own or ""))
        room = self._broker.largest(topics + len(self._correlation))
        usual = self._info.max_message
        return structs.replace(
            self._info,
            reliable=self._qos > 0,
            max_message=min(filter(None, (room, usual)), default=None),
        )

    async def _is_there(self) -> bool:
        """Ask a device that is said to be offline: an old will or goodbye may have come last.

        Some brokers with MQTT 5 know at once that nobody takes a request.
        """
        with anyio.move_on_after(_PROOF_SECONDS) as waiting:

            def learn(reason: ReasonCode) -> None:
                if reason.is_failure:  # which the first call tells better
                    self._is_offline = False
                if reason.is_failure or reason.value == NOBODY:
                    waiting.cancel()

            ping = self._heads.ping(secrets.randbelow(1 << 31))
            properties = self._properties(math.ceil(_PROOF_SECONDS)) if self._own else None
            self._broker.publish(self._topic, ping, self._qos, properties, on_confirmed=learn)
            while self._is_offline:
                try:
                    heard = self._sort(await self._broker.receive())
                except anyio.BrokenResourceError:
                    return False
                self._keep(heard)
                if heard:
                    return True
        return not self._is_offline

    def _sort(self, arrived: Iterable[Arrived]) -> list[bytes]:
        """The messages that may be for us."""
        found = []
        for each in arrived:
            if each.topic not in self._answers:
                self._is_offline = each.data == b"false"
            elif (
                each.is_retained
                or each.correlation not in (None, self._correlation)
                or not self.accepts(each.data)
            ):
                self.foreign += 1
            else:
                found.append(each.data)
        return found

    def _keep(self, messages: list[bytes]) -> None:
        """Keep messages that came before anybody received."""
        self._waiting = messages[::-1] + (self._waiting or [])

    async def _next_batch(self) -> list[bytes]:
        while not (batch := self._sort(await self._broker.receive())):
            pass
        return batch

    async def send(self, item: bytes) -> None:
        """Publish one message; see `Channel.send`.

        Where nobody waits for an answer to it, this waits for what the broker says.
        """
        if item in self._seconds:
            await self.send_batch((item,))
            return
        await self._broker.wait_for_room()
        try:
            await self._broker.deliver(self._topic, item, self._qos, self._properties_of(item))
        except Refused as error:
            raise anyio.BrokenResourceError(str(error)) from None

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        """Publish messages; see `Channel.send_batch`."""
        for message in messages:
            await self._broker.wait_for_room()
            if not self._publish(message):
                raise anyio.BrokenResourceError(self._broker.why_lost)

    def _publish(self, message: bytes) -> bool:
        return self._broker.publish(
            self._topic,
            message,
            self._qos,
            self._properties_of(message),
            on_confirmed=partial(self._confirm, message),
        )

    def _properties_of(self, message: bytes) -> Properties | None:
        return None if self._own is None else self._properties(self._seconds.get(message))

    def _confirm(self, message: bytes, reason: ReasonCode) -> None:
        """Publish a request again that no server was there to take, while somebody waits for it.

        After a restart of the broker clients may be back before the server. A message that the
        broker refuses is lost, which ends a channel that loses none.
        """
        if reason.value == NOBODY and message in self._seconds:
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._publish_again, message)
        elif reason.is_failure:
            self._broker.abort(f"the broker refuses to publish to {self._topic}: {reason}")

    def _publish_again(self, message: bytes) -> None:
        if message in self._seconds and not self._broker.is_lost:
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
        await self._broker.aclose()

    def _new_properties(self, seconds: int | None) -> Properties:
        return new_properties(self._own, self._correlation, seconds)


async def open_channel(url: Url, options: MqttOptions, limits: Limits) -> Channel:
    """Connect to a broker; see `connect` of the package."""
    name = f"jsonrpc-iot-{secrets.token_hex(8)}"
    broker = await Broker.open(url, options, limits, ConnectFailed, name=name)
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
        # The broker is not read while much waits to be received, what it confirms neither.
        sends_need_receiver=True,
        retry_seconds=RETRY_SECONDS,
        codec=options.codec,
    )


def _whole(seconds: float) -> int:
    """Seconds as the broker counts them, which never are none."""
    return min(_LONGEST_EXPIRY, max(1, math.ceil(seconds)))
