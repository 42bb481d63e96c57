"""Under which names a server may be asked, and whose pages may ask it.

A browser lets every page send requests anywhere. It says whose page it is (`Origin`), and by which
name it found the server (`Host`). A page whose name its owner has bound to our address ("DNS
rebinding") passes for one of our own, so names that are not ours are refused as well.
"""

import socket
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

_USUAL_PORTS = ("80", "443")


def is_ours(host: str, hosts: Collection[str]) -> bool:
    """Whether a server may be asked under a name.

    Args:
        host: a Host header.
        hosts: names that are ours, `*` for any, beside those that cannot be bound to our address by
            somebody elsewhere: addresses, names of this machine, and names without a dot, which
            only the local network resolves.
    """
    name, _ = _split(host)
    if "*" in hosts or name in hosts or "." not in name or name.endswith(".localhost"):
        return True
    return _is_address(name) or name in _names_of_this_machine()


def is_same(origin: str, host: str) -> bool:
    """Whether a page comes from where its request goes: from the same host and port.

    All names of this machine for itself are one host.

    Args:
        origin: an Origin header.
        host: the Host header beside it.
    """
    try:
        theirs, ours = _split(urlsplit(origin).netloc), _split(host)
    except ValueError:  # no origin that a browser would send
        return False
    both_here = _is_loopback(theirs[0]) and _is_loopback(ours[0])
    return theirs[1] == ours[1] and (both_here or theirs[0] == ours[0])


def _split(host: str) -> tuple[str, str]:
    """A name without brackets, and its port; "" for the usual ones."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or not port.isdecimal():
        name, port = host.strip().lower(), ""
    return name.strip("[]").removesuffix("."), "" if port in _USUAL_PORTS else port


@lru_cache(maxsize=1024)  # each request asks
def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ip_address(name).is_loopback


@lru_cache(maxsize=1)
def _names_of_this_machine() -> frozenset[str]:
    name = socket.gethostname().lower()
    return frozenset((name, f"{name.partition('.')[0]}.local"))
