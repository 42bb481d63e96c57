"""What the NovaCloud tests share: a platform, its management, and devices that are raw sockets."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from jsonrpc_iot import Client, RpcError, connect, serve
from jsonrpc_iot.novacloud import (
    NovaPlatform,
    PlatformSettings,
    SqliteStore,
    Store,
    management,
)
from tests.waiting import SECONDS

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead)
NO_PAUSES = PlatformSettings(settle_seconds=0.0, failed_auth_delay=0.0)


class Device:
    """A device that is a socket and nothing more."""

    def __init__(self, stream: ByteStream, info: dict[str, str]) -> None:
        self.stream = stream
        self.id = info["device_id"]
        self.key = info["device_key"]
        self._lines = BufferedByteReceiveStream(stream)

    async def send(self, message: object) -> None:
        await self.send_raw(json.dumps(message).encode() + b"\n")

    async def send_raw(self, data: bytes) -> None:
        with anyio.fail_after(SECONDS):
            await self.stream.send(data)

    async def receive(self) -> dict[str, Any]:
        with anyio.fail_after(SECONDS):
            line = await self._lines.receive_until(b"\n", 1 << 20)
        assert line.isascii()
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    async def authenticate(self, **more: object) -> dict[str, Any]:
        payload = {"device_id": self.id, "device_key": self.key, **more}
        await self.send({"type": "auth", "payload": payload})
        answer = await self.receive()
        assert answer["type"] == "auth_response"
        payload = answer["payload"]
        assert isinstance(payload, dict)
        return payload

    async def data(self, timestamp: float | None = None, **values: object) -> None:
        message: dict[str, object] = {"type": "data", "payload": values}
        if timestamp is not None:
            message["timestamp"] = timestamp
        await self.send(message)

    async def answer(self, status: str = "success", payload: object = None) -> dict[str, Any]:
        """Wait for a command and answer it."""
        command = await self.receive()
        assert command["type"] == "command", command
        await self.respond(command["command_id"], status, payload)
        return command

    async def respond(self, command_id: str, status: str, payload: object = None) -> None:
        message = {"type": "command_response", "command_id": command_id, "status": status}
        await self.send({**message, "payload": payload})

    async def wait_closed(self) -> None:
        """Wait until the platform has closed the connection; what it still says is dropped."""
        with anyio.fail_after(SECONDS):
            try:
                while True:
                    await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass


class Rig:
    """A platform and a client of its management.

    Attributes:
        pushes: what the client was told, as name and params.
    """

    def __init__(self, platform: NovaPlatform, client: Client) -> None:
        self.platform = platform
        self.client = client
        self.pushes: list[tuple[str, Any]] = []
        self._news = anyio.Event()

    async def call(self, method: str, /, **params: object) -> Any:
        return await self.client.call(method, params, timeout=SECONDS)

    async def fails(self, method: str, /, **params: object) -> RpcError:
        """The error of a call that has to fail."""
        try:
            result = await self.call(method, **params)
        except RpcError as error:
            return error
        raise AssertionError(result)

    async def create(self, name: str = "lamp", **sensors: str) -> dict[str, str]:
        """Make a device with sensors, by name and type, and the actuator `light`."""
        info: dict[str, str] = await self.call("device.create", name=name)
        for value_key, type in sensors.items():
            await self.call(
                "sensor.define", device_id=info["device_id"], value_key=value_key, type=type
            )
        await self.call("actuator.define", device_id=info["device_id"], command_key="light")
        return info

    @asynccontextmanager
    async def link(self, info: dict[str, str], host: str = "127.0.0.1") -> AsyncIterator[Device]:
        """A connection that is not authenticated."""
        port = self.platform.port
        async with await anyio.connect_tcp("127.0.0.1", port, local_host=host) as stream:
            yield Device(stream, info)

    @asynccontextmanager
    async def device(self, info: dict[str, str], **more: object) -> AsyncIterator[Device]:
        """A device that is let in."""
        async with self.link(info) as device:
            assert (await device.authenticate(**more))["status"] == "success"
            yield device

    async def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = await self.call("platform.stats")
        return stats

    async def until(self, check: Callable[[], Awaitable[Any]]) -> Any:
        """Ask until the answer is true; the platform does not say when it has read a line."""
        with anyio.fail_after(SECONDS):
            while not (answer := await check()):  # noqa: ASYNC110
                await anyio.sleep(0.002)
        return answer

    async def until_stat(self, name: str, least: int = 1) -> None:
        async def reached() -> bool:
            return bool((await self.stats())[name] >= least)

        await self.until(reached)

    async def push(self, name: str) -> Any:
        """Wait for the next push of a name; those before it are dropped."""
        with anyio.fail_after(SECONDS):
            while True:
                for index, (method, params) in enumerate(self.pushes):
                    if method == name:
                        del self.pushes[: index + 1]
                        return params
                self._news = anyio.Event()
                await self._news.wait()

    async def listen(self, *, task_status: TaskStatus[None]) -> None:
        async with self.client.notifications() as news:
            task_status.started()
            async for each in news:
                self.pushes.append((each.method, each.params))
                self._news.set()


@asynccontextmanager
async def running(
    folder: Path,
    settings: PlatformSettings = NO_PAUSES,
    store: Store | None = None,
    **more: Any,
) -> AsyncIterator[Rig]:
    """A platform on a free port, its database in a folder; `more` is for `NovaPlatform`."""
    store = store or SqliteStore(folder / "nova.db", durable=False)
    url = f"memory://{uuid.uuid4()}"
    async with (
        NovaPlatform(store, **{"port": 0, "settings": settings, **more}) as platform,
        serve(management(platform), url, grace=0.1),
        connect(url) as client,
        anyio.create_task_group() as tasks,
    ):
        rig = Rig(platform, client)
        await tasks.start(rig.listen)
        yield rig
        tasks.cancel_scope.cancel()
