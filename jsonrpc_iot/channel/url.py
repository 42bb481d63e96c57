"""URLs: where to serve and where to connect, the same text for both."""

import re
import socket
from collections.abc import Container, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from ..errors import InvalidUrl, Unauthorized

T = TypeVar("T", bound=Struct)

_BLUETOOTH = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_PASSWORD = re.compile(r"(?<=://)([^/?#@:[]*):(?!\d*[/?#]).*@", re.DOTALL)
"""What comes before an @, with all that does not belong into a URL, but after no port."""
SEALABLE = (
    *("gatt", "gatt+bumble", "memory", "mqtt", "mqtts", "pipe", "tcp", "tuya-dp", "tuya-dp+pty"),
    *("uart", "uart+pty", "udp", "unix"),
)
"""Schemes of links that are sealed where the URL has the option `psk`."""
_PROVING = ("pipe", "unix", "tls")
"""Schemes of links that prove who is there by something else than a key."""
_SECRET = re.compile("(?:.*[_-])?(?:pass|pwd|tok|tick|secret|psk)", re.IGNORECASE | re.DOTALL)
"""Begins the names of options that hold one, and of such that were meant to."""
_KEY_OR_TOKEN = re.compile(r"[A-Za-z0-9+/ ]{43}=|[A-Za-z0-9_-]{43}")
"""Is one under whatever name; a plus sign may be meant as it is."""
_NAMED = ("gatt+bumble",)
"""Schemes whose host is a name with colons of its own, and no port or user, as in `usb:0`."""


class Url(Struct, frozen=True):
    """A URL in parts.

    Args:
        scheme: names the transport.
        host: name or address, without brackets; kept as it was written.
        port: `None` where the URL has none.
        path: with its leading slash.
        options: what follows the question mark.
        text: the whole URL, with its password masked.
        user: who logs in there, "" for nobody.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    options: dict[str, str]
    text: str
    user: str = ""

    def __repr__(self) -> str:
        """The masked text: the options have secrets as they are."""
        return f"Url({self.text!r})"

    @classmethod
    def parse(cls, text: str) -> "Url":
        """Take a URL apart.

        Raises:
            InvalidUrl: it has no scheme, a bad port, or an option twice.
        """
        shown = mask(text)
        try:
            text.encode()
            parts = urlsplit(text)
            host, port = _host_and_port(parts)
        except UnicodeError:
            raise InvalidUrl(f"{shown!r} is no UTF-8") from None
        except ValueError as error:
            # What the error names may be a part of a password.
            problem = "this is no host and port" if "@" in text else error
            raise InvalidUrl(f"{shown!r}: {problem}") from None
        if not parts.scheme or "://" not in text:
            raise InvalidUrl(f"{shown!r} is no URL: it has to look like tcp://127.0.0.1:8805")
        if parts.fragment:
            raise InvalidUrl(f"{shown!r}: a fragment (#…) has no meaning here")
        if parts.password is not None and parts.scheme not in _NAMED:
            raise InvalidUrl(f"{shown!r}: give the password as ?password=env:NAME or file:PATH")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        options = dict(pairs)
        user = unquote(parts.username or "")
        if len(options) < len(pairs):
            raise InvalidUrl(f"{shown!r}: an option is given twice")
        path = unquote(parts.path)
        return cls(parts.scheme, host, port, path, options, shown, user)

    def __str__(self) -> str:
        return self.text

    def error(self, problem: str) -> InvalidUrl:
        """The error that says what is wrong with this URL."""
        return InvalidUrl(f"{self}: {problem}")

    def read_options(self, kind: type[T], without: Container[str] = ()) -> T:
        """Decode the options into a transport's Struct.

        Args:
            kind: what they become.
            without: names of those that this scheme does not have.

        Raises:
            InvalidUrl: an option is unknown, or its value is not of the declared type.
        """
        names = [field.encode_name for field in fields(kind)]
        known = [name for name in names if name not in without]
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            has = sorted({*known, *(("psk",) if self.scheme in SEALABLE else ())})
            raise self.error(f"unknown option {unknown[0]!r}; {self.scheme} has {', '.join(has)}")
        try:
            return msgspec.convert(self.options, kind, strict=False)
        except ValueError as error:  # of more than 4,300 digits it is no `ValidationError`
            problem, _, path = str(error).partition(" - at `$.")
            name = path.rstrip("`")
            types = [field.type for field in fields(kind) if field.encode_name == name]
            if choices := ", ".join(_choices(types[0]) if types else ()):
                problem += f"; valid are {choices}"
            raise self.error(f"option {name}={self.options.get(name, '')!r}: {problem}") from None

    def forbid_path(self) -> None:
        """Refuse a path, for transports that have none.

        Raises:
            InvalidUrl: the URL has one.
        """
        if self.path not in ("", "/"):
            raise self.error(f"{self.scheme} takes no path, and here is {self.path!r}")

    def forbid_port(self) -> None:
        """Refuse a port, for transports that have none.

        Raises:
            InvalidUrl: the URL has one.
        """
        if self.port is not None:
            raise self.error(f"{self.scheme} takes no port")

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach the host."""
        if not self.host or self.host == "localhost":
            return False
        try:
            return not ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return True


