"""PROXY protocol, version 2: a proxy in front of the platform says whose a connection is.

The header comes before all else, TLS too. What it says is believed, so nobody but the proxy may
reach the port. Only the address is read; the extensions behind it are skipped.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

import struct
from ipaddress import IPv6Address, ip_address

from anyio.abc import ByteStream

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MOST_BYTES = 4096
"""What a header may have behind its first 16 bytes; proxies send some hundreds at most."""

_FIXED = struct.Struct("!12sBBH")
_VERSION = 2
_LOCAL, _PROXY = 0, 1
_TCP4, _TCP6 = 0x11, 0x21
_NO_ADDRESS = (0x00, 0x31)  # unspecified, and a Unix socket: a client on the proxy's own machine
_SIZES = {_TCP4: 12, _TCP6: 36, 0x00: 0, 0x31: 216}


class NotProxied(Exception):
    """A connection does not begin with a header that can be used; the text says why."""


class ProxyHeader:
    """Takes the bytes of a header, as many at a time as come, and never more than it has.

    Attributes:
        host: the address of the client, empty where the header names none: the proxy looks
            whether somebody is there, or its client is on its own machine.
        missing: bytes that are still to come, as far as is known; 0 when it is whole.
    """

    def __init__(self) -> None:
        self.host = ""
        self.missing = _FIXED.size
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes, `missing` at most.

        Raises:
            NotProxied: this is no header, or none of a TCP connection.
        """
        self._data += data
        self.missing -= len(data)
        if self._data[: len(SIGNATURE)] != SIGNATURE[: len(self._data)]:
            raise NotProxied("it does not begin with a PROXY header, version 2")
        if self.missing:
            return
        _, command, family, size = _FIXED.unpack_from(self._data)
        if len(self._data) == _FIXED.size:
            _check(command, family, size)
            self.missing = size
        if not self.missing and command & 0xF == _PROXY:
            self.host = _source(family, bytes(self._data[_FIXED.size :]))


def _check(command: int, family: int, size: int) -> None:
    if command >> 4 != _VERSION:
        raise NotProxied(f"its PROXY header has version {command >> 4}, not 2")
    if command & 0xF not in (_LOCAL, _PROXY):
        raise NotProxied(f"its PROXY header has the unknown command {command & 0xF}")
    if size > MOST_BYTES:
        raise NotProxied(f"its PROXY header has {size} bytes, more than {MOST_BYTES}")
    if command & 0xF == _LOCAL:
        return
    if family not in _SIZES:
        raise NotProxied(f"its PROXY header is of another protocol than TCP: {family:#04x}")
    if size < _SIZES[family]:
        raise NotProxied(f"its PROXY header has no room for its address: {size} bytes")


def _source(family: int, addresses: bytes) -> str:
    """The client's address; one of IPv4 that is written as IPv6 is one of IPv4."""
    if family in _NO_ADDRESS:
        return ""
    address = ip_address(addresses[: 4 if family == _TCP4 else 16])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


async def read_header(stream: ByteStream) -> str:
    """Read the header of a connection, and not a byte more.

    Returns:
        The address of the client, empty where the header names none.

    Raises:
        NotProxied: there is none, or one that cannot be used.
        EndOfStream, BrokenResourceError: the connection has ended.
    """
    header = ProxyHeader()
    while header.missing:
        header.feed(await stream.receive(header.missing))
    return header.host
