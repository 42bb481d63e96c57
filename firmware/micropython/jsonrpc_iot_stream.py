"""Streams for `jsonrpc_iot`: connections and a server of TCP."""

import asyncio
from time import ticks_diff, ticks_ms

from jsonrpc_iot import KEPT_MS, Link, RpcError


class Lines:
    """Messages of a stream, each on a line or right behind another."""

    silence = most = 10_000  # ms for the rest of a message, and for all of it

    def __init__(self, limit):
        self.limit, self.rest = limit, bytearray()

    def feed(self, data):
        """Take bytes; gives the messages that they end, and what is too long as far as it came."""
        for c in data:
            if not self.rest:
                self._text, self._depth = 0, 0 if c in b"[{" else -1_000_000
            if self.rest or c not in b" \t\r\n":
                self.rest.append(c)
                if self._text:  # 1, or 2 behind a backslash
                    self._text = (
                        2 if self._text == 1 and c == 92 else int(self._text == 2 or c != 34)
                    )
                elif c in b'"[{]}':
                    self._text, self._depth = (
                        int(c == 34),
                        self._depth + (c in b"[{") - (c in b"]}"),
                    )
                if c == 10 or not (self._text or self._depth) or len(self.rest) > self.limit:
                    message, self.rest = bytes(self.rest).strip(b" \t\r\n"), bytearray()
                    yield message

    def wrap(self, message):
        """The bytes for a message."""
        return message + b"\n"

    def expire(self):
        """Give up a message whose end does not come: what follows cannot be told from it."""
        return None


class Stream(Link):
    """A connection of TCP, of which one end is here: `run` it, and `call` what is there.

    Args:
        rpc: the methods of this end.
        reader: reads, as that of `asyncio.open_connection`.
        writer: writes.
        limit: bytes of the longest message, both ways.
    """

    def __init__(self, rpc, reader, writer, limit=4096, framing=None, first=0, per_byte=0):
        super().__init__(rpc, limit, first, per_byte)
        self._reader, self._writer, self._lock = reader, writer, asyncio.Lock()
        self._framing = framing or Lines(limit)
        self.peers[None] = ticks_ms(), None, None

    async def put(self, message, address):
        """Send a message."""
        async with self._lock:
            self._writer.write(self._framing.wrap(message))
            await self._writer.drain()

    async def run(self):
        """Take what comes, until the connection ends."""
        try:
            error = await self._take_all(self._framing)
            if error:
                await self.refuse(error, None)
        except OSError:
            pass
        finally:
            self.close()

    async def _take_all(self, framing):
        begun = ticks_ms()  # what has come of a message
        while True:
            size, age = len(framing.rest), ticks_diff(ticks_ms(), begun)
            wait = max(min(framing.silence, framing.most - age), 0) if size else KEPT_MS
            data = await self._read(wait / 1000)
            if data == b"":
                return RpcError(-32700, "Parse error") if size else None
            begun = begun if size else ticks_ms()
            is_late = size and (data is None or age > framing.most)
            messages = framing.feed(data or b"")
            while messages:
                for message in messages:
                    begun, is_late = ticks_ms(), data is None
                    if len(message) > self.limit:
                        return RpcError(-32001, "Too large", {"limit": self.limit})
                    await self.receive(message)
                if not is_late or not framing.rest:
                    break
                messages, begun, is_late = framing.expire(), ticks_ms(), data is None
            else:
                return RpcError(-32700, "Parse error")
            if data is None:
                self.tidy()

    async def _read(self, seconds):
        """Bytes, none at the end; `None` where nothing came in time."""
        for wait in (seconds, 0.01):  # once more for what came while others ran
            try:
                return await asyncio.wait_for(self._reader.read(256), wait)
            except asyncio.TimeoutError:
                pass
        return None


async def serve_tcp(rpc, port=8805, host="0.0.0.0", limit=4096, connections=4):
    """Serve on TCP, for ever; connections beyond so many at a time are closed."""
    running = []

    async def accept(reader, writer):
        if len(running) < connections:
            running.append(writer)
            try:
                await Stream(rpc, reader, writer, limit).run()
            finally:
                running.remove(writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(accept, host, port)
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
