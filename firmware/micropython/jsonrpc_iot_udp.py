"""UDP for `jsonrpc_iot`."""

import asyncio
import socket

from jsonrpc_iot_methods import too_large

from jsonrpc_iot import KEPT_MS, Link


class Udp(Link):
    """A port of UDP: `run` it, and `call` others by what `address` gives.

    Args:
        rpc: the methods of this end.
        port: to listen on.
        host: an address of this device.
        limit: bytes of the longest message, both ways.
        peers: addresses that are remembered at a time, for a minute after their last message.
    """

    first = 0.5

    def __init__(self, rpc, port=8805, host="0.0.0.0", limit=1400, peers=8):
        super().__init__(rpc, limit)
        self._most, self._socket = peers, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.address(host, port))

    def address(self, host, port=8805):
        """What `call` and `notify` take as `to`."""
        return socket.getaddrinfo(host, port)[0][-1]

    async def put(self, message, address):
        """Send a message."""
        self._socket.sendto(message, address)

    async def run(self):
        """Take what comes, for ever."""
        most = self.limit + 1
        try:
            while True:
                try:
                    await self._take_one(most)
                    most = self.limit + 1
                except asyncio.TimeoutError:
                    self.tidy()
                except OSError:  # somebody that we sent to is not there
                    pass
                except MemoryError:
                    most = max(most // 2, 64)  # it may be in pieces
                    await asyncio.sleep(0.01)
        finally:
            self.close()
            self._socket.close()

    async def _take_one(self, most):
        await asyncio.wait_for(_readable(self._socket), KEPT_MS / 1000)
        data, address = self._socket.recvfrom(most)
        if len(data) == most:
            return await self.refuse(too_large(most, most - 1), address)
        await self.receive(data, address)
        while len(self.peers) > self._most:
            self.peers.pop(min(self.peers, key=lambda each: self.peers[each][0]))


def _readable(source):
    yield asyncio.core._io_queue.queue_read(source)
