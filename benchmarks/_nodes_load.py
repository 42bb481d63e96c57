"""Devices that send as much as is taken, a process of their own.

`python -m benchmarks._nodes_load DEVICES PORT…` connects devices to the ports in turn, prints a
line when all are let in and sends until its standard input ends.
"""

import json
import selectors
import socket
import sys
import threading

from ._novacloud import auth, check_in
from ._servers import _ready, _stop_with_parent

_LINES = 8  # at once, which is cheaper; the platform reads as many when it is busy
_UNSENT = 8192  # bytes of each device that may wait, lest seconds of messages do


def line(number: int) -> bytes:
    """A message of one value: the less the database has to do, the more the platform."""
    return json.dumps({"type": "data", "payload": {"value_0": number}}).encode() + b"\n"


def _connect(number: int, port: int) -> socket.socket:
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT)
    link.connect(("127.0.0.1", port))
    link.sendall(auth(number))
    return link


def main(devices: int, ports: list[int]) -> None:
    """Be the devices."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    links = [_connect(number, ports[number % len(ports)]) for number in range(devices)]
    for link in links:
        check_in(link)
        link.setblocking(False)
    lines = b"".join(map(line, range(_LINES)))
    rests = dict.fromkeys(links, b"")
    _ready("connected")
    with selectors.DefaultSelector() as selector:
        for link in links:
            selector.register(link, selectors.EVENT_WRITE, link)
        while True:
            for key, _ in selector.select():
                rest = rests[key.data] or lines
                rests[key.data] = rest[key.data.send(rest) :]


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(port) for port in sys.argv[2:]])
