"""Calls over sockets: our server under load, and clients for information.

Every server is a process of its own; the raw load comes from this one. Pipelined calls are held
against aiorpcX, which speaks newline-ended JSON-RPC over TCP as well, both with the same JSON-RPC
2.0 bytes. Ping-pong is held against an anyio server that sends back what it receives and does
nothing else. A blocking client is held against the asynchronous one behind `BlockingPortal.call`,
both on asyncio.
"""

import asyncio
import importlib
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from types import ModuleType
from typing import TypeAlias

import anyio
from anyio.from_thread import start_blocking_portal

from jsonrpc_iot import connect, connect_sync

from ._harness import Options, Report, Timed, equals, measure, sync_loop
from ._load import REQUEST, REQUEST_2_0, ping_pong, pipelined
from ._servers import mosquitto, server

PIPELINED = "pipelined"
PIPELINED_2_0 = "pipelined, JSON-RPC 2.0"
PIPELINED_ASYNC = "pipelined, JSON-RPC 2.0, async handler"
AIORPCX = "aiorpcX, pipelined, JSON-RPC 2.0"
PING_PONG = "ping-pong"
ECHO = "anyio echo, ping-pong"
SYNC = "connect_sync, tcp, one at a time"
MQTT = "client, mqtt, one at a time"
MQTT_ECHO = "bare aiomqtt echo, one at a time"
PORTAL = "client, tcp, through a bare anyio portal"

_ASYNC_REQUEST = REQUEST_2_0.replace(b"wifi.connect", b"wifi.connect_async")
_PING = REQUEST % 12345
_PONG = b'{"id":12345,"result":null}\n'
_PARAMS = {"ssid": "home-network-2g", "psk": "correct horse battery"}
_TASKS = 100

Calls: TypeAlias = Callable[[int, int], Awaitable[float]]
"""Makes calls in a number of tasks, so many in all, and returns the seconds."""


def run(options: Options) -> Report:
    """Measure and compare."""
    backend = options.backend
    aiorpcx_backend = "asyncio" if backend == "trio" else backend
    report = Report(
        "roundtrip",
        [
            f"wifi.connect over one connection, servers on {backend}, sync handler unless said",
            "aiorpcX takes async handlers only",
            f"client rows: ours and aiorpcX's, each with its own server; {_TASKS} tasks or one",
        ],
    )
    with ExitStack() as stack:
        ours = stack.enter_context(server("ours", backend))
        pipe = stack.enter_context(server("pipe", backend))
        echo = stack.enter_context(server("echo", backend))
        load: dict[str, Timed] = {
            PIPELINED: partial(pipelined, ours.port, REQUEST),
            PIPELINED_2_0: partial(pipelined, ours.port, REQUEST_2_0),
            PIPELINED_ASYNC: partial(pipelined, ours.port, _ASYNC_REQUEST),
        }
        clients = {
            "client, tcp": (backend, partial(our_calls, f"tcp://127.0.0.1:{ours.port}")),
            "client, pipe": (backend, partial(our_calls, pipe.address)),
        }
        if aiorpcx := report.peer("aiorpcx", "aiorpcX"):
            peer = stack.enter_context(server("aiorpcx", aiorpcx_backend))
            load[AIORPCX] = partial(pipelined, peer.port, REQUEST_2_0)
            calls = partial(_aiorpcx_calls, aiorpcx, peer.port)
            clients["aiorpcX client, tcp"] = (aiorpcx_backend, calls)
        load[PING_PONG] = partial(ping_pong, ours.port, _PING, _PONG)
        load[ECHO] = partial(ping_pong, echo.port, _PING, _PING)
        for name, (loop, run_calls) in clients.items():
            load[f"{name}, {_TASKS} tasks"] = partial(on_loop, loop, run_calls, _TASKS)
            load[f"{name}, one at a time"] = partial(on_loop, loop, run_calls, 1)
        url = f"tcp://127.0.0.1:{ours.port}"
        device = stack.enter_context(connect_sync(url))
        portal = stack.enter_context(start_blocking_portal())
        client = stack.enter_context(portal.wrap_async_context_manager(connect(url)))
        right = equals(None)
        load[SYNC] = sync_loop(lambda: device.call("wifi.connect", _PARAMS), right)
        load[PORTAL] = sync_loop(lambda: portal.call(client.call, "wifi.connect", _PARAMS), right)
        if broker := stack.enter_context(mosquitto()):
            at = stack.enter_context(server("mqtt")).address
            topic = stack.enter_context(server("mqtt_echo")).address
            load[MQTT] = partial(on_loop, "asyncio", partial(our_calls, at), 1)
            load[MQTT_ECHO] = partial(on_loop, "asyncio", partial(_mqtt_echoes, broker, topic), 1)
        else:
            report.missing.append("Mosquitto, for MQTT")
        samples = measure(load, rounds=options.rounds(9), seconds=options.seconds(0.5))

    rates = {name: [1 / second for second in seconds] for name, seconds in samples.items()}
    for name, rate in rates.items():
        report.add(name, "calls/s", rate)
    if AIORPCX in rates:
        what = f"{PIPELINED_2_0} / aiorpcX"
        report.compare(what, rates[PIPELINED_2_0], rates[AIORPCX], ">=", 15.0)
        what = f"{PIPELINED_ASYNC} / aiorpcX"
        report.compare(what, rates[PIPELINED_ASYNC], rates[AIORPCX], ">=", 6.0)
    what = "time of a pipelined call, async handler / sync"
    report.compare(what, samples[PIPELINED_ASYNC], samples[PIPELINED_2_0], "<=", 6.0)
    report.compare(f"{PING_PONG} / anyio echo", rates[PING_PONG], rates[ECHO], ">=", 0.85)
    if MQTT in rates:
        report.compare(f"{MQTT} / bare aiomqtt echo", rates[MQTT], rates[MQTT_ECHO], ">=", 0.7)
    what = "time of a call, connect_sync / portal"
    report.compare(what, samples[SYNC], samples[PORTAL], "<=", 1.3)
    return report