def host_port(host: str, port: int) -> str:
    """An address as it stands in a URL: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def place_of(address: Sequence[Any]) -> str:
    """The address of a socket as it stands in a URL, with the zone by its name.

    Args:
        address: as the system tells it; its zone is a number, in the host or beside it.
    """
    host, _, zone = str(address[0]).partition("%")
    zone = zone or str(address[3] if len(address) > 3 and address[3] else "")
    with suppress(OSError):  # the interface may be gone
        zone = socket.if_indextoname(int(zone)) if zone.isdecimal() else zone
    return host_port(f"{host}%{zone}" if zone else host, address[1])


def _host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    """Take the authority apart; a port that is none raises `ValueError`."""
    if parts.scheme in _NAMED:
        return unquote(parts.netloc), None
    host = parts.netloc.rpartition("@")[2]
    if _BLUETOOTH.fullmatch(host):
        return host, None
    if not host.startswith("["):
        return unquote(host.partition(":")[0]), parts.port
    host, _, rest = host[1:].partition("]")
    if rest and not rest.startswith(":"):
        raise ValueError(f"after the brackets comes a port, not {rest!r}")
    return host.replace("%25", "%", 1), parts.port  # of a zone (RFC 6874), or written plainly


def _choices(annotation: Any) -> list[str]:
    """The values that a type names, none where it does not."""
    if annotation is bool:
        return ["0", "1"]
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def mask(text: str) -> str:
    """A URL without its passwords, to be shown."""
    if not text.startswith(_NAMED):
        text = _PASSWORD.sub(r"\1:***@", text)
    head, mark, query = text.partition("?")
    return head + mark + "&".join(map(_masked_option, query.split("&")))


def _masked_option(option: str) -> str:
    name, _, value = option.partition("=")
    name_is, value_is = unquote(name), unquote(value)
    if value_is.startswith(("env:", "file:")):
        return option
    is_secret = _SECRET.match(name_is) or _KEY_OR_TOKEN.fullmatch(value_is)
    return f"{name}=***" if is_secret else option


def key_hint(url: str, refusal: Unauthorized) -> str | None:
    """What may help who is refused something since they have proved nothing; `None` for nothing.

    Args:
        url: where the other end is.
        refusal: its answer; one with a reason of its own may not be for want of a key.
    """
    if refusal.message != Unauthorized.message or refusal.data is not None:
        return None
    parsed = Url.parse(url)
    if {"psk", "token", "cert"} & parsed.options.keys() or parsed.scheme in _PROVING:
        return None
    option = "token" if parsed.scheme in ("http", "https", "ws", "wss") else "psk"
    return f"this device wants a key: ?{option}=env:NAME"


def with_option(url: str, option: str) -> str:
    """A URL with one option more, given as `name=value`."""
    return f"{url}{'&' if '?' in url else '?'}{option}"
