"""A connection to an MQTT broker, made the way that this broker can.

What its messages mean is left to those who use it. Publishing waits for no acknowledgement, but for
room.
"""

import asyncio
import logging
from collections.abc import Callable

import anyio
from msgspec.structs import replace
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ...channel.url import Url
from ...errors import BindFailed, ConnectFailed
from ...protocol.limits import Limits
from ..secrets import read_secret
from ._facts import (
    ANSWER_SECONDS,
    Arrived,
    Facts,
    LinkLost,
    LinkRefused,
    LinkSilent,
    Settings,
    Will,
)
from ._link import Link
from ._options import MqttOptions, broker_port

__all__ = ["NOBODY", "Arrived", "Broker", "Refused", "new_properties"]

logger = logging.getLogger("jsonrpc_iot.transports")

NOBODY = 16
"""What some brokers with MQTT 5 say when nobody was there to take a message."""

# amqtt (0.12) says nothing to a client with MQTT 5 that has a will or names a largest packet, but
# refuses one that has neither.
_QUIET_SECONDS = 0.5
_FIRST_ANSWER_SECONDS = 3.0
_FLUSH_SECONDS = 0.7
_UNCONFIRMED = 1000
_NO_SUCH_VERSION = (1, 132)  # of MQTT 3.1.1 and of MQTT 5
_NO_RETAINING = 154
_NO_SUCH_QOS = 155
_AROUND = 256 << 10  # bytes of topics and properties that a message may bring
_HEADER = 100  # bytes around a message of ours, but for topics and correlation data

Confirm = Callable[[ReasonCode], object]


class Refused(Exception):
    """The broker does not let us subscribe or publish; the text says to what, and why."""


