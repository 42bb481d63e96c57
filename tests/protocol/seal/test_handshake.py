"""The handshake is Noise's: published vectors, and what it refuses."""

import pytest

from jsonrpc_iot.protocol.seal.crypto import KeyPair
from jsonrpc_iot.protocol.seal.handshake import Initiator, Responder
from jsonrpc_iot.trust.crypto import Primitives, X25519Pair

from .rig import CRYPTO, KEY, OTHER_KEY

# tests/vectors/cacophony.txt of mcginty/snow, Noise_NNpsk0_25519_ChaChaPoly_SHA256.
PROLOGUE = "4a6f686e2047616c74"
PSK = "54686973206973206d7920417573747269616e20706572737065637469766521"
INITIATOR = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
RESPONDER = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"
MESSAGES = [
    (
        "4c756477696720766f6e204d69736573",
        (
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
            "79b962b8aff8485742ac32f905ba45369e2465fb59e138a93d67a0d1266b6a54"
        ),
    ),
    (
        "4d757272617920526f746862617264",
        (
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
            "d6062704d5a9c422a8e834423f8c1feada7e8d0d910a1a2cd030fb584221e3"
        ),
    ),
    ("462e20412e20486179656b", "e632c3763d7669067383433197a3baddf146e9e70ad4b4e9e59e0f"),
    ("4361726c204d656e676572", "64c6bee32ea91c8474bb4c21d7a700109ad45af77b29764ba5eb1e"),
    (
        "4a65616e2d426170746973746520536179",
        "e2fa0bed0603b62d3ccac2ecabbf3fe33f3e86514909b323361626266cb2471cc8",
    ),
    (
        "457567656e2042f6686d20766f6e2042617765726b",
        "0c01dc9cec1fe4ddd692e8dd32188aa351088dc91183639a53b57aa4692b5ebdef8b8ca111",
    ),
]

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


class Fixed(Primitives):
    """Makes the one key pair that a vector has, and counts."""

    def __init__(self, secret: str) -> None:
        self.pairs: list[KeyPair] = []
        self._secret = secret

    def new_key_pair(self) -> KeyPair:
        self.pairs.append(X25519Pair(bytes.fromhex(self._secret)))
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


def nonce(number: int) -> bytes:
    return bytes(4) + number.to_bytes(8, "little")


def test_the_published_vector() -> None:
    psk, prologue = bytes.fromhex(PSK), bytes.fromhex(PROLOGUE)
    payloads = [bytes.fromhex(payload) for payload, _ in MESSAGES]
    wanted = [bytes.fromhex(message) for _, message in MESSAGES]

    initiator = Initiator(Fixed(INITIATOR), psk, prologue, payloads[0])
    responder = Responder(Fixed(RESPONDER), psk, prologue)
    assert initiator.message == wanted[0]
    assert responder.read(initiator.message) == payloads[0]
    answered = responder.answer(payloads[1])
    assert answered is not None
    message, keys = answered
    assert message == wanted[1]
    assert initiator.finish(message) == (payloads[1], keys)
    for number, (payload, sealed) in enumerate(zip(payloads[2:], wanted[2:], strict=True)):
        key = keys.back if number % 2 else keys.forth
        assert CRYPTO.seal(key, nonce(number // 2), payload, b"") == sealed
        assert CRYPTO.open(key, nonce(number // 2), sealed, b"") == payload


def test_a_wrong_key_shows_before_anything_is_computed_on_the_curve() -> None:
    counting = Fixed(RESPONDER)
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
