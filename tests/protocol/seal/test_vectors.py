"""`docs/vectors/seal.jsonl` has the bytes that this package makes, and those that it drops."""

import base64

import pytest

from jsonrpc_iot.protocol.seal.client import ClientSeal
from jsonrpc_iot.protocol.seal.crypto import KeyPair
from jsonrpc_iot.protocol.seal.handshake import Initiator, Responder
from jsonrpc_iot.protocol.seal.packets import BASE64, BASE85, key_id
from jsonrpc_iot.protocol.seal.server import Seat, ServerSeal
from jsonrpc_iot.trust.crypto import Primitives, X25519Pair
from jsonrpc_iot.trust.exchange import Exchange
from jsonrpc_iot.trust.keyring import bearer_token
from jsonrpc_iot.trust.principal import Principal
from tests.vectors import Vector, read_vectors

from .rig import CRYPTO, HERE, ring, shared

VECTORS = {each["name"]: each for each in read_vectors("seal")}

Ends = tuple[ClientSeal, ServerSeal[str, Principal]]


def of_kind(kind: str) -> pytest.MarkDecorator:
    """Parametrizes a test with the vectors of a kind."""
    found = {name: vector for name, vector in VECTORS.items() if vector["kind"] == kind}
    return pytest.mark.parametrize("vector", found.values(), ids=found)


def take(vector: Vector, member: str) -> bytes:
    return bytes.fromhex(vector[f"{member}_hex"])


class Chosen(Primitives):
    """Makes the key pair and the number that it is told."""

    def __init__(self, secret: bytes, number: bytes = b"") -> None:
        self._secret = secret
        self._number = number

    def new_key_pair(self) -> KeyPair:
        return X25519Pair(self._secret)

    def random(self, count: int) -> bytes:
        return self._number


def new_ends(vector: Vector) -> Ends:
    key = take(vector, "key")
    secrets = [(take(vector, f"{end}_secret"), take(vector, f"{end}_number")) for end in ENDS]
    ours, theirs = (Chosen(*each) for each in secrets)
    client = ClientSeal(ours, key, take(vector, "instance"), retry_seconds=1)
    return client, ServerSeal(theirs, ring(shared(key=key)), max_sessions=1)


ENDS = ("client", "server")


def shake_hands(vector: Vector, client: ClientSeal, server: ServerSeal[str, Principal]) -> None:
    client.begin(0)
    assert client.poll(0) == [take(vector, "hello")]
    assert server.take(take(vector, "hello"), HERE, 0) == take(vector, "welcome")
    assert client.open(take(vector, "welcome"), 0) is None
    assert client.is_open


@of_kind("session")
def test_sessions(vector: Vector) -> None:
    client, server = new_ends(vector)
    assert key_id(take(vector, "key")) == take(vector, "key_id")
    shake_hands(vector, client, server)
    seat = Seat("app", take(vector, "instance"))
    for each in vector["packets"]:
        packet, message = take(each, "packet"), each["message"].encode()
        if each["from"] == "client":
            assert client.seal(message) == packet
            assert server.take(packet, HERE, 0) == (seat, message)
        else:
            assert server.seal(seat, message) == (packet, HERE)
            assert client.open(packet, 0) == message
        assert (BASE85.wrap(packet).decode(), BASE64.wrap(packet).decode()) == (
            each["base85"],
            each["base64"],
        )


@of_kind("session")
def test_the_keys_of_a_session(vector: Vector) -> None:
    hello = take(vector, "hello")
    responder = Responder(Chosen(take(vector, "server_secret")), take(vector, "key"), hello[:14])
    assert responder.read(hello[14:]) == take(vector, "instance")
    answered = responder.answer(take(vector, "server_number"))
    assert answered is not None
    assert answered[1] == (take(vector, "client_seals_with"), take(vector, "server_seals_with"))


@of_kind("dropped")
def test_dropped(vector: Vector) -> None:
    session = VECTORS[vector["of"]]
    client, server = new_ends(session)
    if vector["to"] == "client":
        client.begin(0)
        client.poll(0)
        for packet in vector["packets_hex"]:
            assert client.open(bytes.fromhex(packet), 0) is None
            assert not client.is_open
        return
    shake_hands(session, client, server)
    assert server.take(take(session["packets"][0], "packet"), HERE, 0) is not None
    for packet in vector["packets_hex"]:
        assert server.take(bytes.fromhex(packet), HERE, 0) is None
    again = client.seal(b"first"), client.seal(b"and on")
    assert again[1] is not None
    assert server.take(again[1], HERE, 0) is not None, "nothing has changed"


@of_kind("unknown")
def test_unknown(vector: Vector) -> None:
    _, server = new_ends(VECTORS[vector["of"]])
    assert server.take(take(vector, "packet"), HERE, 0) == take(vector, "reply")


@of_kind("text")
def test_text(vector: Vector) -> None:
    for form, name in ((BASE85, "base85"), (BASE64, "base64")):
        assert form.unwrap(vector[name].encode()) == take(vector, "packet")


@of_kind("noise")
def test_noise(vector: Vector) -> None:
    psk, prologue = take(vector, "psk"), take(vector, "prologue")
    (payload_1, wanted_1), (payload_2, wanted_2), *others = [
        (take(each, "payload"), take(each, "message")) for each in vector["messages"]
    ]
    initiator = Initiator(Chosen(take(vector, "initiator_secret")), psk, prologue, payload_1)
    responder = Responder(Chosen(take(vector, "responder_secret")), psk, prologue)
    assert initiator.message == wanted_1
    assert responder.read(initiator.message) == payload_1
    answered = responder.answer(payload_2)
    assert answered is not None
    message, keys = answered
    assert message == wanted_2
    assert initiator.finish(message) == (payload_2, keys)
    for number, (payload, sealed) in enumerate(others):
        key = keys.back if number % 2 else keys.forth
        nonce = bytes(4) + (number // 2).to_bytes(8, "little")
        assert CRYPTO.seal(key, nonce, payload, b"") == sealed
        assert CRYPTO.open(key, nonce, sealed, b"") == payload


@of_kind("pairing")
def test_pairing(vector: Vector) -> None:
    # A scalar of 64 bytes, high byte first, comes out as it is.
    def scalar(end: str) -> bytes:
        return take(vector, f"{end}_scalar")[::-1].rjust(64, b"\0")

    client = Exchange(vector["code"], "client", random=lambda count: scalar("client"))
    device = Exchange(vector["password"], "device", random=lambda count: scalar("device"))
    assert (client.message, device.message) == (
        take(vector, "client_message"),
        take(vector, "device_message"),
    )
    agreed = client.finish(device.message)
    assert agreed == device.finish(client.message)
    assert agreed.client == take(vector, "client_confirms")
    assert agreed.device == take(vector, "device_confirms")
    assert agreed.wrapping == take(vector, "wrapping")
    assert agreed.seal(take(vector, "new_key")) == take(vector, "sealed_key")
    assert agreed.open(take(vector, "sealed_key")) == take(vector, "new_key")
    first, second = vector["calls"]
    shown = [first["params"]["spake"], first["result"]["spake"], second["params"]["confirm"]]
    shown += [second["result"]["confirm"], second["result"]["key"]]
    names = ("client_message", "device_message", "client_confirms", "device_confirms", "sealed_key")
    assert [base64.b64decode(each) for each in shown] == [take(vector, name) for name in names]


@of_kind("token")
def test_tokens(vector: Vector) -> None:
    assert bearer_token(take(vector, "key")) == vector["token"]
