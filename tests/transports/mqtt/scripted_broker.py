"""A broker that does what a test says, where a real one cannot be made to: packets byte by byte.

Source: MQTT 3.1.1 and 5.0 (OASIS).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 12, 14

ACCEPTED_311 = b"\x20\x02\x00\x00"
ACCEPTED_5 = b"\x20\x03\x00\x00\x00"
KICK_5 = b"\xe0\x02\x98\x00"  # administrative action

Packet = tuple[int, bytes]
"""The first byte, and all behind the length."""


def packet(first: int, body: bytes) -> bytes:
    """A packet of any kind."""
    length, size = bytearray(), len(body)
    while True:
        size, low = divmod(size, 128)
        length.append(low | 128 if size else low)
        if not size:
            return bytes([first]) + bytes(length) + body


def message(topic: str, data: bytes, *, mid: int = 0, again: bool = False) -> bytes:
    """A PUBLISH of MQTT 3.1.1, with QoS 1 where it has a number."""
    first = 0x30 | (8 if again else 0) | (2 if mid else 0)
    number = mid.to_bytes(2, "big") if mid else b""
    return packet(first, len(topic).to_bytes(2, "big") + topic.encode() + number + data)


class ScriptedBroker:
    """Accepts connections, grants what is asked for, and acknowledges what is published.

    Args:
        accepted: the CONNACK.
        puback: what is behind the number in each PUBACK; `None` for none at all.
        farewell: is sent when a subscription is asked for, and the connection closed.
        granted: is the answer to each subscription, `None` for none.
        pings: answers pings.

    Attributes:
        port: where it listens.
        connects: the CONNECT packet of each connection so far.
        acknowledged: the numbers of its messages that were acknowledged.
        pinged: a ping has come.
    """

    def __init__(
        self,
        accepted: bytes = ACCEPTED_311,
        *,
        puback: bytes | None = b"",
        farewell: bytes | None = None,
        granted: int | None = 1,
        pings: bool = True,
    ) -> None:
        self.port = 0
        self.connects: list[bytes] = []
        self.acknowledged: list[int] = []
        self.pinged = asyncio.Event()
        self._granted = granted
        self._pings = pings
        self._open = 0
        self._accepted = accepted
        self._puback = puback
        self._farewell = farewell
        self._published: asyncio.Queue[bytes] = asyncio.Queue()
        self._writer: asyncio.StreamWriter

    def url(self, topic: str, options: str = "?version=3.1.1") -> str:
        return f"mqtt://127.0.0.1:{self.port}{topic}{options}"

    def send(self, data: bytes) -> None:
        """Send anything over the latest connection."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the other end has taken most of what was sent."""
        await self._writer.drain()

    def close(self) -> None:
        """Close the latest connection, with all that was sent delivered."""
        self._writer.close()

    async def idle(self) -> None:
        """Wait until every connection that there was is closed."""
        while self._open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def stuck(self) -> None:
        """Wait until the other end has taken nothing for a while."""
        transport = self._writer.transport
        waiting = -1
        while waiting != transport.get_write_buffer_size() or not waiting:
            waiting = transport.get_write_buffer_size()
            await asyncio.sleep(0.2)

    async def published(self, seconds: float = 10.0) -> bytes:
        """The next PUBLISH from the other end, without its first byte and length."""
        return await asyncio.wait_for(self._published.get(), seconds)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._open += 1
        try:
            while await self._answer(writer, *await _read(reader)):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, first: int, body: bytes) -> bool:
        kind, is_5 = first >> 4, self._accepted is not ACCEPTED_311
        if kind == CONNECT:
            self.connects.append(body)
            writer.write(self._accepted)
        elif kind == SUBSCRIBE:
            if self._granted is not None:
                writer.write(packet(0x90, body[:2] + bytes([0] * is_5 + [self._granted])))
            if self._farewell is not None:
                writer.write(self._farewell)
                await writer.drain()
                return False
        elif kind == PUBLISH:
            topic_end = 2 + int.from_bytes(body[:2], "big")
            if first & 6 and self._puback is not None:
                writer.write(packet(0x40, body[topic_end : topic_end + 2] + self._puback))
            self._published.put_nowait(body)
        elif kind == PUBACK:
            self.acknowledged.append(int.from_bytes(body[:2], "big"))
        elif kind == PINGREQ:
            self.pinged.set()
            if self._pings:
                writer.write(b"\xd0\x00")
        return kind != DISCONNECT


async def _read(reader: asyncio.StreamReader) -> Packet:
    first = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first, await reader.readexactly(size)


@asynccontextmanager
async def scripted_broker(
    accepted: bytes = ACCEPTED_311, **options: Any
) -> AsyncIterator[ScriptedBroker]:
    """Run a broker until the block ends; see `ScriptedBroker`."""
    broker = ScriptedBroker(accepted, **options)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
