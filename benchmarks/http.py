"""Calls over HTTP, 64 connections at once, held against the smallest Starlette endpoint for JSON.

Both run under uvicorn, each in a process of its own; the load comes from this one, and is the same
for both: each connection sends its next request when the reply is there.
"""

import selectors
import socket
import time
from contextlib import ExitStack, closing
from functools import partial

from ._harness import Options, Report, measure
from ._servers import server

CONNECTIONS = 64
OURS = "serve"
OURS_ASYNC = "serve, async handler"
STARLETTE = "smallest Starlette endpoint"

_BODY = b'{"id":12345,"method":"%s","params":{"ssid":"home-network-2g","psk":"correct horse"}}'
_END = b'{"id":12345,"result":null}'


def run(options: Options) -> Report:
    """Measure and compare."""
    backend = "asyncio" if options.backend == "trio" else options.backend
    report = Report(
        "http",
        [
            f"wifi.connect in one POST, {CONNECTIONS} connections, uvicorn on {backend}",
            "the endpoint reads the JSON body and answers with the id",
        ],
    )
    with ExitStack() as stack:
        ours = stack.enter_context(server("http", backend))
        floor = stack.enter_context(server("starlette", backend))
        load = {
            OURS: partial(posts, ours.port, b"wifi.connect"),
            OURS_ASYNC: partial(posts, ours.port, b"wifi.connect_async"),
            STARLETTE: partial(posts, floor.port, b"wifi.connect"),
        }
        samples = measure(load, rounds=options.rounds(9), seconds=options.seconds(0.5))
    rates = {name: [1 / second for second in seconds] for name, seconds in samples.items()}
    for name, rate in rates.items():
        report.add(name, "calls/s", rate)
    report.compare(f"{OURS} / Starlette", rates[OURS], rates[STARLETTE], ">=", 0.8)
    report.compare(f"{OURS_ASYNC} / Starlette", rates[OURS_ASYNC], rates[STARLETTE])
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
