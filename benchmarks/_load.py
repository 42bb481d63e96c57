"""Load generators on plain blocking sockets, so that the server is what gets measured.

They run outside the server's process and keep every reply, to look at it when the clock has
stopped.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import msgspec

REQUEST = (
    b'{"method":"wifi.connect","id":%d,'
    b'"params":{"ssid":"home-network-2g","psk":"correct horse battery"}}\n'
)
REQUEST_2_0 = b'{"jsonrpc":"2.0",' + REQUEST[1:]
FIRST_ID = 10_000
_BUFFER = 1 << 18
_TIMEOUT = 60.0


class Reply(msgspec.Struct, forbid_unknown_fields=True):
    """What a server answers to the requests of this module."""

    id: int
    result: None
    jsonrpc: str = ""


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    """Connect to a server on this machine, with Nagle's algorithm off."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield link


def pipelined(port: int, template: bytes, count: int) -> float:
    """Send requests as fast as the server takes them, without waiting for replies.

    Args:
        port: of the server on 127.0.0.1.
        template: a request with its newline, `%d` in place of the id.
        count: how many to send.

    Returns:
        Seconds from the first byte out to the last reply in.

    Raises:
        AssertionError: the replies are not exactly one for each request.
    """
    payload = b"".join(template % number for number in range(FIRST_ID, FIRST_ID + count))
    received = []
    lines = 0
    with connection(port) as link:
        sender = threading.Thread(target=link.sendall, args=(payload,))
        start = perf_counter()
        sender.start()
        while lines < count:
            data = link.recv(_BUFFER)
            if not data:
                raise AssertionError(f"the server hung up after {lines} of {count} replies")
            received.append(data)
            lines += data.count(b"\n")
        taken = perf_counter() - start
        sender.join()
    replies = msgspec.json.Decoder(Reply).decode_lines(b"".join(received))
    if sorted(reply.id for reply in replies) != list(range(FIRST_ID, FIRST_ID + count)):
        raise AssertionError("replies are missing, doubled or wrong")
    return taken


def ping_pong(port: int, request: bytes, reply: bytes, count: int) -> float:
    """Send a request, wait for its reply, and again.

    Args:
        port: of the server on 127.0.0.1.
        request: the bytes to send each time.
        reply: the bytes to expect.
        count: how many times.

    Returns:
        Seconds for all.

    Raises:
        AssertionError: something else came back.
    """
    with connection(port) as link:
        start = perf_counter()
        for _ in range(count):
            link.sendall(request)
            received = link.recv(_BUFFER)
            while received != reply:
                more = link.recv(_BUFFER) if len(received) < len(reply) else b""
                if not more:
                    raise AssertionError(f"expected {reply!r}, received {received!r}")
                received += more
        return perf_counter() - start
