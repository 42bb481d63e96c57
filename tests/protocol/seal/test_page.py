"""The page for authors of firmware has the bytes that this package makes."""

import json
import re
from collections.abc import Sequence

from jsonrpc_iot.protocol.seal.client import OLD_SECONDS, RENEW_SECONDS, ClientSeal
from jsonrpc_iot.protocol.seal.crypto import KeyPair
from jsonrpc_iot.protocol.seal.packets import BASE64, BASE85, key_id
from jsonrpc_iot.protocol.seal.server import Seat, ServerSeal
from jsonrpc_iot.protocol.seal.window import SIZE
from jsonrpc_iot.trust.crypto import Primitives, X25519Pair
from jsonrpc_iot.trust.principal import Principal
from tests.places import ROOT

from .rig import HERE, ring, shared

PAGE = (ROOT / "docs" / "sealed-links.md").read_text()

KEY = bytes(range(32))
CLIENT_SECRET, SERVER_SECRET = bytes(range(32, 64)), bytes(range(64, 96))
CLIENT_NUMBER, SERVER_NUMBER = bytes.fromhex("c1c2c3c4"), bytes.fromhex("51525354")
INSTANCE = bytes.fromhex("a1a2a3a4a5a6a7a8")
REQUEST, ANSWER = b'{"id":1,"method":"rpc.ping"}', b'{"id":1,"result":true}'


class Chosen(Primitives):
    """Makes the key pair and the number that it is told."""

    def __init__(self, secret: bytes, number: bytes) -> None:
        self._secret = secret
        self._number = number

    def new_key_pair(self) -> KeyPair:
        return X25519Pair(self._secret)

    def random(self, count: int) -> bytes:
        return self._number


def vector() -> dict[str, str]:
    """A hello, a welcome and a data packet each way."""
    client = ClientSeal(Chosen(CLIENT_SECRET, CLIENT_NUMBER), KEY, INSTANCE, retry_seconds=1)
    keys = ring(shared(key=KEY))
    crypto = Chosen(SERVER_SECRET, SERVER_NUMBER)
    server: ServerSeal[str, Principal] = ServerSeal(crypto, keys, max_sessions=1)
    client.begin(0)
    (hello,) = client.poll(0)
    welcome = server.take(hello, HERE, 0)
    assert isinstance(welcome, bytes)
    client.open(welcome, 0)
    there = client.seal(REQUEST)
    assert there is not None
    assert server.take(there, HERE, 0) == (Seat("app", INSTANCE), REQUEST)
    back = server.seal(Seat("app", INSTANCE), ANSWER)
    assert back is not None
    return {
        "shared key": KEY.hex(),
        "key id": key_id(KEY).hex(),
        "client's ephemeral secret": CLIENT_SECRET.hex(),
        "client's number": CLIENT_NUMBER.hex(),
        "instance": INSTANCE.hex(),
        "hello": hello.hex(),
        "server's ephemeral secret": SERVER_SECRET.hex(),
        "server's number": SERVER_NUMBER.hex(),
        "welcome": welcome.hex(),
        "request": REQUEST.decode(),
        "data to the server": there.hex(),
        "the same in Base85": BASE85.wrap(there).decode(),
        "the same in Base64": BASE64.wrap(there).decode(),
        "answer": ANSWER.decode(),
        "data to the client": back[0].hex(),
        "unknown": (b"\4" + SERVER_NUMBER).hex(),
    }


def blocks(language: str) -> Sequence[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_vector_of_the_page() -> None:
    (block,) = blocks("json")

    assert json.loads(block) == vector()


def test_the_figures_of_the_page() -> None:
    for figure in (f"{SIZE:,} numbers", f"{OLD_SECONDS:g} s", f"{RENEW_SECONDS / 3600:g} hours"):
        assert figure in PAGE
