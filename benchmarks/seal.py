"""Sealed links: what a packet and a handshake take, and what a call over UDP takes more.

A hello with a wrong key is one that names a key of the server and was made with another. Memory is
what a session takes on the server, as Python counts it: with its seat, and without a channel.
"""

import os
import socket
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Final, NamedTuple

import anyio
from anyio.from_thread import start_blocking_portal

from jsonrpc_iot import Client, Dispatcher, connect, serve
from jsonrpc_iot.protocol.seal.client import ClientSeal
from jsonrpc_iot.protocol.seal.crypto import KeyPair
from jsonrpc_iot.protocol.seal.packets import key_id
from jsonrpc_iot.protocol.seal.server import ServerSeal
from jsonrpc_iot.trust.crypto import Primitives
from jsonrpc_iot.trust.principal import Principal

from ._harness import Options, Report, Timed, measure, sync_loop
from ._udp_load import PING, TRUE, udp_link

BOTH: Final = "seal and open 200 bytes"
CLIENT: Final = "handshake, the client's CPU"
SERVER: Final = "handshake, the server's CPU"
WRONG: Final = "a hello with a wrong key, dropped"

PLAIN: Final = "a call over UDP, plain"
SEALED: Final = "a call over UDP, sealed"

_KEY = bytes(range(32))
_KEY_NAME = "BENCHMARK_PSK"
"""The environment variable that holds it."""
_SESSIONS = 10_000
_crypto = Primitives()
_Server = ServerSeal[str, Principal]


class _Key(NamedTuple):
    principal: Principal
    key: bytes
    id: bytes


def run(options: Options) -> Report:
    """Measure and compare."""
    sessions = _SESSIONS // 50 if options.quick else _SESSIONS
    report = Report(
        "seal", [f"all but the calls without I/O; {sessions:,} sessions for the memory of one"]
    )
    client, server = _client(), _server()
    _join(client, server)
    message = bytes(200)

    def there() -> object:
        packet = client.seal(message)
        assert packet is not None
        taken = server.take(packet, "here", 0.0)
        assert isinstance(taken, tuple)
        return taken[1]

    contenders: dict[str, Timed] = {
        BOTH: sync_loop(there, lambda got: _check(got == message)),
        CLIENT: sync_loop(_shake_as_client(), _check),
        SERVER: sync_loop(_shake_as_server(), lambda welcome: _check(isinstance(welcome, bytes))),
        WRONG: sync_loop(_refuse(), lambda answer: _check(answer is None)),
    }
    samples = measure(contenders, rounds=options.rounds(9), seconds=options.seconds(0.1))
    for name, seconds in samples.items():
        report.add(name, "us", [each * 1e6 for each in seconds])
    report.compare(f"{BOTH} / 8 us", *_held(samples[BOTH], 8e-6), "<=", 1.0)
    report.compare(f"{CLIENT} / 0.5 ms", *_held(samples[CLIENT], 5e-4), "<=", 1.0)
    report.compare(f"{SERVER} / 0.5 ms", *_held(samples[SERVER], 5e-4), "<=", 1.0)
    rates = [1 / each for each in samples[WRONG]]
    report.add("hellos with a wrong key", "messages/s", rates)
    report.compare("hellos with a wrong key / 50,000 a second", *_held(rates, 5e4), ">=", 1.0)
    calls = _calls(options)
    for name, seconds in calls.items():
        report.add(name, "us", [each * 1e6 for each in seconds])
    report.compare("a call over UDP: sealed / plain", calls[SEALED], calls[PLAIN], "<=", 1.35)
    sizes = [_memory(sessions) for _ in range(options.rounds(3))]
    report.add("an idle session on the server", "KiB", [size / 1024 for size in sizes])
    peers = sessions // 2
    sizes = [anyio.run(_peer_memory, peers) for _ in range(options.rounds(3))]
    report.add("an idle peer over UDP, sealed", "KiB", [size / 1024 for size in sizes])
    report.compare("an idle peer over UDP, sealed / 4 KiB", *_held(sizes, 4096.0), "<=", 1.0)
    return report


def _held(samples: list[float], bound: float) -> tuple[list[float], list[float]]:
    return samples, [bound] * len(samples)


def _check(is_right: object) -> None:
    if not is_right:
        raise AssertionError("a packet was not taken as it should be")


def _client(key: bytes = _KEY, instance: bytes = bytes(8)) -> ClientSeal:
    return ClientSeal(_crypto, key, instance, retry_seconds=0.5)


def _server() -> _Server:
    key = _Key(Principal("app", {"*"}, "key"), _KEY, key_id(_KEY))
    return ServerSeal(_crypto, {key.id: key}.get, max_sessions=1_000_000)