class Broker:
    """A connection to a broker, until it is lost. There is no second life: open another one.

    Args:
        link: connected.
        version: of MQTT.
        facts: what the broker says of itself.

    Attributes:
        version: as above.
        facts: as above.
        dropped: messages that were not sent, since too many waited, the broker takes none so large
            or the connection was gone.
    """

    def __init__(self, link: Link, version: str, facts: Facts) -> None:
        self.version = version
        self.facts = facts
        self.dropped = 0
        self._link = link
        self._unconfirmed: dict[int, Confirm | None] = {}
        self._confirmed: asyncio.Event | None = None
        self._closed = False
        link.on_confirmed = self._confirm
        link.on_end = self._wake_up

    @classmethod
    async def open(
        cls,
        url: Url,
        options: MqttOptions,
        limits: Limits,
        failure: type[ConnectFailed | BindFailed],
        *,
        name: str,
        will: tuple[str, bytes] | None = None,
    ) -> "Broker":
        """Connect; MQTT 5 first and then 3.1.1, unless the URL says which.

        Args:
            url: of the broker.
            options: those of the URL.
            limits: say how large a message is taken in.
            failure: what to raise where that is not possible.
            name: the client id.
            will: topic and message that the broker is to publish, retained, when we vanish.

        Raises:
            InvalidUrl: a file or the password is not there.
        """
        settings: Settings | None = Settings(
            host=url.host,
            port=broker_port(url),
            version=options.version or "5",
            name=name,
            user=url.user or None,
            password=read_secret(url, "password"),
            tls=options.tls(url),
            will=Will(*will) if will else None,
            seconds=ANSWER_SECONDS if options.version == "3.1.1" else _FIRST_ANSWER_SECONDS,
            max_payload=limits.receive_bytes,
            max_packet=limits.receive_bytes + _AROUND,
        )
        why = ""
        while settings is not None:
            try:
                asks = options.version is None and settings.version == "5"
                link = await (_open_or_ask(settings) if asks else Link.open(settings))
            except (LinkLost, OSError, ValueError) as error:
                why = _reason(error)
                settings = _another_way(settings, error, options)
                continue
            if link.facts.window >= settings.window:
                is_meek = settings.will is not None and not settings.will.retain
                facts = replace(link.facts, retains=link.facts.retains and not is_meek)
                return cls(link, settings.version, facts)
            await link.aclose()
            settings = replace(settings, window=link.facts.window)
        raise failure(f"{url}: {why}")

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return self._link.ended is not None

    @property
    def why_lost(self) -> str:
        """Why the connection is gone."""
        return self._link.ended or ""

    def largest(self, topics: int) -> int | None:
        """Bytes of the largest message that the broker takes, `None` for any size.

        Args:
            topics: bytes of the topics and the correlation data that go with it.
        """
        limit = self.facts.max_packet
        return None if limit is None else max(1, limit - topics - _HEADER)

    async def subscribe(self, topic: str, qos: int) -> int:
        """Subscribe; returns the QoS with which the broker has said that it will deliver.

        Raises:
            Refused: it says that it will not.
            anyio.BrokenResourceError: the connection is gone.
        """
        try:
            granted = await self._link.subscribe(topic, min(qos, self.facts.max_qos))
        except LinkLost as error:
            self._link.abort(str(error))
            raise anyio.BrokenResourceError(str(error)) from None
        if granted.is_failure:
            raise Refused(f"the broker refuses a subscription to {topic}: {granted}")
        return granted.value

    def unsubscribe(self, topic: str) -> None:
        """Hear no more of a topic, if the connection is still there."""
        if not self.is_lost:
            self._link.unsubscribe(topic)

    def publish(
        self,
        topic: str,
        data: bytes,
        qos: int,
        properties: Properties | None = None,
        *,
        retain: bool = False,
        on_confirmed: Confirm | None = None,
    ) -> bool:
        """Publish a message, or drop and count it where too many wait.

        Args:
            topic: where.
            data: what.
            qos: quality of service; less where the broker has less.
            properties: for MQTT 5.
            retain: whether the broker is to keep it, if it does.
            on_confirmed: is told what the broker says to it; never, where the connection is lost.
        """
        mid = None
        if len(self._unconfirmed) < _UNCONFIRMED and self._fits(topic, data, properties):
            qos = min(qos, self.facts.max_qos)
            retain = retain and self.facts.retains
            mid = self._link.publish(topic, data, qos, properties, retain=retain)
        if mid is None:
            self.dropped += 1
            return False
        self._unconfirmed[mid] = on_confirmed
        return True

    def _fits(self, topic: str, data: bytes, properties: Properties | None) -> bool:
        limit = self.facts.max_packet
        if limit is None or len(data) + _AROUND <= limit:
            return True
        around = len(properties.pack()) if properties else 0  # type: ignore[no-untyped-call]
        return len(topic.encode()) + len(data) + around + _HEADER <= limit

    async def deliver(
        self, topic: str, data: bytes, qos: int, properties: Properties | None = None
    ) -> None:
        """Publish a message, and wait until the broker has it (QoS 1) or it has left (QoS 0).

        Raises:
            Refused: the broker does not take it.
            anyio.BrokenResourceError: the connection is gone.
        """
        answer: list[ReasonCode] = []
        if not self.publish(topic, data, qos, properties, on_confirmed=answer.append):
            raise anyio.BrokenResourceError(self.why_lost)
        while not answer:
            self._check_open()
            await self._next_confirmed()
        if answer[0].is_failure:
            raise Refused(f"the broker refuses to publish to {topic}: {answer[0]}")

    async def receive(self) -> list[Arrived]:
        """Wait until something has arrived, and take all of that.

        Raises:
            anyio.BrokenResourceError: the connection is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
        try:
            return await self._link.receive()
        except LinkLost:
            self._check_open()
            raise

    def take(self) -> list[Arrived]:
        """Take what has arrived."""
        return self._link.take()

    async def wait_for_room(self) -> None:
        """Wait until a message can be published.

        Raises:
            anyio.BrokenResourceError: the connection is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
        while len(self._unconfirmed) >= _UNCONFIRMED and not self.is_lost:
            await self._next_confirmed()
        self._check_open()

    def abort(self, why: str) -> None:
        """Leave the broker at once.

        Args:
            why: what those are told who use the connection.
        """
        self._link.abort(why)

    async def aclose(self) -> None:
        """Let what was published leave, within a moment, and say goodbye."""
        if self._closed:
            return
        self._closed = True
        self._link.stop_receiving()
        try:
            with anyio.move_on_after(_FLUSH_SECONDS):
                while self._unconfirmed and not self.is_lost:
                    await self._next_confirmed()
        finally:
            await self._link.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self.is_lost:
            raise anyio.BrokenResourceError(self.why_lost)

    async def _next_confirmed(self) -> None:
        self._confirmed = self._confirmed or asyncio.Event()
        await self._confirmed.wait()

    def _confirm(self, mid: int, reason: ReasonCode) -> None:
        on_confirmed = self._unconfirmed.pop(mid, None)
        self._wake_up()
        if on_confirmed is not None:
            on_confirmed(reason)

    def _wake_up(self) -> None:
        if self._confirmed is not None:
            self._confirmed.set()
            self._confirmed = None


