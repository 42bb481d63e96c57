"""TCP for `jsonrpc_iot`: connections, and a server."""

import asyncio

from jsonrpc_iot_stream import Stream


class Lines:
    """Messages of a stream, each on a line or right behind another."""

    silence = most = 10_000  # ms for the rest of a message, and for all of it

    def __init__(self, limit):
        self.limit, self.rest = limit, bytearray()

    def feed(self, data):
        """Take bytes; gives the messages that they end, and what is too long as far as it came."""
        for c in data:
            if not self.rest:
                self._braces, self._brackets, self._where = 0, 0, 0 if c in b"[{" else 3
            if self.rest or c not in b" \t\r\n":
                self.rest.append(c)
                if c == 10 or self._ends(c) or len(self.rest) > self.limit:
                    message, self.rest = bytes(self.rest).strip(b" \t\r\n"), bytearray()
                    yield message

    def _ends(self, c):
        # Where it is: 0: between brackets, 1: in a text, 2: behind a backslash, 3: in a broken line
        if self._where == 2 or (self._where == 1 and c == 92):
            self._where = 3 - self._where
        elif c == 34 and self._where < 2:
            self._where = 1 - self._where
        elif not self._where:
            self._braces += (c == 123) - (c == 125)
            self._brackets += (c == 91) - (c == 93)
            self._where = 3 if self._braces < 0 or self._brackets < 0 else 0
            return not (self._braces or self._brackets or self._where)
        return False

    def wrap(self, message):
        """The bytes for a message."""
        return message + b"\n"

    def expire(self):
        """Give up a message whose end does not come: what follows cannot be told from it."""


class Connection(Stream):
    """A connection of TCP: `run` it, and `call` what is at its other end.

    Args:
        rpc: the methods of this end.
        reader: that of `asyncio.open_connection`.
        writer: and its other half.
        limit: bytes of the longest message, both ways.
    """

    def __init__(self, rpc, reader, writer, limit=4096):
        super().__init__(rpc, reader, writer, Lines(limit))


async def serve_tcp(rpc, port=8805, host="0.0.0.0", limit=4096, connections=4):
    """Serve on TCP, for ever; connections beyond so many at a time are closed."""
    running = []

    async def accept(reader, writer):
        if len(running) < connections:
            running.append(writer)
            try:
                await Connection(rpc, reader, writer, limit).run()
            finally:
                running.remove(writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(accept, host, port)
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
