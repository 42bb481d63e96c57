"""An endpoint that answers whatever a test wants, and shows the console."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn

from jsonrpc_iot import Dispatcher, asgi_app

PATH = "/rpc"


class Hostile:
    """Answers by POST.

    Args:
        results: what methods answer, by their names, as JSON; others are unknown.
    """

    def __init__(self, results: Mapping[str, str]) -> None:
        self.results = results
        self.requests: list[Any] = []
        self._page = asgi_app(Dispatcher(), PATH, console=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http" and scope["method"] == "POST":
            await self._answer(receive, send)
        elif scope["path"].endswith("/openrpc.json"):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._page(scope, receive, send)

    async def _answer(self, receive: Any, send: Any) -> None:
        body, is_more = b"", True
        while is_more:
            part = await receive()
            body += part["body"]
            is_more = part["more_body"]
        request = json.loads(body)
        self.requests.append(request)
        result = self.results.get(request["method"])
        error = '"error":{"code":-32601,"message":"Method not found"}'
        answer = error if result is None else f'"result":{result}'
        reply = f'{{"jsonrpc":"2.0","id":{request["id"]},{answer}}}'
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply.encode()})


class Server(uvicorn.Server):
    """Tells when it listens and when it has ended."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens, self.ended = anyio.Event(), anyio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def run_to_end(self) -> None:
        await self.serve()
        self.ended.set()


@asynccontextmanager
async def serving(hostile: Hostile) -> AsyncIterator[str]:
    """Serve it; gives its URL."""
    server = Server(uvicorn.Config(hostile, port=0, lifespan="off", log_config=None))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run_to_end)
        try:
            with anyio.fail_after(10):
                await server.listens.wait()
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{PATH}"
        finally:
            server.should_exit = True
            with anyio.move_on_after(10, shield=True):
                await server.ended.wait()