def new_properties(
    answer_to: str | None = None, correlation: bytes | None = None, seconds: int | None = None
) -> Properties:
    """The properties of a message to be published with MQTT 5.

    Args:
        answer_to: the topic that the answer is wanted at.
        correlation: what the answer has to repeat, or repeats.
        seconds: how long it makes sense.
    """
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if answer_to is not None:
        properties.ResponseTopic = answer_to
    if correlation is not None:
        properties.CorrelationData = correlation
    if seconds is not None:
        properties.MessageExpiryInterval = seconds
    return properties


async def _open_or_ask(settings: Settings) -> Link:
    """Connect with MQTT 5; a broker that says nothing is asked whether it knows that at all.

    Raises:
        LinkLost: it does not, or it refuses us.
        OSError, ValueError: as `Link.open` does.
    """
    link: Link | None = None
    failure: Exception | None = None

    async def ask() -> None:
        nonlocal failure
        await anyio.sleep(_QUIET_SECONDS)
        bare = replace(settings, name=f"{settings.name}-asks", will=None, max_packet=None)
        try:
            await (await Link.open(bare)).aclose()
        except LinkRefused as refusal:
            if _is_about_version(refusal):
                failure = refusal
                tasks.cancel_scope.cancel()
        except (LinkLost, OSError, ValueError) as error:
            logger.debug("%s: asking failed: %s", settings.host, error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        try:
            link = await Link.open(settings)
        except (LinkLost, OSError, ValueError) as error:
            failure = error
        tasks.cancel_scope.cancel()
    if link is None:
        assert failure is not None
        raise failure
    return link


def _another_way(settings: Settings, error: Exception, options: MqttOptions) -> Settings | None:
    """How to connect to a broker that does not like this way, `None` where there is no other."""
    code = error.code if isinstance(error, LinkRefused) else None
    will = settings.will
    if will is not None and code == _NO_RETAINING and will.retain:
        return replace(settings, will=replace(will, retain=False))
    if will is not None and code == _NO_SUCH_QOS and will.qos:
        return replace(settings, will=replace(will, qos=0))
    if settings.version == "5" and options.version is None and _is_about_version(error):
        return replace(settings, version="3.1.1", seconds=ANSWER_SECONDS)
    if options.version == "5" and type(error) is LinkSilent and settings.max_packet is not None:
        return replace(settings, max_packet=None, seconds=ANSWER_SECONDS)
    if settings.version == "3.1.1" and type(error) is LinkLost and will is not None and will.retain:
        # What MQTT 5 has codes for, a broker with MQTT 3.1.1 can only hang up at.
        return replace(settings, will=replace(will, retain=False, qos=0))
    return None


def _is_about_version(error: Exception) -> bool:
    """Whether a broker refused a version of MQTT; some only hang up, or say nothing."""
    if isinstance(error, LinkRefused):
        return error.code in _NO_SUCH_VERSION
    return isinstance(error, LinkLost)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.partition("] ")[2] if text.startswith("[Errno") else text
