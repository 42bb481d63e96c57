"""Where a bus is: URLs taken apart, and what of them may be shown.

A password that is not escaped as it should be ends where a host or a path seems to begin. So a URL
that looks like that is refused, and never shown.
"""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from jsonrpc_iot import UsageError

from .subjects import is_subject

SCHEMES = ("nats", "tls")
PREFIX = "novacloud"
PORT = 4222

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:\[\]]*)(?::\d+)?")
_URL = re.compile(r"(?P<hosts>[^/?#]+)(?:/(?P<prefix>[^?#]*))?(?:\?(?P<options>.*))?")


def postgres_shown(url: str) -> str:
    """A URL of PostgreSQL without passwords.

    Raises:
        UsageError: that is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not close
        parts = None
    hosts = "" if parts is None else parts.netloc.rpartition("@")[2]
    if parts is None or "@" in parts.path or not all(map(_HOST.fullmatch, hosts.split(","))):
        raise UsageError(
            "PostgreSQL is postgresql://[USER:PASSWORD@]HOST[:PORT]/DATABASE, and in passwords all "
            "but letters and digits is written as in %2F"
        )
    return f"{parts.scheme}://{hosts}{parts.path}"


class NatsServer(Struct):
    """One of several servers.

    Args:
        host: its name or address.
        port: of TCP.
        user: who we are there, and `password` proves it.
        password: of `user`.
        token: proves it by itself.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    token: str | None = None

    @property
    def url(self) -> str:
        """Its address alone."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class NatsAddress(Struct, frozen=True):
    """Where NATS is.

    Args:
        scheme: `nats`, or `tls` for TLS and nothing else.
        servers: in the order in which they are tried.
        prefix: the first tokens of all subjects of this platform.
        ca: the file of the authority that the servers' certificates are of, `None` for those of
            the system.
    """

    scheme: str
    servers: tuple[NatsServer, ...]
    prefix: str
    ca: str | None

    @classmethod
    def parse(cls, url: str) -> "NatsAddress":
        """Take a URL apart: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST…][/PREFIX][?ca=FILE]`.

        Servers without a password have that of the first one.

        Raises:
            UsageError: it is none; the text shows no password.
        """
        scheme, _, rest = url.partition("://")
        found = _URL.fullmatch(rest.replace(f",{scheme}://", ","))
        try:
            if found is None or scheme not in SCHEMES:
                raise ValueError
            servers = _servers(found["hosts"].split(","))
        except ValueError:
            raise UsageError(
                f"a bus on NATS is {scheme}://[USER:PASSWORD@]HOST[:PORT][,HOST…][/PREFIX], and "
                "in passwords all but letters and digits is written as in %2F"
            ) from None
        prefix = unquote(found["prefix"] or "") or PREFIX
        if not is_subject(prefix) or "@" in prefix:
            raise UsageError("what is behind the host of a bus on NATS cannot begin subjects")
        options = dict(parse_qsl(found["options"] or "", keep_blank_values=True))
        ca = options.pop("ca", None)
        if options or (ca is not None and scheme != "tls"):
            raise UsageError("a bus on NATS has one option, `ca=FILE` with tls://")
        return cls(scheme, servers, prefix, ca)

    @property
    def shown(self) -> str:
        """It as a URL, without passwords."""
        return f"{self.scheme}://{','.join(each.url for each in self.servers)}/{self.prefix}"

    @property
    def secrets(self) -> frozenset[str]:
        """What is not to be shown."""
        found = (text for each in self.servers for text in (each.password, each.token))
        return frozenset(text for text in found if text)


def _servers(hosts: Iterable[str]) -> tuple[NatsServer, ...]:
    servers: list[NatsServer] = []
    for text in hosts:
        parts = urlsplit(f"nats://{text}")
        if not parts.hostname:
            raise ValueError(text)
        server = NatsServer(parts.hostname, parts.port or PORT)
        if parts.password is not None:
            server.user, server.password = unquote(parts.username or ""), unquote(parts.password)
        elif parts.username is not None:
            server.token = unquote(parts.username)
        elif servers:
            first = servers[0]
            server.user, server.password, server.token = first.user, first.password, first.token
        servers.append(server)
    return tuple(servers)


def without(text: str, secrets: Iterable[str]) -> str:
    """A text of a library with asterisks for passwords."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
