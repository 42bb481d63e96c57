"""Calls over HTTP and WebSocket, held against the smallest Starlette endpoints.

HTTP is loaded with 64 connections at once, and held against an endpoint for JSON; a WebSocket with
one, and held against an endpoint that sends back what it gets. All run under uvicorn, each in a
process of its own; the load comes from this one, and is the same for ours and theirs: a connection
sends its next request when the reply is there.
"""

import selectors
import socket
import time
from contextlib import ExitStack, closing
from functools import partial

from ._harness import Options, Report, measure
from ._load import connection as connected
from ._servers import server

CONNECTIONS = 64
OURS = "serve"
OURS_ASYNC = "serve, async handler"
STARLETTE = "smallest Starlette endpoint"
WEBSOCKET = "serve, WebSocket"
WEBSOCKET_ASYNC = "serve, WebSocket, async handler"
ECHO = "Starlette WebSocket echo"

_BODY = b'{"id":12345,"method":"%s","params":{"ssid":"home-network-2g","psk":"correct horse"}}'
_END = b'{"id":12345,"result":null}'
_UPGRADE = (
    b"GET /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def run(options: Options) -> Report:
    """Measure and compare."""
    backend = "asyncio" if options.backend == "trio" else options.backend
    report = Report(
        "http",
        [
            f"wifi.connect in one POST, {CONNECTIONS} connections, uvicorn on {backend}",
            "the endpoint reads the JSON body and answers with the id",
            "WebSocket: one connection, one call at a time; the echo sends the request back",
        ],
    )
    with ExitStack() as stack:
        ours = stack.enter_context(server("http", backend))
        floor = stack.enter_context(server("starlette", backend))
        socket_ours = stack.enter_context(server("websocket", backend))
        socket_echo = stack.enter_context(server("websocket_echo", backend))
        awaited, plain = (_BODY % name for name in (b"wifi.connect_async", b"wifi.connect"))
        load = {
            OURS: partial(posts, ours.port, b"wifi.connect"),
            OURS_ASYNC: partial(posts, ours.port, b"wifi.connect_async"),
            STARLETTE: partial(posts, floor.port, b"wifi.connect"),
            WEBSOCKET: partial(messages, socket_ours.port, plain, _END),
            WEBSOCKET_ASYNC: partial(messages, socket_ours.port, awaited, _END),
            ECHO: partial(messages, socket_echo.port, plain, plain),
        }
        samples = measure(load, rounds=options.rounds(9), seconds=options.seconds(0.5))
    rates = {name: [1 / second for second in seconds] for name, seconds in samples.items()}
    for name, rate in rates.items():
        report.add(name, "calls/s", rate)
    report.compare(f"{OURS} / Starlette", rates[OURS], rates[STARLETTE], ">=", 0.8)
    report.compare(f"{OURS_ASYNC} / Starlette", rates[OURS_ASYNC], rates[STARLETTE], ">=", 0.8)
    report.compare(f"{WEBSOCKET} / echo", rates[WEBSOCKET], rates[ECHO], ">=", 0.8)
    report.compare(f"{WEBSOCKET_ASYNC} / echo", rates[WEBSOCKET_ASYNC], rates[ECHO])
    return report


def posts(port: int, method: bytes, count: int) -> float:
    """Make that many POSTs, after one on each connection; returns their seconds."""
    body = _BODY % method
    request = (
        b"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port))
            stack.enter_context(closing(connection))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, bytearray())
            connection.sendall(request)
        _answers(selector, request, CONNECTIONS, 0)
        start = time.perf_counter()
        first = min(count, CONNECTIONS)
        for key in list(selector.get_map().values())[:first]:
            _send(key, request)
        _answers(selector, request, count, count - first)
        return time.perf_counter() - start


def _answers(selector: selectors.BaseSelector, request: bytes, wanted: int, to_send: int) -> None:
    """Take that many replies, and send so many more requests meanwhile."""
    while wanted:
        for key, _ in selector.select(10):
            assert isinstance(key.fileobj, socket.socket)
            received: bytearray = key.data
            part = key.fileobj.recv(65536)
            received += part
            if not part or not received.startswith(b"HTTP/1.1 200"):
                raise AssertionError(f"wrong reply: {bytes(received)!r}")
            if received.endswith(_END):
                received.clear()
                wanted -= 1
                if to_send:
                    to_send -= 1
                    _send(key, request)


def _send(key: selectors.SelectorKey, request: bytes) -> None:
    assert isinstance(key.fileobj, socket.socket)
    key.fileobj.sendall(request)


def messages(port: int, request: bytes, reply: bytes, count: int) -> float:
    """Send a WebSocket message, wait for its reply, and again, after one; returns the seconds."""
    assert len(request) < 126
    # The mask changes nothing.
    frame = b"\x81%c\0\0\0\0%s" % (0x80 | len(request), request)
    expected = b"\x81%c%s" % (len(reply), reply)
    with connected(port) as link:
        link.sendall(_UPGRADE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += link.recv(65536)
        assert head.startswith(b"HTTP/1.1 101"), head
        start = time.perf_counter()
        for index in range(count + 1):
            if index == 1:  # the first one does not count
                start = time.perf_counter()
            link.sendall(frame)
            received = link.recv(65536)
            while received != expected:
                more = link.recv(65536) if len(received) < len(expected) else b""
                if not more:
                    raise AssertionError(f"wrong reply: {received!r}")
                received += more
        return time.perf_counter() - start
