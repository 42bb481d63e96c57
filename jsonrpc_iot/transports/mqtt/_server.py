"""The serving end: a channel for each topic that answers are wanted at, over one connection.

Callers that name no such topic share one channel, whose answers everybody hears. What is for
everybody is sent there too, once. Messages may come twice and cannot be held back, so these
channels are not reliable ones, also where those of their clients are: each request runs at most
once, and what is too much is told so.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial

import anyio
from anyio.abc import TaskGroup
from msgspec import structs
from paho.mqtt.reasoncodes import ReasonCode

from ...channel.arrival import Arrival
from ...channel.contract import Listener, Serve
from ...channel.info import ChannelInfo
from ...channel.url import Url
from ...errors import BindFailed, TransportError
from ...protocol.about import about
from ...protocol.backoff import Backoff
from ...protocol.limits import Limits
from ..packets.demux import Demux, DemuxListener
from ._broker import Arrived, Broker, Refused, new_properties
from ._heads import Correlations
from ._options import MqttOptions, broker_address, request_topic, server_address

logger = logging.getLogger("jsonrpc_iot.transports")

_SWEEP_SECONDS = 5.0
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_CORRECTION_SECONDS = 1.0


class MqttListener(DemuxListener):
    """Serves one topic of a broker, also when that has been away.

    Args:
        url: what was asked for.
        options: those of the URL.
        limits: bounds on what peers may cost.

    Attributes:
        ignored: retained requests, and those that want their answer at a topic that is not ours.
        unsent: answers and pushes for which there was no connection, or no room, or that the broker
            refused.
    """

    def __init__(self, url: Url, options: MqttOptions, limits: Limits) -> None:
        self._url = url
        self._options = options
        self._limits = limits
        self._topic = request_topic(url, options)
        self._group = f"$share/{options.share}/" if options.share else ""
        self._everybody = f"{self._topic}/response"
        self._presence = None if options.share else f"{self._topic}/online"
        self._answers_below = options.replies or self._topic
        self._name = f"jsonrpc-iot-{secrets.token_hex(8)}"
        self._correlations = Correlations()
        self._properties = lru_cache(256)(new_properties)
        self.demux: Demux[str] = Demux(
            self._transmit,
            self._describe,
            max_peers=limits.peers,
            standing=(self._everybody,),
            wait_for_room=self._wait_for_room,
        )
        self._broker: Broker | None = None
        self._qos = options.qos
        self._backoff = Backoff(_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS)
        self._opened_at = 0.0
        self._doubted = anyio.Event()
        self._is_refused = False
        self._below: dict[str, BelowListener] = {}
        self.ignored = 0
        self.unsent = 0

    @property
    def addresses(self) -> Sequence[str]:
        """The one URL."""
        return [server_address(self._url, self._options)]

    @property
    def is_exposed(self) -> bool:
        """Whether others may reach it through a broker that does not ask who they are."""
        return self._url.is_exposed and not self._options.authenticates

    @property
    def is_shared(self) -> bool:
        """All peers share the connection."""
        return True

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Listener.drops`."""
        return {**super().drops, "foreign": self.ignored, "not_sent": self.unsent}

    async def open(self) -> None:
        """Connect, subscribe, and say that the device is online.

        Raises:
            BindFailed: the broker is not there, or refuses us.
        """
        will = (self._presence, b"false") if self._presence else None
        broker = await Broker.open(
            self._url, self._options, self._limits, BindFailed, name=self._name, will=will
        )
        try:
            if self._options.share and broker.version != "5":
                raise BindFailed(
                    f"{self._url}: share needs MQTT 5, which the broker does not speak"
                )
            await self._subscribe(broker)
            for each in tuple(self._below.values()):
                await each._subscribe(broker)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await broker.aclose()
            if isinstance(error, Refused | anyio.BrokenResourceError):
                raise BindFailed(f"{self._url}: {error}") from None
            raise
        self._opened_at = anyio.current_time()
        self._tell_presence(b"true")

    async def _subscribe(self, broker: Broker) -> None:
        """Take requests from a broker, and answer there."""
        self._qos = await broker.subscribe(self._group + self._topic, self._options.qos)
        self._broker = broker
        self._is_refused = False

    @property
    def has_places(self) -> bool:
        """Say yes; see `Listener.has_places`."""
        return True

    async def below(self, name: str) -> Listener | None:
        """A listener to the topic one step below, over the same connection."""
        topic = f"{self._topic}/{name}"
        if topic in self._below:
            raise BindFailed(f"{self._url}: somebody listens at {topic} already")
        path = f"{self._url.path.rstrip('/')}/{name}"
        options = structs.replace(self._options, topic=topic if self._options.topic else "")
        url = structs.replace(self._url, path=path)
        self._below[topic] = listener = BelowListener(url, options, self._limits, self)
        return listener

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        for channel in self.demux.open_standing():
            task_group.start_soon(handler, channel)
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._sweep)
            beside.start_soon(self._stay_online)
            beside.start_soon(self._watch_presence)
            while True:
                arrived = await self._next_batch(beside)
                if self._below:
                    arrived = await self._hand_down(arrived)
                await self._take(arrived, handler, task_group)

    async def _take(self, arrived: list[Arrived], handler: Serve, tasks: TaskGroup) -> None:
        packets = [self._packet(each) for each in arrived if self._is_request(each)]
        for channel in await self.demux.deliver(packets, anyio.current_time()):
            tasks.start_soon(handler, channel)

    async def _hand_down(self, arrived: list[Arrived]) -> list[Arrived]:
        """Have those below take what is theirs, and return the rest."""
        theirs: dict[str, list[Arrived]] = {}
        mine: list[Arrived] = []
        for each in arrived:
            is_theirs = each.topic in self._below
            (theirs.setdefault(each.topic, []) if is_theirs else mine).append(each)
        for topic, batch in theirs.items():
            await self._below[topic].hand(batch)
        return mine

    async def aclose(self) -> None:
        """Say that the device is offline, and leave the broker."""
        if self._broker is not None:
            self._tell_presence(b"false")
            await self._broker.aclose()

    async def _next_batch(self, beside: TaskGroup) -> list[Arrived]:
        while True:
            if self._broker is None or self._broker.is_lost:
                await self._open_again()
                beside.start_soon(self._watch_presence)
            elif batch := await self._hear(self._broker):
                return batch

    async def _hear(self, broker: Broker) -> list[Arrived]:
        """The next requests, none when the connection is lost."""
        try:
            return list(await broker.receive())
        except anyio.BrokenResourceError:
            return []

    async def _open_again(self) -> None:
        """Try until it works."""
        why = self._broker.why_lost if self._broker is not None else ""
        logger.warning(
            "%s: the connection to the broker is lost: %s", self._url, why, extra=about(self._url)
        )
        self._backoff.connection_ended(anyio.current_time() - self._opened_at)
        while True:
            await anyio.sleep(self._backoff.next_pause())
            try:
                await self.open()
            except TransportError as error:
                logger.debug("%s; trying again", error)
            else:
                logger.warning(
                    "%s: connected to the broker again", self._url, extra=about(self._url)
                )
                return

    async def _watch_presence(self) -> None:
        """Hear what is said of us: an old will or the goodbye of a server before may come last."""
        if self._presence is None or self._broker is None:
            return
        try:
            await self._broker.subscribe(self._presence, 1)
        except Refused as error:
            logger.info("%s: %s", self._url, error, extra=about(self._url))
        except anyio.BrokenResourceError:
            pass  # which the reader notices

    async def _stay_online(self) -> None:
        """Correct what is said of us, now and then."""
        while True:
            await self._doubted.wait()
            self._doubted = anyio.Event()
            self._tell_presence(b"true")
            await anyio.sleep(_CORRECTION_SECONDS)

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(_SWEEP_SECONDS)
            await self.demux.expire(anyio.current_time())

    def _is_request(self, arrived: Arrived) -> bool:
        """Whether that is for a handler, and may be."""
        if arrived.topic == self._presence:
            if arrived.data != b"true":
                self._doubted.set()
            return False
        if not arrived.is_retained and self._may_answer_at(arrived.answer_to):
            return True
        if not self.ignored:
            logger.info(
                "%s: ignored a request; no more are told of", self._url, extra=about(self._url)
            )
        self.ignored += 1
        return False

    def _may_answer_at(self, topic: str | None) -> bool:
        """Whether a caller may have its answers there: else it would choose where we publish."""
        if topic is None:
            return True
        if any(each in topic for each in "+#\0") or topic in (self._topic, self._presence):
            return False
        if topic in self._below:
            return False
        below = self._answers_below
        return topic == below or topic.startswith(f"{below.rstrip('/')}/")

    def _packet(self, arrived: Arrived) -> tuple[bytes, str]:
        """A request as its channel gets it, and the topic that tells which that is."""
        address = arrived.answer_to or self._everybody
        if arrived.correlation is None and not arrived.is_again:
            return arrived.data, address
        data = Arrival(arrived.data)
        data.is_repeat = arrived.is_again
        if arrived.correlation is not None:
            data.ticket = self._correlations.put(arrived.correlation)
        return data, address

    async def _wait_for_room(self) -> None:
        """Let no push be in the way of an answer: what waits longer is dropped where it is told."""
        if self._broker is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._broker.wait_for_room()

    def _transmit(self, packet: bytes, address: str) -> None:
        correlation = self._correlations.take(packet)
        if self._broker is None:
            self.unsent += 1
            return
        is_5 = self._broker.version == "5"
        properties = self._properties(None, correlation) if is_5 and correlation else None
        confirm = partial(self._confirm, address)
        if not self._broker.publish(address, packet, self._qos, properties, on_confirmed=confirm):
            self.unsent += 1

    def _confirm(self, topic: str, reason: ReasonCode) -> None:
        """Notice what the broker refuses to publish for us."""
        if reason.is_failure:
            self.unsent += 1
            if not self._is_refused:
                self._is_refused = True
                text = "%s: the broker refuses to publish to %s: %s; no more are told of"
                logger.warning(text, self._url, topic, reason, extra=about(self._url))

    def _tell_presence(self, state: bytes) -> None:
        if self._presence is not None and self._broker is not None:
            confirm = partial(self._confirm, self._presence)
            qos = 1 if self._broker.facts.retains else 0  # else whoever hears it hears the next
            self._broker.publish(self._presence, state, qos, retain=True, on_confirmed=confirm)

    def _largest(self, address: str) -> int:
        """Bytes of the largest message that is sent there; correlation data may take some more."""
        room = None if self._broker is None else self._broker.largest(len(address.encode()) + 64)
        return self._options.max if room is None else min(room, self._options.max)

    def _describe(self, address: str) -> ChannelInfo:
        return ChannelInfo(
            transport=self._url.scheme,
            local=broker_address(self._url, self._topic),
            peer=broker_address(self._url, address),
            max_message=self._largest(address),
            reliable=False,
            can_call_back=False,
            # In a group the credit of a stream reaches any server.
            is_private=address != self._everybody and not self._options.share,
            hears_broadcasts=address == self._everybody,
            has_twins=bool(self._options.share),
            sends_need_receiver=True,  # the broker confirms while requests are read
            codec=self._options.codec,
        )


