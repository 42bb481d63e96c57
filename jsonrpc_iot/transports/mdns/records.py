"""What stands in the records by which servers are found, written and read.

All that is read comes from anybody on the network: a name that could steer a terminal, a scheme
that is not ours or an address far away is refused, and nothing in a record can be more of a URL
than its path. That a record says a name proves nothing about who wrote it.

Source: RFC 6763, 4.1 (instance names) and 6 (TXT records).
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import quote

from msgspec import Struct

from ...channel.url import host_port
from ...errors import UsageError
from ...protocol.text import STEERING

UDP = "_jsonrpc-iot._udp.local."
TCP = "_jsonrpc-iot._tcp.local."
VERSION = "1"

SERVICES = {"udp": UDP, **dict.fromkeys(("tcp", "tls", "http", "https", "ws", "wss"), TCP)}
"""The service that URLs of each scheme are announced as."""

WEB = ("http", "https", "ws", "wss")
_LABEL_BYTES = 63
_DIGEST_DIGITS = 8
_NAME_BYTES = 200  # with a number and its key it has to fit into 255
_TEXT_BYTES = 240
_NO_TEXT = re.compile(f"[\x00-\x1f{STEERING}\ud800-\udfff]")


class Offer(Struct, frozen=True, kw_only=True):
    """One URL of a server that is to be announced.

    Args:
        scheme: of the URL.
        host: name or address at which it listens.
        port: of the URL.
        path: of the URL.
        auth: whether who comes has to prove who they are.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    auth: bool = False


class Service(Struct, frozen=True, kw_only=True):
    """A server that announces itself.

    Args:
        name: by which `mdns://` finds it.
        urls: where it may be called: one for each address, the best first.
        host: what its machine calls itself.
        auth: whether it wants to know who comes; `None` where it does not say.
    """

    name: str
    urls: tuple[str, ...]
    host: str
    auth: bool | None


def check_name(name: str) -> str:
    """The name in the one form that it is compared in.

    Raises:
        UsageError: no server can have such a name.
    """
    name = unicodedata.normalize("NFC", name)
    if not name.strip() or _NO_TEXT.search(name):
        raise UsageError(f"{name!r} is no name: it has to be a text without control characters")
    if len(name.encode()) > _NAME_BYTES:
        raise UsageError(f"the name {name[:20]!r}… has more than {_NAME_BYTES} bytes")
    return name


def numbered(name: str, number: int) -> str:
    """The name of the server that wants a name as the so-manieth."""
    return name if number == 1 else f"{name}-{number}"


def label_of(name: str) -> str:
    """What stands for a name in the domain name system.

    A dot would cut it in two, and an underscore begins the names of services. What does not fit
    is replaced by a digest, so that long names that begin alike stay apart.
    """
    label = name.replace(".", "-")
    label = f"-{label[1:]}" if label.startswith("_") else label
    if len(label.encode()) <= _LABEL_BYTES:
        return label
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_DIGITS]
    kept = label.encode()[: _LABEL_BYTES - 1 - _DIGEST_DIGITS].decode(errors="ignore")
    return f"{kept}-{digest}"


def properties_of(name: str, offer: Offer) -> dict[str, str]:
    """The TXT record of an offer under a name.

    Raises:
        UsageError: its path does not fit.
    """
    if len(offer.path.encode()) > _TEXT_BYTES:
        raise UsageError(f"{offer.path[:20]!r}… is too long a path to be announced")
    written = {"v": VERSION, "name": name, "auth": str(int(offer.auth))}
    if offer.scheme in WEB:
        written["path"] = offer.path or "/"
    if offer.scheme != kind_of(SERVICES[offer.scheme]):
        written["scheme"] = offer.scheme
    return written


def kind_of(service: str) -> str:
    """The protocol of a service, `udp` or `tcp`."""
    return "udp" if service == UDP else "tcp"


def read_service(
    service: str,
    label: str,
    properties: Mapping[bytes, bytes | None],
    port: int | None,
    addresses: Iterable[str],
    *,
    host: str,
    networks: Sequence[str] = (),
) -> Service | None:
    """Read the records of a server.

    Args:
        service: which of the two it is announced as.
        label: its instance name.
        properties: its TXT record.
        port: of its SRV record.
        addresses: of its host, with zones.
        host: the target of its SRV record.
        networks: those that this machine is in, as in `192.0.2.0/24`.

    Returns:
        The server, `None` where there is nothing to be called, or nothing that should be.
    """
    try:
        texts = {
            key.decode().lower(): (value or b"").decode()
            for key, value in properties.items()
            if len(value or b"") <= _TEXT_BYTES
        }
    except UnicodeError:
        return None
    if _NO_TEXT.search("".join((label, host, *texts.values()))) or not label:
        return None
    kind = kind_of(service)
    path = texts.get("path", "")
    scheme = texts.get("scheme") or ("http" if path and kind == "tcp" else kind)
    if texts.get("v", VERSION) != VERSION or SERVICES.get(scheme) != service or not port:
        return None
    if scheme in WEB:
        if not path.startswith("/") or path.startswith("//"):
            return None
        path = quote(path)
    else:
        path = ""
    near = sorted((each for each in addresses if _is_near(each, networks)), key=_is_ipv6)
    if not near:
        return None
    name = texts.get("name", label)
    return Service(
        name=name if label_of(name).lower() == label.lower() else label,
        urls=tuple(f"{scheme}://{host_port(address, port)}{path}" for address in near),
        host=host,
        auth={"0": False, "1": True}.get(texts.get("auth", "")),
    )


def _is_ipv6(address: str) -> bool:
    return ":" in address


def _is_near(address: str, networks: Sequence[str]) -> bool:
    """Whether a machine that this one hears may have that address."""
    try:
        read = ip_address(address)
    except ValueError:
        return False
    if read.is_unspecified or read.is_multicast or (read.version == 4 and read.is_reserved):
        return False
    return not read.is_global or any(read in ip_network(each) for each in networks)
