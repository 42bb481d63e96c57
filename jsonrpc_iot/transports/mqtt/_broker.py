"""One connection to an MQTT broker. What its messages mean is left to those who use it.

Publishing waits for no acknowledgement, but for room.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import aiomqtt
import anyio
from aiomqtt.exceptions import MqttConnectError
from msgspec import Struct
from paho.mqtt.client import MQTT_ERR_SUCCESS, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ...channel.url import Url
from ...errors import BindFailed, ConnectFailed
from ..secrets import read_secret
from ._connection import Closed, ClosingSocket, Connection
from ._options import MqttOptions, broker_port

logger = logging.getLogger("jsonrpc_iot.transports")

OLDEST_REFUSAL = 128

_KEEPALIVE_SECONDS = 30
_ANSWER_SECONDS = 10.0
_FIRST_ANSWER_SECONDS = (
    3.0  # amqtt (0.12) says nothing to a client that has a will and speaks MQTT 5
)
_FLUSH_SECONDS = 0.7
_UNCONFIRMED = 1000
_NOBODY = 16
_TIMED_OUT = "Operation timed out"  # aiomqtt has no class for that
_NO_SUCH_VERSION = (1, 132)  # of MQTT 3.1.1 and of MQTT 5


class Arrived(Struct, frozen=True):
    """A message from the broker.

    Args:
        topic: that it was published to.
        data: what it says.
        is_retained: it was kept, and published before we subscribed.
        is_again: it may have been delivered before (DUP).
        answer_to: the topic that its sender wants the answer at.
        correlation: what the answer has to repeat.
    """

    topic: str
    data: bytes
    is_retained: bool
    is_again: bool
    answer_to: str | None
    correlation: bytes | None


class Refused(Exception):
    """The broker does not let us subscribe; the text says to what, and why."""


class Broker:
    """A connection to a broker, until it is lost. There is no second life: open another one.

    Args:
        version: of MQTT.

    Attributes:
        version: as above.
        on_arrival: takes what arrives.
        on_confirmed: is told the number of each message that the broker has, and whether the broker
            says that nobody was there to take it, which only some brokers with MQTT 5 do.
        on_end: is called when the connection is lost or closed.
        is_lost: the connection is gone.
        dropped: messages that were not sent, since too many waited or the connection was gone.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.on_arrival: Callable[[Arrived], object] = lambda arrived: None
        self.on_confirmed: Callable[[int, bool], object] = lambda mid, unheard: None
        self.on_end: Callable[[], object] = lambda: None
        self.is_lost = False
        self.dropped = 0
        self._connection: Connection
        self._unconfirmed = 0
        self._confirmed: asyncio.Event | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        url: Url,
        options: MqttOptions,
        failure: type[ConnectFailed | BindFailed],
        *,
        name: str,
        will: tuple[str, bytes] | None = None,
    ) -> "Broker":
        """Connect; MQTT 5 first and then 3.1.1, unless the URL says which.

        Args:
            url: of the broker.
            options: those of the URL.
            failure: what to raise where that is not possible.
            name: the client id.
            will: topic and message that the broker is to publish, retained, when we vanish.

        Raises:
            InvalidUrl: a file or the password is not there.
        """
        password = read_secret(url, "password")
        tls = options.tls(url)
        if tls is not None:
            tls.sslsocket_class = ClosingSocket
        versions = (options.version,) if options.version else ("5", "3.1.1")
        for version in versions:
            broker = cls(version)
            is_last = version == versions[-1]
            seconds = _ANSWER_SECONDS if is_last else _FIRST_ANSWER_SECONDS
            try:
                await broker._connect(url, password, tls, name, will, seconds)
            except (aiomqtt.MqttError, ValueError) as error:
                if not is_last and _is_about_version(error):
                    continue
                raise failure(f"{url}: {_reason(error)}") from None
            return broker
        raise AssertionError("one version is the last")

    async def _connect(
        self,
        url: Url,
        password: str | None,
        tls: ssl.SSLContext | None,
        name: str,
        will: tuple[str, bytes] | None,
        seconds: float,
    ) -> None:
        is_5 = self.version == "5"
        self._connection = Connection(
            self._take,
            self._confirm,
            self._end,
            url.host,
            broker_port(url),
            username=url.user or None,
            password=password,
            identifier=name,
            protocol=aiomqtt.ProtocolVersion.V5 if is_5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if is_5 else True,
            keepalive=_KEEPALIVE_SECONDS,
            will=aiomqtt.Will(will[0], will[1], qos=1, retain=True) if will else None,
            timeout=seconds,
            tls_context=tls,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
        await self._connection.open()

    async def subscribe(self, topic: str, qos: int) -> None:
        """Subscribe; returns when the broker has said that it will deliver.

        Raises:
            Refused: it says that it will not.
            anyio.BrokenResourceError: the connection is gone.
        """
        try:
            granted: Sequence[Any] = await self._connection.subscribe(topic, qos)
        except aiomqtt.MqttError as error:
            self._connection.abort()
            raise anyio.BrokenResourceError from error
        for code in granted:
            if getattr(code, "value", code) >= OLDEST_REFUSAL:
                raise Refused(f"the broker refuses a subscription to {topic}: {code}")

    def publish(
        self,
        topic: str,
        data: bytes,
        qos: int,
        properties: Properties | None = None,
        *,
        retain: bool = False,
    ) -> int | None:
        """Publish a message, or drop and count it where too many wait.

        Returns:
            Its number, `None` when it will not be sent.
        """
        if self.is_lost or self._unconfirmed >= _UNCONFIRMED:
            self.dropped += 1
            return None
        info = self._connection.paho.publish(topic, data, qos, retain, properties)
        if info.rc != MQTT_ERR_SUCCESS:
            self.dropped += 1
            return None
        self._unconfirmed += 1
        return info.mid

    async def wait_for_room(self) -> None:
        """Wait until a message can be published.

        Raises:
            anyio.BrokenResourceError: the connection is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
        await self._wait_for_confirmed(_UNCONFIRMED)
        if self._closed:
            raise anyio.ClosedResourceError
        if self.is_lost:
            raise anyio.BrokenResourceError

    async def aclose(self) -> None:
        """Let what was published leave, within a moment, and say goodbye."""
        if self._closed:
            return
        self._closed = True
        try:
            with anyio.move_on_after(_FLUSH_SECONDS):
                await self._wait_for_confirmed(1)
            if not self.is_lost:
                await self._connection.__aexit__(None, None, None)
        except aiomqtt.MqttError as error:
            logger.debug("an MQTT connection was not closed in time: %s", error)
        finally:
            self._connection.abort()

    async def _wait_for_confirmed(self, limit: int) -> None:
        while self._unconfirmed >= limit and not self.is_lost:
            self._confirmed = self._confirmed or asyncio.Event()
            await self._confirmed.wait()

    def _confirm(self, mid: int, reason: int) -> None:
        self._unconfirmed -= 1
        self._wake_up()
        self.on_confirmed(mid, reason == _NOBODY)

    def _wake_up(self) -> None:
        if self._confirmed is not None:
            self._confirmed.set()
            self._confirmed = None

    def _end(self) -> None:
        self.is_lost = True
        self._wake_up()
        self.on_end()

    def _take(self, message: MQTTMessage) -> None:
        properties = message.properties
        arrived = Arrived(
            message.topic,
            bytes(message.payload),
            message.retain,
            message.dup,
            getattr(properties, "ResponseTopic", None),
            getattr(properties, "CorrelationData", None),
        )
        self.on_arrival(arrived)


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


def _is_about_version(error: Exception) -> bool:
    """Whether a broker refused a version of MQTT; some only hang up, or say nothing."""
    if isinstance(error, MqttConnectError):
        return getattr(error.rc, "value", error.rc) in _NO_SUCH_VERSION
    return isinstance(error, Closed) or str(error) == _TIMED_OUT


def _reason(error: Exception) -> str:
    if isinstance(error, MqttConnectError):
        return f"the broker refuses: {str(error).partition('] ')[2]}"
    text = str(error) or type(error).__name__
    return text.partition("] ")[2] if text.startswith("[Errno") else text
