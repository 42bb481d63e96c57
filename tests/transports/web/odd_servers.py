"""Servers that are written by hand, and say what no good server says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc

NO_EVENTS = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n"


def reply(body: bytes, head: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """A response in JSON."""
    kind = b"Content-Type: application/json\r\n%bContent-Length: %d\r\n\r\n" % (head, len(body))
    return b"HTTP/1.1 " + status + b"\r\n" + kind + body


@asynccontextmanager
async def answering(answer: Callable[[bytes, bytes], bytes | None]) -> AsyncIterator[str]:
    """Run a server that answers each request, and then closes the connection; gives its URL.

    Args:
        answer: is given the head and the body of a request; `None` resets the connection.
    """

    async def serve_one(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            data = b""
            try:
                while (end := data.find(b"\r\n\r\n")) < 0:
                    data += await stream.receive()
                head, body = data[:end], data[end + 4 :]
                _, found, length = head.lower().partition(b"content-length:")
                while found and len(body) < int(length.split(b"\r\n")[0]):
                    body += await stream.receive()
                said = answer(head, body)
                if said is not None:
                    await stream.send(said)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    bound = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with bound, anyio.create_task_group() as tasks:
        tasks.start_soon(bound.serve, serve_one)
        yield f"http://127.0.0.1:{bound.extra(anyio.abc.SocketAttribute.local_port)}/rpc"
        tasks.cancel_scope.cancel()