class BelowListener(MqttListener):
    """Serves the topic below another listener's, over its connection, as long as that has one.

    It says nothing of its presence: a connection has one will, and where this one is silent the
    other one is gone.

    Args:
        url: of this topic.
        options: those of the URL.
        limits: bounds on what peers may cost.
        above: the other listener.
    """

    def __init__(self, url: Url, options: MqttOptions, limits: Limits, above: MqttListener) -> None:
        super().__init__(url, options, limits)
        self._presence = None
        self._above = above
        self._handler: tuple[Serve, TaskGroup] | None = None

    async def heard(self) -> None:
        """Subscribe; see `Listener.heard`."""
        broker = self._above._broker
        if broker is not None:
            try:
                await self._subscribe(broker)
            except anyio.BrokenResourceError:
                pass  # which the listener above notices
            except Refused as error:
                raise BindFailed(f"{self._url}: {error}") from None

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        for channel in self.demux.open_standing():
            task_group.start_soon(handler, channel)
        self._handler = handler, task_group
        await self._sweep()

    async def hand(self, arrived: list[Arrived]) -> None:
        """Take what has arrived at the topic."""
        if self._handler is not None:
            await self._take(arrived, *self._handler)

    async def aclose(self) -> None:
        """Take no more."""
        self._above._below.pop(self._topic, None)
        if self._broker is not None:
            self._broker.unsubscribe(self._group + self._topic)
            self._broker = None


async def open_listener(url: Url, options: MqttOptions, limits: Limits) -> Listener:
    """Connect to a broker and subscribe; see `listen` of the package."""
    listener = MqttListener(url, options, limits)
    await listener.open()
    return listener
