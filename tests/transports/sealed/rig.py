"""A device that says who calls, its keys, and a man between it and its clients."""

import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from jsonrpc_iot import Context, Dispatcher
from jsonrpc_iot.trust.keys import SharedKey, key_id
from jsonrpc_iot.trust.principal import Principal

KEYS = {name: bytes([number]) * 32 for number, name in enumerate(("app", "monitor", "wrong"))}


class Device:
    """A dispatcher that notes what it runs, and for whom."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.ran: list[object] = []
        self.dispatcher.method(self.who)
        self.dispatcher.method(self.note)
        self.dispatcher.method("secret", requires="wifi")(lambda: "42")

    def who(self, *, context: Context) -> str | None:
        return None if context.principal is None else context.principal.name

    def note(self, key: object) -> int:
        self.ran.append(key)
        return self.ran.count(key)


class Ring:
    """Keys that come and go."""

    def __init__(self, *names: str, permissions: frozenset[str] = frozenset()) -> None:
        self.keys: dict[bytes, SharedKey] = {}
        for name in names or ("app", "monitor"):
            shared = SharedKey(Principal(name, permissions, "key"), KEYS[name], key_id(KEYS[name]))
            self.keys[shared.id] = shared

    def find(self, id: bytes) -> SharedKey | None:
        return self.keys.get(id)


def option(folder: Path, name: str = "app") -> str:
    """What a URL needs for a key."""
    file = folder / name
    file.write_text(b64encode(KEYS[name]).decode())
    return f"psk=file:{file}"


def joined(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"


Change = Callable[[bytes, bool], list[bytes]]


class Middle:
    """Stands between clients and a server over UDP; sees all, and does what it likes.

    Attributes:
        change: says what becomes of a packet, and of one that goes to the server.
        seen: all packets that came, and whether they were for the server.
    """

    def __init__(self, url: str, tasks: TaskGroup) -> None:
        parts = urlsplit(url)
        self._server = parts.hostname or "", parts.port or 0
        self._tasks = tasks
        self._front = self._bind()
        self._back = self._bind()
        self._client: tuple[str, int] = ("", 0)
        self.change: Change = lambda packet, to_server: [packet]
        self.seen: list[tuple[bytes, bool]] = []
        self.url = f"udp://127.0.0.1:{self._front.getsockname()[1]}"
        tasks.start_soon(self._read_front)
        tasks.start_soon(self._read_back, self._back)

    @staticmethod
    def _bind() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind(("127.0.0.1", 0))
        return made

    def rebind(self) -> None:
        """Reach the server from another address from now on; the old one stays open."""
        self._back = self._bind()
        self._tasks.start_soon(self._read_back, self._back)

    def lead_to(self, url: str) -> None:
        """Send to another server from now on."""
        self._server = ("127.0.0.1", urlsplit(url).port or 0)

    def to_server(self, packet: bytes) -> None:
        self._back.sendto(packet, self._server)

    def to_client(self, packet: bytes) -> None:
        self._front.sendto(packet, self._client)

    def count(self, kind: int) -> int:
        """How many packets of a kind came."""
        return sum(packet[0] == kind for packet, _ in self.seen)

    async def _read_front(self) -> None:
        with self._front:
            while True:
                await anyio.wait_readable(self._front)
                packet, self._client = self._front.recvfrom(65_535)
                self.seen.append((packet, True))
                for each in self.change(packet, True):
                    self.to_server(each)

    async def _read_back(self, back: socket.socket) -> None:
        with back:
            while True:
                await anyio.wait_readable(back)
                packet = back.recv(65_535)
                self.seen.append((packet, False))
                for each in self.change(packet, False):
                    self.to_client(each)


@asynccontextmanager
async def middle(url: str) -> AsyncIterator[Middle]:
    """Stand in front of a server."""
    async with anyio.create_task_group() as tasks:
        yield Middle(url, tasks)
        tasks.cancel_scope.cancel()
