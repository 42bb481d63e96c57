"""Both ends of a sealed link without anything between them, and time as the test likes it."""

from collections.abc import Callable

from msgspec import Struct

from jsonrpc_iot.protocol.seal.client import ClientSeal
from jsonrpc_iot.protocol.seal.packets import key_id
from jsonrpc_iot.protocol.seal.server import Seat, ServerSeal
from jsonrpc_iot.trust.crypto import Primitives
from jsonrpc_iot.trust.principal import Principal

CRYPTO = Primitives()
KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))
INSTANCE = b"client 1"
HERE, THERE = "here", "there"


class Shared(Struct, frozen=True):
    principal: Principal
    key: bytes
    id: bytes


def shared(name: str = "app", key: bytes = KEY) -> Shared:
    return Shared(Principal(name, {"*"}, "key"), key, key_id(key))


def ring(*keys: Shared) -> Callable[[bytes], Shared | None]:
    return {each.id: each for each in keys}.get


def new_server(
    *keys: Shared, sessions: int = 100, in_order: bool = False
) -> ServerSeal[str, Principal]:
    return ServerSeal(
        CRYPTO, ring(*(keys or (shared(),))), max_sessions=sessions, in_order=in_order
    )


def new_client(
    key: bytes = KEY, instance: bytes = INSTANCE, *, in_order: bool = False
) -> ClientSeal:
    return ClientSeal(CRYPTO, key, instance, retry_seconds=0.5, in_order=in_order)


def greet(
    client: ClientSeal, server: ServerSeal[str, Principal], now: float = 0.0, at: str = HERE
) -> tuple[bytes, bytes]:
    """Let the two shake hands; gives the hello and the welcome."""
    client.begin(now)
    (hello,) = client.poll(now)
    welcome = server.take(hello, at, now)
    assert isinstance(welcome, bytes)
    assert client.open(welcome, now) is None
    return hello, welcome


def sealed(client: ClientSeal, message: bytes) -> bytes:
    packet = client.seal(message)
    assert packet is not None
    return packet


def linked(now: float = 0.0) -> tuple[ClientSeal, ServerSeal[str, Principal], Seat]:
    """Both ends, and the seat of a client that is proved."""
    client, server = new_client(), new_server()
    greet(client, server, now)
    taken = server.take(sealed(client, b"hi"), HERE, now)
    assert isinstance(taken, tuple)
    assert taken[1] == b"hi"
    return client, server, taken[0]


def answer(server: ServerSeal[str, Principal], seat: Seat, message: bytes) -> bytes:
    found = server.seal(seat, message)
    assert found is not None
    return found[0]
