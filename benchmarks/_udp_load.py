"""Load generators for UDP on plain sockets, outside the server's process.

They send nothing twice: what is not answered is lost, and counted or fatal. Requests and the
replies they must get are made before the clock starts.
"""

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from time import perf_counter

from msgspec import Struct

from ._load import REQUEST

REMEMBERED = REQUEST.rstrip(b"\n")
IDEMPOTENT = REMEMBERED.replace(b"wifi.connect", b"wifi.connect_idempotent")
PING = b'{"method":"rpc.ping","id":%d}'
NULL = b'{"id":%d,"result":null}'
TRUE = b'{"id":%d,"result":true}'

_BUFFER = 1 << 16
_TIMEOUT = 10.0
_LOST_SECONDS = 2.0

_ids = count(1_000_000)  # no id comes twice: a server may take it for a doubled datagram


class Exchange(Struct, frozen=True):
    """A kind of call: its request and its reply, `%d` in place of the id.

    Without a reply the request itself has to come back.
    """

    request: bytes
    reply: bytes | None = None

    def make(self, number: int) -> list[tuple[bytes, bytes]]:
        """That many requests with the replies to expect."""
        made = []
        for id in (next(_ids) for _ in range(number)):
            request = self.request % id
            made.append((request, request if self.reply is None else self.reply % id))
        return made


class Storm(Struct, frozen=True):
    """What came of many clients at once.

    Args:
        made: calls that were sent.
        answered: those that got their reply.
        seconds: from the first request out to the last reply in.
    """

    made: int
    answered: int
    seconds: float


@contextmanager
def udp_link(port: int) -> Iterator[socket.socket]:
    """A socket with an address of its own, connected to a server on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.settimeout(_TIMEOUT)
        raw.connect(("127.0.0.1", port))
        yield raw


def ping_pong(port: int, exchange: Exchange, number: int) -> float:
    """Send a request, wait for its reply, and again, from one address.

    Args:
        port: of the server on 127.0.0.1.
        exchange: what to send, with another id each time.
        number: how many times.

    Returns:
        Seconds for all.

    Raises:
        AssertionError: something else came back.
        TimeoutError: nothing came back.
    """
    calls = exchange.make(number)
    with udp_link(port) as raw:
        start = perf_counter()
        for request, reply in calls:
            raw.send(request)
            if (received := raw.recv(_BUFFER)) != reply:
                raise AssertionError(f"expected {reply!r}, received {received!r}")
        return perf_counter() - start


def call_each(links: list[socket.socket], exchange: Exchange) -> None:
    """Make one call from each socket, one after the other.

    Raises:
        AssertionError: something else came back.
        TimeoutError: nothing came back.
    """
    for raw, (request, reply) in zip(links, exchange.make(len(links)), strict=True):
        raw.send(request)
        if (received := raw.recv(_BUFFER)) != reply:
            raise AssertionError(f"expected {reply!r}, received {received!r}")


def storm(port: int, exchange: Exchange, clients: int, calls: int) -> Storm:
    """Let many clients call at once; each sends its next call when the last one is answered.

    Args:
        port: of the server on 127.0.0.1.
        exchange: what each sends, with another id each time.
        clients: sockets, each with its own address.
        calls: of each client; after one that is lost it makes no more.

    Raises:
        AssertionError: something else came back.
    """
    todo = [exchange.make(calls)[::-1] for _ in range(clients)]
    made = answered = 0
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        links = [stack.enter_context(udp_link(port)) for _ in range(clients)]
        for client, raw in enumerate(links):
            raw.setblocking(False)
            selector.register(raw, selectors.EVENT_READ, client)
        start = end = perf_counter()
        for raw, waiting in zip(links, todo, strict=True):
            raw.send(waiting[-1][0])
            made += 1
        while answered < made and (ready := selector.select(_LOST_SECONDS)):
            for key, _ in ready:
                raw, waiting = links[key.data], todo[key.data]
                received = raw.recv(_BUFFER)
                _, reply = waiting.pop()
                if received != reply:
                    raise AssertionError(f"expected {reply!r}, received {received!r}")
                answered += 1
                if waiting:
                    raw.send(waiting[-1][0])
                    made += 1
            end = perf_counter()
    return Storm(made, answered, end - start)
