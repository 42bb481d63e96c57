"""Packets of a broker, read within bounds.

Paho keeps a packet until it is whole, however large it is, and a broker with MQTT 3.1.1 cannot be
told what we take. So of a message that is too large paho gets the head alone.

Source: MQTT 3.1.1 and 5.0 (OASIS), sections 2.1 and 3.3.
"""

import sys
from collections.abc import Callable, Generator

from paho.mqtt.client import Client

_PUBLISH = 3
_PIECE = 1 << 16
_AT_ONCE = 16  # pieces that are thrown away before others have their turn

Taking = Generator[int, bytes, bytes]


class PacketReader:
    """Reads what paho reads, but for the bodies of messages that are too large.

    Args:
        limit: bytes behind the head of the largest message.
        has_properties: it is MQTT 5.

    Attributes:
        is_cut: the last packet is the head of a message that was too large.
    """

    def __init__(self, limit: int, *, has_properties: bool) -> None:
        self._limit = limit
        self._has_properties = has_properties
        self._head = bytearray()  # to be handed on
        self._passing = 0  # bytes of the packet that are to follow it
        self._dropping = 0  # bytes that are to be thrown away
        self._packets = self._read_packets()
        self._wanted = next(self._packets)
        self.is_cut = False

    def read(self, size: int, receive: Callable[[int], bytes]) -> bytes:
        """Read what is there of a packet.

        Args:
            size: bytes at most.
            receive: reads them from the socket.

        Returns:
            As many as there are, none at the end.

        Raises:
            BlockingIOError: there are none at the moment.
            OSError: and others, as `receive` does; the broker sends what makes no sense.
        """
        for _ in range(_AT_ONCE):
            if self._head:
                head = bytes(self._head[:size])
                del self._head[:size]
                return head
            if self._passing:
                data = receive(min(size, self._passing))
                self._passing -= len(data)
                return data
            data = receive(min(self._dropping, _PIECE) or self._wanted)
            if not data:
                return data
            if self._dropping:
                self._dropping -= len(data)
            else:
                self._wanted = self._packets.send(data)
        raise BlockingIOError

    def _read_packets(self) -> Generator[int, bytes, None]:
        """Read the heads of packets: yields how many bytes are wanted, and gets some of them."""
        while True:
            head = yield from _take(1)
            size = shift = 0
            while True:
                byte = yield from _take(1)
                head += byte
                size |= (byte[0] & 127) << shift
                shift += 7
                if byte[0] < 128 or shift > 21:
                    break
            if byte[0] > 127:  # a length without end: paho will say so
                self._hand_on(head, sys.maxsize)
            elif size <= self._limit:
                self._hand_on(head, size)
            elif head[0] >> 4 == _PUBLISH:
                yield from self._read_message(head, size)
            else:
                raise ConnectionError("the broker sends a packet that is too large")

    def _read_message(self, head: bytes, size: int) -> Generator[int, bytes, None]:
        """Read the topic and number of a large message."""
        number = 2 if head[0] & 6 else 0
        body = yield from _take(2)
        rest = int.from_bytes(body, "big") + number
        if len(body) + rest > size:  # longer than its packet: paho will say so
            self._hand_on(head + body, size - len(body))
            return
        body += yield from _take(rest)
        behind = size - len(body)
        if behind <= self._limit:
            self._hand_on(head + body, behind)
            return
        self._dropping = behind
        if self._has_properties:
            body += b"\0"
        self._hand_on(head[:1] + _length(len(body)) + body, 0, is_cut=True)

    def _hand_on(self, head: bytes, passing: int, *, is_cut: bool = False) -> None:
        self._head += head
        self._passing = passing
        self.is_cut = is_cut


class BoundedClient(Client):
    """Paho's client, with bounds on what it takes in.

    Attributes:
        reader: reads for it; without one there are no bounds.
    """

    reader: PacketReader | None = None

    def _sock_recv(self, bufsize: int) -> bytes:
        receive: Callable[[int], bytes] = super()._sock_recv
        return receive(bufsize) if self.reader is None else self.reader.read(bufsize, receive)


def _take(count: int) -> Taking:
    taken = b""
    while len(taken) < count:
        taken += yield count - len(taken)
    return taken


def _length(size: int) -> bytes:
    """A length as packets have it."""
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([*length, size])
