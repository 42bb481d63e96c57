"""The timed sequences of `docs/vectors`, sent to a device whose time we turn on."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from jsonrpc_iot import Dispatcher, Server, serve
from jsonrpc_iot.testing.conformance.replies import message_faults, strict_json
from tests.vectors import Vector, bytes_of, read_vectors, replies_of

from .rig import ANYWHERE

SECONDS = 10.0


class Board:
    """A device that counts what it runs; between two steps its time stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.ran = 0
        self.dispatcher = Dispatcher()
        self.dispatcher.method(self.note)
        self.dispatcher.method(self.later)
        self.dispatcher.method("read", idempotent=True)(self.note)
        self.dispatcher.method(self.count)

    def note(self, value: object) -> object:
        self.ran += 1
        return value

    async def later(self, seconds: float) -> str:
        self.ran += 1
        await anyio.sleep(seconds)
        return "done"

    def count(self, to: int) -> list[int]:
        return list(range(to))


def receive(end: socket.socket) -> bytes:
    """The next message but for questions whether we are here, which are answered."""
    while b'"rpc.ping"' in (message := end.recv(65_535)):
        end.send(json.dumps({"id": json.loads(message)["id"], "result": True}).encode())
    return message


@contextmanager
def calling(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.connect((parts.hostname, parts.port))
        end.settimeout(SECONDS)
        yield end


def settle(url: str, portal: BlockingPortal) -> None:
    """Come back once the device has dealt with all that came before."""
    portal.call(anyio.lowlevel.checkpoint)  # which has it look at the time
    with calling(url) as end:
        end.send(b'{"id":1,"method":"rpc.ping"}')
        assert end.recv(100) == b'{"id":1,"result":true}'


def play(vector: Vector, board: Board, server: Server, portal: BlockingPortal) -> None:
    (url,) = server.urls
    began = board.now = board.now + 1000
    board.ran = 0
    server._ended._began = began - vector.get("listening", 60)
    with calling(url) as end:
        for step in vector["steps"]:
            board.now = began + step["at"]
            if "sent" in step:
                end.send(bytes_of(step))
            settle(url, portal)
            values = [strict_json(receive(end)) for _ in step["replies"]]
            items = [each for each in step["replies"] if "method" in each]
            assert all(each in values for each in items), (step, values)
            (expect,) = replies_of({"replies": [x for x in step["replies"] if x not in items]})
            assert message_faults(expect, [x for x in values if x not in items]) == [], step
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                pytest.fail(f"{step}: {receive(end)!r} too many")
            end.settimeout(SECONDS)
            assert board.ran == step.get("ran", board.ran), step


def test_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(monkeypatch)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(board.dispatcher, ANYWHERE, grace=0)) as server,
    ):
        for vector in (*read_vectors("lossy"), *read_vectors("streams")):
            try:
                play(vector, board, server, portal)
            except AssertionError as error:
                error.add_note(vector["name"])
                raise
