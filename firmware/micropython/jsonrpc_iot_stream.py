"""Streams of bytes for `jsonrpc_iot`: what serial lines and connections of TCP share."""

import asyncio
from time import ticks_diff, ticks_ms

from jsonrpc_iot_methods import RpcError, too_large

from jsonrpc_iot import KEPT_MS, Link


class Stream(Link):
    """A stream of messages: `run` it, and `call` what is at its other end.

    Args:
        rpc: the methods of this end.
        reader: reads, as that of `asyncio.open_connection`.
        writer: writes.
        framing: finds the messages in what is read, and makes what is written.
    """

    def __init__(self, rpc, reader, writer, framing):
        super().__init__(rpc, framing.limit)
        self._reader, self._writer, self._lock = reader, writer, asyncio.Lock()
        self._framing = framing
        self.peers[None] = ticks_ms(), None, None

    async def put(self, message, address):
        """Send a message."""
        async with self._lock:
            self._writer.write(self._framing.wrap(message))
            await self._writer.drain()

    async def run(self):
        """Take what comes, until the connection ends."""
        try:
            error = MemoryError
            while error is MemoryError:
                error = await self._take_what_fits(self._framing)
            if error:
                await self.refuse(error, None)
        except OSError:
            pass
        finally:
            self.close()

    async def _take_what_fits(self, framing):
        try:
            return await self._take_all(framing)
        except MemoryError:  # as if what had come was lost
            framing.rest = bytearray()
            await asyncio.sleep(0.01)
            return framing.expire() and MemoryError

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
                        return too_large(len(message), self.limit)
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
