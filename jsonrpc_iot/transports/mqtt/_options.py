"""What a URL says of topics, broker and login."""

import ssl
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote

from msgspec import Meta

from ...channel.options import PacketOptions
from ...channel.url import Url, host_port
from ..sockets.tls import TlsOptions, load_context

MAX_MESSAGE = 4096
"""Bytes of the largest message that is sent unless the URL says otherwise."""

_PORT = 1883
_TLS_PORT = 8883
_LONGEST_TOPIC = 65_535
_SUFFIX_ROOM = 100  # for what is put behind the topic


class MqttOptions(PacketOptions, frozen=True):
    """Options of a `mqtt://` URL.

    Args:
        topic: of the requests, where that is not the path.
        qos: quality of service, of what is sent and what is subscribed to. With 0, messages get
            lost, and the channel is a lossy one.
        version: of MQTT; by default 5, and 3.1.1 where the broker refuses that.
        share: the group of servers that share the requests between them; serving only.
        replies: the topic that callers may want their answers at or below; that of the requests by
            default; serving only.
        password: of the user, as `env:NAME` or `file:PATH`.
        max: bytes of the largest message that is sent.
    """

    topic: str = ""
    qos: Annotated[int, Meta(ge=0, le=1)] = 1
    version: Literal["5", "3.1.1"] | None = None
    share: str = ""
    replies: str = ""
    password: str = ""
    max: Annotated[int, Meta(gt=0)] = MAX_MESSAGE

    both_ends: ClassVar[tuple[str, ...]] = ("topic", "qos", "version", "password", "codec")

    def check_share(self, url: Url) -> None:
        """Refuse a group where it cannot work.

        Raises:
            InvalidUrl: the group's name is none, or another option is in its way.
        """
        if "share" not in url.options:
            return
        if not self.share or any(each in self.share for each in "/+#\0"):
            raise url.error("share takes the name of a group, without / + #")
        if self.version == "3.1.1":
            raise url.error("share needs MQTT 5")
        if self.segment:
            raise url.error("segments of one message would reach several servers: no segment=1")

    def tls(self, url: Url) -> ssl.SSLContext | None:
        """How the broker is checked, `None` where it is not."""
        return None

    @property
    def authenticates(self) -> bool:
        """Whether the broker learns who we are."""
        return bool(self.password)


class MqttsOptions(MqttOptions, frozen=True):
    """Options of a `mqtts://` URL. All files are PEM.

    Args:
        cert: this end's certificate chain, for a broker that wants one.
        key: its private key, if that is not in the same file.
        ca: the authorities to trust; the system's by default.
    """

    cert: str | None = None
    key: str | None = None
    ca: str | None = None

    both_ends = (*MqttOptions.both_ends, "cert", "key", "ca")

    def tls(self, url: Url) -> ssl.SSLContext | None:
        """How the broker is checked.

        Raises:
            InvalidUrl: a file is none.
        """
        files = TlsOptions(self.cert, self.key, self.ca)
        return load_context(url, files, server=False)

    @property
    def authenticates(self) -> bool:
        """Whether the broker learns who we are."""
        return bool(self.password or self.cert)


def read_options(url: Url) -> MqttOptions:
    """Read the options of a URL.

    Raises:
        InvalidUrl: something is wrong with it.
    """
    options = read_broker_options(url)
    request_topic(url, options)
    if any(each in options.replies for each in "+#\0"):
        raise url.error("replies takes a topic without + or #")
    return options


def read_broker_options(url: Url) -> MqttOptions:
    """Read the options of a URL that need not name a topic; raises as `read_options`."""
    options = url.read_options(MqttsOptions if url.scheme == "mqtts" else MqttOptions)
    if not url.host:
        raise url.error(f"a host is missing, as in {url.scheme}://127.0.0.1/path/to/rpc")
    if options.password and not url.user:
        raise url.error(f"a password needs a user, as in {url.scheme}://USER@{url.host}")
    return options


def request_topic(url: Url, options: MqttOptions) -> str:
    """The topic of the requests.

    Raises:
        InvalidUrl: there is none.
    """
    topic = options.topic or url.path
    if topic in ("", "/"):
        raise url.error(f"a topic is missing, as in {url.scheme}://{url.host}/path/to/rpc")
    if any(each in topic for each in "+#\0"):
        raise url.error(f"{topic!r} is no topic: + and # are for subscriptions")
    if len(topic.encode()) > _LONGEST_TOPIC - _SUFFIX_ROOM:
        raise url.error("the topic is too long")
    return topic


def broker_port(url: Url) -> int:
    """Where the broker listens."""
    if url.port is not None:
        return url.port
    return _TLS_PORT if url.scheme == "mqtts" else _PORT


def broker_address(url: Url, topic: str) -> str:
    """A topic at a broker, as it is shown and as it is called."""
    at = f"{quote(url.user, safe='')}@" if url.user else ""
    path = quote(topic.removeprefix("/"))
    return f"{url.scheme}://{at}{host_port(url.host, broker_port(url))}/{path}"


def server_address(url: Url, options: MqttOptions) -> str:
    """The URL for clients of a server."""
    path = "" if options.topic else url.path
    return options.reached_at(broker_address(url, path))
