"""What a connection to a broker is told, what it tells, and how it fails."""

import ssl
from typing import Literal

from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ._bounds import BoundedClient, PacketReader

MqttVersion = Literal["5", "3.1.1"]

ANSWER_SECONDS = 10.0
MOST_IN_FLIGHT = 0xFFFF

_TCP_SECONDS = 10.0


class LinkLost(Exception):
    """There is no connection, or there is none any more; the text says why."""


class LinkRefused(LinkLost):
    """The broker does not let us connect.

    Args:
        reason: what it says.
    """

    def __init__(self, reason: ReasonCode) -> None:
        super().__init__(f"the broker refuses: {reason}")
        self.code: int = reason.value


class LinkSilent(LinkLost):
    """The broker does not answer."""


class Will(Struct, frozen=True):
    """What the broker publishes when we vanish."""

    topic: str
    data: bytes
    qos: int = 1
    retain: bool = True


class Settings(Struct, frozen=True, kw_only=True):
    """How to connect.

    Args:
        host: of the broker.
        port: of the broker.
        version: of MQTT.
        name: the client id.
        user: whom the broker knows, if it asks.
        password: of the user.
        tls: how the broker is checked, `None` for a plain connection.
        will: what the broker is to publish when we vanish.
        keepalive: seconds of silence after which either end asks whether the other is there.
        seconds: for the broker's answer.
        window: messages with QoS 1 that are on their way at once.
        max_payload: bytes of the largest message that is taken in.
        max_packet: the same with all that is around it, for a broker with MQTT 5 to know; `None` to
            say nothing.
    """

    host: str
    port: int
    version: MqttVersion
    name: str
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    will: Will | None = None
    keepalive: int = 30
    seconds: float = ANSWER_SECONDS
    window: int = 20
    max_payload: int
    max_packet: int | None = None


class Facts(Struct, frozen=True):
    """What a broker with MQTT 5 says of itself when we connect.

    Args:
        max_packet: bytes of the largest packet that it takes, `None` for any size.
        max_qos: the highest quality of service that it knows.
        retains: it keeps messages.
        window: messages with QoS 1 that it takes at once.
        name: the client id that it gave us.
        keepalive: seconds, instead of ours.
    """

    max_packet: int | None = None
    max_qos: int = 2
    retains: bool = True
    window: int = MOST_IN_FLIGHT
    name: str | None = None
    keepalive: int | None = None


class Arrived(Struct, frozen=True):
    """A message from the broker.

    Args:
        topic: that it was published to.
        data: what it says.
        is_retained: it was kept, and published before we subscribed.
        is_again: it may have been delivered before (DUP).
        answer_to: the topic that its sender wants the answer at.
        correlation: what the answer has to repeat.
        acknowledge_as: its number, 0 where it needs no acknowledgement.
    """

    topic: str
    data: bytes
    is_retained: bool = False
    is_again: bool = False
    answer_to: str | None = None
    correlation: bytes | None = None
    acknowledge_as: int = 0


class ClosingSocket(ssl.SSLSocket):
    """A socket that closes itself when its handshake fails; paho (2.2) forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands; see `ssl.SSLSocket.do_handshake`."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def new_client(settings: Settings) -> BoundedClient:
    """Paho's client, which connects once and leaves it to us what is acknowledged when."""
    is_5 = settings.version == "5"
    paho = BoundedClient(
        CallbackAPIVersion.VERSION2,
        settings.name,
        clean_session=None if is_5 else True,
        protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    limit = settings.max_packet if is_5 and settings.max_packet else settings.max_payload
    paho.reader = PacketReader(limit, has_properties=is_5)
    paho.connect_timeout = _TCP_SECONDS
    paho.max_inflight_messages = settings.window
    if settings.user is not None:
        paho.username_pw_set(settings.user, settings.password)
    if settings.tls is not None:
        settings.tls.sslsocket_class = ClosingSocket
        paho.tls_set_context(settings.tls)
    if (will := settings.will) is not None:
        paho.will_set(will.topic, will.data, will.qos, will.retain)
    return paho


def connect_properties(settings: Settings) -> Properties | None:
    """What a broker with MQTT 5 is told of us."""
    if settings.version != "5" or settings.max_packet is None:
        return None
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = settings.max_packet
    return properties


def read_facts(properties: Properties | None) -> Facts:
    """What a broker has said of itself."""
    return Facts(
        getattr(properties, "MaximumPacketSize", None),
        getattr(properties, "MaximumQoS", 2),
        bool(getattr(properties, "RetainAvailable", 1)),
        getattr(properties, "ReceiveMaximum", MOST_IN_FLIGHT),
        getattr(properties, "AssignedClientIdentifier", None),
        getattr(properties, "ServerKeepAlive", None),
    )
