"""Devices that come to one node at once, a process of their own.

`python -m benchmarks._nodes_crowd DEVICES PORT` connects that many devices, each of which comes
again a second after it was sent away, and prints as JSON the milliseconds until half of them, 99 %
and all were let in, and how many came again. They stay until its standard input ends.
"""

import selectors
import socket
import sys
import threading
from heapq import heappop, heappush
from time import perf_counter

import msgspec

from jsonrpc_iot.novacloud.platform.descriptors import raise_limit

from ._novacloud import auth
from ._servers import _ready, _stop_with_parent

_OF_ADDRESS = 10_000  # devices, which leaves each address ports enough
_AT_ONCE = 100  # before those are heard that are there already
_NO_PORT_YET = 24  # IP_BIND_ADDRESS_NO_PORT: to look for one among thousands takes long
_AGAIN_SECONDS = 1.0
_PATIENCE = 120.0


class Crowd:
    """The devices.

    Args:
        count: how many.
        port: where to.

    Attributes:
        times: seconds until each was let in, as they were.
        again: attempts that failed.
    """

    def __init__(self, count: int, port: int) -> None:
        self._count = count
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._due = [(0.0, number) for number in range(count)]
        self._inside: list[socket.socket] = []
        self.times: list[float] = []
        self.again = 0

    def come(self) -> None:
        """Have all come, and wait until they are let in.

        Raises:
            TimeoutError: some are not.
        """
        began = perf_counter()
        while len(self.times) < self._count:
            now = perf_counter() - began
            if now > _PATIENCE:
                raise TimeoutError(f"{len(self.times)} of {self._count} devices were let in")
            for _ in range(_AT_ONCE):
                if self._due and self._due[0][0] <= now:
                    self._connect(heappop(self._due)[1])
            for key, events in self._selector.select(0.01):
                assert isinstance(key.fileobj, socket.socket)
                self._go_on(key.fileobj, key.data, events, began)

    def _connect(self, number: int) -> None:
        link = socket.socket()
        link.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
        link.bind((f"127.0.0.{2 + number // _OF_ADDRESS}", 0))
        link.setblocking(False)
        link.connect_ex(("127.0.0.1", self._port))
        self._selector.register(link, selectors.EVENT_WRITE, number)

    def _go_on(self, link: socket.socket, number: int, events: int, began: float) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                link.sendall(auth(number))
                self._selector.modify(link, selectors.EVENT_READ, number)
                return
            is_inside = b'"success"' in link.recv(4096)
        except OSError:
            is_inside = False
        self._selector.unregister(link)
        now = perf_counter() - began
        if is_inside:
            self._inside.append(link)
            self.times.append(now)
        else:
            link.close()
            self.again += 1
            heappush(self._due, (now + _AGAIN_SECONDS, number))


def main(devices: int, port: int) -> None:
    """Be the devices."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    raise_limit()
    crowd = Crowd(devices, port)
    crowd.come()
    half, most, last = (1000 * crowd.times[int(devices * part) - 1] for part in (0.5, 0.99, 1))
    _ready(msgspec.json.encode([half, most, last, crowd.again]).decode())
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
