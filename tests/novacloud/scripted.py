"""A platform that does what a test tells it to, on raw sockets."""

import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec

from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule
from tests.waiting import SECONDS

ID = "550e8400-e29b-41d4-a716-446655440000"
KEY = "0123456789abcdef0123456789abcdef"
AT_ONCE = DeviceSettings(
    pending_seconds=0.1,
    close_seconds=0.1,
    schedule=Schedule(first=0.02, longest=0.02, after_stable=0.02, refused=0.05),
)


class Far:
    """The platform's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._buffer = b""

    async def read(self) -> dict[str, Any]:
        """The next message."""
        while b"\n" not in self._buffer:
            data = await self._receive()
            assert data, "the device closed the connection"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = msgspec.json.decode(line)
        return message

    async def read_type(self, kind: str) -> dict[str, Any]:
        """The next message of a type; those before it are passed over."""
        while (message := await self.read())["type"] != kind:
            pass
        return message

    async def end(self) -> list[dict[str, Any]]:
        """All messages until the device closes the connection."""
        while data := await self._receive():
            self._buffer += data
        return [msgspec.json.decode(line) for line in self._buffer.splitlines()]

    async def _receive(self) -> bytes:
        with anyio.fail_after(SECONDS):
            await anyio.wait_readable(self.socket)
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def send(self, message: dict[str, Any]) -> None:
        self.socket.sendall(msgspec.json.encode(message) + b"\n")

    async def admit(self, ext: Iterable[str] = ()) -> dict[str, Any]:
        """Let the device in; returns what it said of itself."""
        auth = await self.read()
        assert auth["type"] == "auth"
        payload: dict[str, Any] = {"status": "success", "message": "认证成功"}
        if ext:
            payload["ext"] = [*ext]
        self.send({"type": "auth_response", "payload": payload})
        found: dict[str, Any] = auth["payload"]
        return found

    def refuse(self, message: str) -> None:
        self.send({"type": "auth_response", "payload": {"status": "error", "message": message}})
        self.socket.close()

    def command(self, id: str, **payload: Any) -> None:
        self.send({"type": "command", "command_id": id, "payload": payload})

    async def response(self) -> dict[str, Any]:
        """The next command_response, without its type."""
        message = await self.read_type("command_response")
        del message["type"]
        return message

    def ack(self, upto: int) -> None:
        self.send({"type": "ack", "payload": {"upto": upto}})

    def reset(self) -> None:
        """Cut the connection, as a router does that forgets it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Platform:
    """Listens on a free port."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._far: list[Far] = []

    async def accept(self) -> Far:
        with anyio.fail_after(SECONDS):
            await anyio.wait_readable(self._socket)
        self._far.append(Far(self._socket.accept()[0]))
        return self._far[-1]

    async def admit(self, ext: Iterable[str] = ()) -> Far:
        far = await self.accept()
        await far.admit(ext)
        return far

    def device(self, **options: Any) -> NovaDevice:
        """A device of this platform that does not wait before it connects again."""
        options = {"device_id": ID, "device_key": KEY, "settings": AT_ONCE, **options}
        return NovaDevice("127.0.0.1", self.port, **options)

    def close(self) -> None:
        self._socket.close()
        for far in self._far:
            far.socket.close()


@asynccontextmanager
async def connected(
    ext: Iterable[str] = (), **options: Any
) -> AsyncIterator[tuple[NovaDevice, Far, Platform]]:
    """A device that a platform has let in."""
    platform = Platform()
    try:
        async with platform.device(**options) as device:
            far = await platform.admit(ext)
            with anyio.fail_after(SECONDS):
                await device.connected()
            yield device, far, platform
    finally:
        platform.close()
