"""The servers that `roundtrip`, `udp`, `uart`, `segments` and `memory` load, each its own process.

`python -m benchmarks._servers KIND BACKEND` serves on a free port of 127.0.0.1, prints that port
and stops when its standard input ends.
"""

import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute, SocketStream
from msgspec import Struct

from . import _fleet

if TYPE_CHECKING:
    from starlette.applications import Starlette

_CHUNK = 65536

_DEVICE_PORT = "BENCHMARK_DEVICE_PORT"

FILES_AT = "BENCHMARK_FILES_AT"
"""The environment variable that tells `files` where to serve, and which folder, after a space."""

MQTT_PORT = "BENCHMARK_MQTT_PORT"
"""The environment variable that names the broker's port to `mqtt` and `mqtt_echo`."""


class Server(Struct, frozen=True):
    """A running server: its process and what it printed (a port, a URL for others, a path)."""

    pid: int
    address: str

    @property
    def port(self) -> int:
        """The bound port on 127.0.0.1."""
        return int(self.address)


@contextmanager
def server(kind: str, backend: str = "asyncio") -> Iterator[Server]:
    """Run a server until the block ends.

    Args:
        kind: `ours`, `pipe` (ours on a Unix socket), `udp` (ours), `big_udp` and `big_tcp`
            (ours, with big results), `uart` (ours on a pty), `http` (ours), `websocket` (ours),
            `gateway` (ours) and `relay`, which lead to another server (see `beside`), `starlette`,
            `websocket_echo`, `echo`, `udp_echo`, `uart_echo`, `aiorpcx`, or, with a broker, `mqtt`
            (ours) and `mqtt_echo`; `files` (ours, see `FILES_AT`); `devices` (ours, a thousand on
            UDP), and `links`, `fleet` and `fleet_with_addresses`, which lead to these.
        backend: `asyncio`, `uvloop` or `trio`, which aiorpcX does not know.

    Raises:
        RuntimeError: the server did not start.
    """
    command = [sys.executable, "-m", "benchmarks._servers", kind, backend]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"the server {kind!r} on {backend} did not start")
        try:
            yield Server(process.pid, address)
        finally:
            process.stdin.close()


@contextmanager
def beside(*ports: int) -> Iterator[None]:
    """Have servers that start in the block lead to others.

    Args:
        ports: of these, on 127.0.0.1.
    """
    os.environ[_DEVICE_PORT] = " ".join(map(str, ports))
    try:
        yield
    finally:
        del os.environ[_DEVICE_PORT]


@contextmanager
def mosquitto() -> Iterator[int]:
    """Run a broker until the block ends; yields its port, 0 where there is none."""
    program = shutil.which("mosquitto")
    if program is None:
        yield 0
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "conf")
        # Without its TCP_NODELAY a bare client waits 40 ms several times a message.
        path.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            + ("user root\n" if os.getuid() == 0 else "")
        )
        quiet = subprocess.DEVNULL
        with subprocess.Popen([program, "-c", str(path)], stdout=quiet, stderr=quiet) as process:
            os.environ[MQTT_PORT] = str(port)
            try:
                _wait_for(port)
                yield port
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError("Mosquitto did not start")


def _connect(ssid: str, psk: str) -> None:
    pass


async def _connect_async(ssid: str, psk: str) -> None:
    pass


async def _ours(url: str = "tcp://127.0.0.1:0") -> None:
    from jsonrpc_iot import Dispatcher, Limits, serve

    dispatcher = Dispatcher()
    dispatcher.method("wifi.connect")(_connect)
    dispatcher.method("wifi.connect_async")(_connect_async)
    dispatcher.method("wifi.connect_idempotent", idempotent=True)(_connect)
    async with serve(dispatcher, url, limits=Limits(peers=100_000)) as running:
        address = running.urls[0]
        has_port = url.startswith(("tcp:", "udp:", "http:", "ws:"))
        _ready(address.rpartition(":")[2].removesuffix("/rpc") if has_port else address)
        await running.wait_closed()


async def _mqtt() -> None:
    url = f"mqtt://127.0.0.1:{os.environ[MQTT_PORT]}/benchmark/{os.getpid()}"
    from jsonrpc_iot import Dispatcher, serve

    dispatcher = Dispatcher()
    dispatcher.method("wifi.connect")(_connect)
    async with serve(dispatcher, url) as running:
        _ready(running.urls[0])
        await running.wait_closed()


async def _mqtt_echo() -> None:
    aiomqtt = importlib.import_module("aiomqtt")
    topic = f"benchmark/{os.getpid()}"
    options = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
    port = int(os.environ[MQTT_PORT])
    async with aiomqtt.Client("127.0.0.1", port, socket_options=options) as client:
        await client.subscribe(topic, 1)
        _ready(topic)
        async for message in client.messages:
            await client.publish(f"{topic}/response", message.payload, 1)


async def _files() -> None:
    from jsonrpc_iot import serve

    from ._files import device

    url, folder = os.environ[FILES_AT].split()
    async with serve(device(Path(folder)), url) as running:
        _ready(running.urls[0])
        await running.wait_closed()


async def _pipe() -> None:
    await _ours(f"pipe://benchmark-{os.getpid()}")


async def _udp() -> None:
    await _ours("udp://127.0.0.1:0")