def _hello(client: ClientSeal) -> bytes:
    client.begin(0.0)
    return client.poll(0.0)[0]


def _join(client: ClientSeal, server: _Server) -> None:
    welcome = server.take(_hello(client), "here", 0.0)
    assert isinstance(welcome, bytes)
    client.open(welcome, 0.0)
    packet = client.seal(b"hello")
    assert packet is not None
    server.take(packet, "here", 0.0)


class _Repeating(Primitives):
    """Makes a key pair each time, but gives the first: one welcome fits all hellos then."""

    def __init__(self) -> None:
        self._pair = super().new_key_pair()

    def new_key_pair(self) -> KeyPair:
        super().new_key_pair()  # for what it costs
        return self._pair

    def random(self, count: int) -> bytes:
        return bytes(count)


def _shake_as_client() -> Callable[[], bool]:
    """The client's half: make a hello, take its welcome."""
    crypto = _Repeating()

    def new() -> ClientSeal:
        return ClientSeal(crypto, _KEY, bytes(8), retry_seconds=0.5)

    hello = _hello(new())
    welcome = _server().take(hello, "here", 0.0)
    assert isinstance(welcome, bytes)

    def shake() -> bool:
        client = new()
        _hello(client)
        client.open(welcome, 0.0)
        return client.is_open

    return shake


def _shake_as_server() -> Callable[[], object]:
    """The server's half: take a hello, of which nothing is known any more, and make a welcome."""
    hello = _hello(_client())
    numbers = count(1)
    server = _server()

    def shake() -> object:
        now = 100.0 * next(numbers)  # so long after the last one that it is computed again
        server.expire(now)
        return server.take(hello, "here", now)

    return shake


def _refuse() -> Callable[[], object]:
    wrong = _hello(_client(bytes(32)))
    posing = wrong[:6] + key_id(_KEY) + wrong[14:]
    return partial(_server().take, posing, "here", 0.0)


def _calls(options: Options) -> dict[str, list[float]]:
    """Seconds of a call, plain and sealed by turns, both ends on one event loop."""
    os.environ[_KEY_NAME] = b64encode(_KEY).decode()
    device = Dispatcher()
    device.method("echo")(lambda value: value)
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        contenders: dict[str, Timed] = {}
        for name, option in ((PLAIN, ""), (SEALED, f"?psk=env:{_KEY_NAME}")):
            serving = serve(device, f"udp://127.0.0.1:0{option}")
            server = stack.enter_context(portal.wrap_async_context_manager(serving))
            connecting = connect(server.urls[0])
            client = stack.enter_context(portal.wrap_async_context_manager(connecting))
            contenders[name] = partial(portal.call, _call, client)
        return measure(contenders, rounds=options.rounds(15), seconds=options.seconds(0.1))


async def _call(client: Client, count: int) -> float:
    begin = anyio.current_time()
    for _ in range(count):
        await client.call("echo", {"value": "x"})
    return anyio.current_time() - begin


def _memory(sessions: int) -> float:
    """Bytes of one session whose client is silent."""
    server = _server()
    _join(_client(), server)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(sessions):
            _join(_client(instance=b"%8d" % number), server)
        server.expire(100.0)
        return (tracemalloc.get_traced_memory()[0] - before) / sessions
    finally:
        tracemalloc.stop()


async def _peer_memory(peers: int) -> float:
    """Bytes of one client of a server over UDP, with its session, after an `rpc.ping`."""
    os.environ[_KEY_NAME] = b64encode(_KEY).decode()
    async with serve(Dispatcher(), f"udp://127.0.0.1:0?psk=env:{_KEY_NAME}") as server:
        with udp_link(int(server.urls[0].partition("?")[0].rpartition(":")[2])) as raw:
            raw.setblocking(False)
            await _ping(raw, -1)
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                for number in range(peers):
                    await _ping(raw, number)
                return (tracemalloc.get_traced_memory()[0] - before) / peers
            finally:
                tracemalloc.stop()


async def _ping(raw: socket.socket, number: int) -> None:
    """Shake hands as a client of that number, and make a call."""
    client = _client(instance=b"%8d" % number)
    raw.send(_hello(client))
    await anyio.wait_readable(raw)
    client.open(raw.recv(1 << 16), 0.0)
    packet = client.seal(PING % 1)
    assert packet is not None
    raw.send(packet)
    await anyio.wait_readable(raw)
    if client.open(raw.recv(1 << 16), 0.0) != TRUE % 1:
        raise AssertionError("a sealed call was not answered")