def on_loop(backend: str, run_calls: Calls, tasks: int, count: int) -> float:
    """Run a client on an event loop; returns the seconds of its calls."""
    if backend == "trio":
        return anyio.run(run_calls, tasks, count, backend="trio")
    uvloop = {"use_uvloop": backend == "uvloop"}
    return anyio.run(run_calls, tasks, count, backend_options=uvloop)


async def our_calls(url: str, tasks: int, count: int, method: str = "wifi.connect") -> float:
    """Make calls with our client; see `Calls`."""
    async with connect(url) as client:
        return await _time(partial(client.call, method, _PARAMS), tasks, count)


async def _mqtt_echoes(port: int, topic: str, tasks: int, count: int) -> float:
    """The same messages there and back without any RPC."""
    aiomqtt = importlib.import_module("aiomqtt")
    options = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
    async with aiomqtt.Client("127.0.0.1", port, socket_options=options) as client:
        await client.subscribe(f"{topic}/response", 1)
        messages = aiter(client.messages)

        async def echo() -> None:
            await asyncio.gather(client.publish(topic, _PING, 1), anext(messages))

        return await _time(echo, tasks, count)


async def _aiorpcx_calls(aiorpcx: ModuleType, port: int, tasks: int, count: int) -> float:
    async with aiorpcx.connect_rs("127.0.0.1", port) as session:
        return await _time(partial(session.send_request, "wifi.connect", _PARAMS), tasks, count)


async def _time(call: Callable[[], Awaitable[object]], tasks: int, count: int) -> float:
    """Make `count` calls in that many tasks after one that does not count; returns the seconds."""

    async def calls(count: int) -> None:
        for _ in range(count):
            if await call() is not None:
                raise AssertionError("wrong reply")

    await calls(1)
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        for task in range(min(tasks, count)):
            group.start_soon(calls, len(range(task, count, tasks)))
    return anyio.current_time() - start
