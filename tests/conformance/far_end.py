"""A scripted server: reads what the real client sends, and answers with any bytes it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
from anyio.abc import SocketAttribute, TaskGroup

from jsonrpc_iot import Client, Dispatcher, connect
from jsonrpc_iot.testing.conformance.replies import strict_json

from .wire import StreamWire, accept

SECONDS = 5.0


class OpenCall:
    """A call in progress, to be answered while it waits."""

    def __init__(self) -> None:
        self._done = anyio.Event()
        self._result: object = None
        self._error: Exception | None = None

    async def run(self, client: Client, method: str, params: Any, options: dict[str, Any]) -> None:
        try:
            self._result = await client.call(method, params, **options)
        except Exception as error:  # noqa: BLE001 - `result` raises it
            self._error = error
        self._done.set()

    @property
    def done(self) -> bool:
        """Whether the call has returned or raised."""
        return self._done.is_set()

    async def result(self) -> object:
        """Wait for the call and return or raise what it did."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result


class FarEnd:
    """The server's end of the client's connection."""

    def __init__(self, client: Client, wire: StreamWire, task_group: TaskGroup) -> None:
        self.client = client
        self.wire = wire
        self.ping: dict[str, Any] = {}
        """The request that the client began with, if it asked for extensions."""
        self._task_group = task_group
        self._barriers = 0

    async def receive(self) -> dict[str, Any]:
        """The client's next message."""
        value = strict_json(await self.wire.receive())
        assert isinstance(value, dict), value
        return value

    async def send(self, text: str) -> None:
        """Send one message, which need not be valid."""
        await self.wire.send(text.encode())

    def start(self, method: str = "get", params: Any = None, **options: Any) -> OpenCall:
        """Let the client begin a call."""
        call = OpenCall()
        self._task_group.start_soon(call.run, self.client, method, params, options)
        return call

    async def opened(self, method: str = "get", params: Any = None, **options: Any) -> "Opened":
        """Let the client begin a call, and receive its request."""
        call = self.start(method, params, **options)
        request = await self.receive()
        assert request["method"] == method
        return Opened(call, request)

    async def expect_silence(self) -> None:
        """The client has handled all that we sent, and has said nothing.

        What shows it is an invalid message, which must be answered and changes no dialect.
        """
        self._barriers += 1
        id = f"barrier-{self._barriers}"
        await self.send(f'{{"id":"{id}","method":0}}')
        answer = await self.receive()
        assert (answer["id"], answer["error"]["code"]) == (id, -32600), answer


class Opened:
    """A call in progress whose request has arrived."""

    def __init__(self, call: OpenCall, request: dict[str, Any]) -> None:
        self.call = call
        self.request = request
        self.id = request["id"]
        assert isinstance(self.id, int)


Ping = Literal["true", "refused", "open"]


@asynccontextmanager
async def far_end(
    ping: Ping | None = None, dispatcher: Dispatcher | None = None, options: str = "", **more: Any
) -> AsyncIterator[FarEnd]:
    """Connect the real client to a scripted end.

    Args:
        ping: how the client's first message, `rpc.ping`, is answered; without it the client is
            told that the server knows no extensions, and asks nothing.
        dispatcher: what the client serves.
        options: options of the URL.
        more: further arguments of `connect`.
    """
    if ping is None:
        more.setdefault("extensions", False)
    with anyio.fail_after(SECONDS):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as task_group,
        ):
            url = f"tcp://127.0.0.1:{listener.extra(SocketAttribute.local_port)}{options}"
            async with connect(url, dispatcher=dispatcher, **more) as client:
                wire = StreamWire(await accept(listener))
                far = FarEnd(client, wire, task_group)
                if ping is not None:
                    await _answer_ping(far, ping)
                try:
                    yield far
                finally:
                    await wire.aclose()


async def _answer_ping(far: FarEnd, ping: Ping) -> None:
    far.ping = request = await far.receive()
    assert request["method"] == "rpc.ping"
    assert set(request) <= {"jsonrpc", "id", "method", "params"}
    if ping == "true":
        await far.send(f'{{"id":{request["id"]},"result":true}}')
    elif ping == "refused":
        error = '{"code":-32601,"message":"Method not found"}'
        await far.send(f'{{"id":{request["id"]},"error":{error}}}')
    await far.expect_silence()