async def _uart() -> None:
    await _ours("uart+pty://")


async def _uart_echo() -> None:
    from ._uart_echo import serve_echo

    await serve_echo(_ready)


async def _http() -> None:
    await _ours("http://127.0.0.1:0/rpc")


async def _starlette() -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request: Request) -> JSONResponse:
        body = await request.json()
        return JSONResponse({"id": body["id"], "result": None})

    await _uvicorn(Starlette(routes=[Route("/rpc", answer, methods=["POST"])]))


async def _websocket() -> None:
    await _ours("ws://127.0.0.1:0/rpc")


async def _websocket_echo() -> None:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    await _uvicorn(Starlette(routes=[WebSocketRoute("/rpc", echo)]))


async def _uvicorn(app: "Starlette") -> None:
    import uvicorn

    # With the protocol named, asyncio sets TCP_NODELAY; without it each call takes 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    bound.listen(4096)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="websockets-sansio"
    )
    _ready(str(bound.getsockname()[1]))
    await uvicorn.Server(config).serve([bound])


async def _big(url: str) -> None:
    from jsonrpc_iot import Dispatcher, serve

    dispatcher = Dispatcher()
    dispatcher.method("big", idempotent=True)(lambda size: "x" * size)
    async with serve(dispatcher, url) as running:
        _ready(running.urls[0])
        await running.wait_closed()


async def _big_udp() -> None:
    await _big("udp://127.0.0.1:0?segment=1")


async def _big_tcp() -> None:
    await _big("tcp://127.0.0.1:0")


async def _udp_echo() -> None:
    async with await anyio.create_udp_socket(
        family=socket.AF_INET, local_host="127.0.0.1"
    ) as datagrams:
        _ready(str(datagrams.extra(SocketAttribute.local_port)))
        async for packet, (host, port) in datagrams:
            await datagrams.sendto(packet, host, port)


async def _echo() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def answer(stream: SocketStream) -> None:
        async with stream:
            try:
                while True:
                    await stream.send(await stream.receive(_CHUNK))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    async with listener:
        _ready(str(listener.extra(SocketAttribute.local_port)))
        await listener.serve(answer)


async def _gateway() -> None:
    from jsonrpc_iot import Gateway, serve

    gateway = Gateway()
    gateway.add("dev", f"tcp://127.0.0.1:{os.environ[_DEVICE_PORT]}")
    async with gateway, serve(gateway, "tcp://127.0.0.1:0") as running:
        _ready(running.urls[0].rpartition(":")[2])
        await running.wait_closed()


async def _relay() -> None:
    port = int(os.environ[_DEVICE_PORT])
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def pass_on(source: SocketStream, target: SocketStream) -> None:
        async for data in source:
            await target.send(data)

    async def answer(stream: SocketStream) -> None:
        async with (
            stream,
            await anyio.connect_tcp("127.0.0.1", port) as device,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(pass_on, device, stream)
            await pass_on(stream, device)
            tasks.cancel_scope.cancel()

    async with listener:
        _ready(str(listener.extra(SocketAttribute.local_port)))
        await listener.serve(answer)


async def _aiorpcx() -> None:
    aiorpcx = importlib.import_module("aiorpcx")

    async def handle_request(self: object, request: object) -> object:
        return await aiorpcx.handler_invocation(_connect_async, request)()

    unlimited = {"handle_request": handle_request, "cost_hard_limit": 0}
    session = type("Session", (aiorpcx.RPCSession,), unlimited)
    running = await aiorpcx.serve_rs(session, "127.0.0.1", 0)
    _ready(str(running.sockets[0].getsockname()[1]))
    await running.serve_forever()


def _ready(address: str) -> None:
    print(address, flush=True)


async def _devices() -> None:
    await _fleet.devices(_ready)


async def _links() -> None:
    await _fleet.links(os.environ[_DEVICE_PORT].split(), _ready)


async def _fleet_of_devices(url: str = "tcp://127.0.0.1:0") -> None:
    await _fleet.gateway(os.environ[_DEVICE_PORT].split(), url, _ready)


async def _fleet_with_addresses() -> None:
    await _fleet_of_devices("http://127.0.0.1:0/rpc")


def _stop_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve what the command line names."""
    kind, backend = sys.argv[1:]
    serve: Callable[[], Awaitable[None]] = {
        "ours": _ours,
        "pipe": _pipe,
        "udp": _udp,
        "mqtt": _mqtt,
        "mqtt_echo": _mqtt_echo,
        "files": _files,
        "echo": _echo,
        "gateway": _gateway,
        "relay": _relay,
        "devices": _devices,
        "links": _links,
        "fleet": _fleet_of_devices,
        "fleet_with_addresses": _fleet_with_addresses,
        "http": _http,
        "websocket": _websocket,
        "starlette": _starlette,
        "websocket_echo": _websocket_echo,
        "udp_echo": _udp_echo,
        "uart": _uart,
        "uart_echo": _uart_echo,
        "big_udp": _big_udp,
        "big_tcp": _big_tcp,
        "aiorpcx": _aiorpcx,
    }[kind]
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    if backend == "trio":
        anyio.run(serve, backend="trio")
    else:
        anyio.run(serve, backend_options={"use_uvloop": backend == "uvloop"})


if __name__ == "__main__":
    main()
