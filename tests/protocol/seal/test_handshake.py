"""What the handshake refuses; `test_vectors` has the bytes that Noise has published."""

import pytest

from jsonrpc_iot.protocol.seal.crypto import KeyPair
from jsonrpc_iot.protocol.seal.handshake import Initiator, Responder
from jsonrpc_iot.trust.crypto import Primitives, X25519Pair

from .rig import CRYPTO, KEY, OTHER_KEY

# Points of low order, RFC 7748, section 6.1, and what it says of them: all give a secret of zeros.
LOW_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


class Counting(Primitives):
    """Counts the key pairs that are made."""

    def __init__(self) -> None:
        self.pairs: list[KeyPair] = []

    def new_key_pair(self) -> KeyPair:
        self.pairs.append(X25519Pair())
        return self.pairs[-1]


class Chosen:
    """A key pair that sends another public key than its own."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    def exchange(self, public: bytes) -> bytes:
        return bytes(32)


class Choosing(Primitives):
    def __init__(self, public: str) -> None:
        self._public = bytes.fromhex(public)

    def new_key_pair(self) -> KeyPair:
        return Chosen(self._public)


def test_a_wrong_key_shows_before_anything_is_computed_on_the_curve() -> None:
    counting = Counting()
    message = Initiator(CRYPTO, OTHER_KEY, b"prologue", b"payload").message

    assert Responder(counting, KEY, b"prologue").read(message) is None
    assert counting.pairs == []


def test_another_prologue_is_refused() -> None:
    message = Initiator(CRYPTO, KEY, b"prologue", b"payload").message

    assert Responder(CRYPTO, KEY, b"Prologue").read(message) is None


@pytest.mark.parametrize("point", LOW_ORDER)
def test_points_of_low_order_are_refused_by_both_ends(point: str) -> None:
    evil = Initiator(Choosing(point), KEY, b"", b"")
    responder = Responder(CRYPTO, KEY, b"")
    assert responder.read(evil.message) == b""
    assert responder.answer(b"") is None

    initiator = Initiator(CRYPTO, KEY, b"", b"")
    wicked = Responder(Choosing(point), KEY, b"")
    assert wicked.read(initiator.message) == b""
    answered = wicked.answer(b"")
    assert answered is not None
    assert initiator.finish(answered[0]) is None


def test_a_message_2_that_is_none_leaves_the_handshake_as_it_was() -> None:
    initiator, responder = Initiator(CRYPTO, KEY, b"", b"in"), Responder(CRYPTO, KEY, b"")
    assert responder.read(initiator.message) == b"in"
    answered = responder.answer(b"out")
    assert answered is not None
    message, keys = answered

    for place in range(len(message)):
        wrong = bytearray(message)
        wrong[place] ^= 1
        assert initiator.finish(bytes(wrong)) is None
    for size in range(len(message)):
        assert initiator.finish(message[:size]) is None
    assert initiator.finish(message) == (b"out", keys)
