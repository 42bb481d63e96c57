"""Noise_NNpsk0_25519_ChaChaPoly_SHA256: two messages, after which both ends have fresh keys.

    -> psk, e
    <- e, ee

Message 1 is sealed with the shared key alone, so who has another one is found out by its tag,
before anything is computed on the curve. The keys of the session come from both ends' ephemeral
keys as well: who learns the shared key later cannot read what was said.

Source: The Noise Protocol Framework, revision 34, sections 5, 7.5 and 9.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import NamedTuple

from .crypto import Crypto

PUBLIC_BYTES = 32
TAG_BYTES = 16
OVERHEAD = PUBLIC_BYTES + TAG_BYTES
"""What a message has beside its payload, in bytes."""

_START = hashlib.sha256(b"Noise_NNpsk0_25519_ChaChaPoly_SHA256").digest()
_FIRST = bytes(12)
"""The only nonce that each key of the handshake has."""


class Keys(NamedTuple):
    """What the two ends of a session seal with, 32 bytes each.

    Attributes:
        forth: from the end that began.
        back: from the other one.
    """

    forth: bytes
    back: bytes


class _Symmetric:
    """What both ends have in common at each step."""

    __slots__ = ("_chaining", "_crypto", "_hash", "_key")

    def __init__(self, crypto: Crypto, psk: bytes, prologue: bytes) -> None:
        self._crypto = crypto
        self._hash = _START
        self._mix_hash(prologue)
        self._chaining, middle, self._key = _from_psk(psk)
        self._mix_hash(middle)

    def mix_ephemeral(self, public: bytes) -> None:
        """Take in an ephemeral key, which counts for the keys too where there is a shared one."""
        self._mix_hash(public)
        self.mix_key(public)

    def mix_key(self, secret: bytes) -> None:
        self._chaining, self._key = _derive(self._chaining, secret, 2)

    def seal(self, payload: bytes) -> bytes:
        sealed = self._crypto.seal(self._key, _FIRST, payload, self._hash)
        self._mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes | None:
        payload = self._crypto.open(self._key, _FIRST, sealed, self._hash)
        self._mix_hash(sealed)
        return payload

    def split(self) -> Keys:
        return Keys(*_derive(self._chaining, b"", 2))

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()


class Initiator:
    """The end that begins.

    Args:
        crypto: the primitives.
        psk: the shared key, 32 bytes.
        prologue: what both ends have seen of each other so far.
        payload: travels in message 1.

    Attributes:
        message: message 1.
    """

    __slots__ = ("_ephemeral", "_state", "message")

    def __init__(self, crypto: Crypto, psk: bytes, prologue: bytes, payload: bytes) -> None:
        self._state = _Symmetric(crypto, psk, prologue)
        self._ephemeral = crypto.new_key_pair()
        self._state.mix_ephemeral(self._ephemeral.public)
        self.message = self._ephemeral.public + self._state.seal(payload)

    def finish(self, message: bytes) -> tuple[bytes, Keys] | None:
        """Take message 2; one that is none leaves the handshake as it was.

        Returns:
            Its payload and the keys of the session, `None` if it is no answer to message 1.
        """
        public, sealed = message[:PUBLIC_BYTES], message[PUBLIC_BYTES:]
        try:
            secret = self._ephemeral.exchange(public)
        except ValueError:
            return None
        state = _copy(self._state)
        state.mix_ephemeral(public)
        state.mix_key(secret)
        payload = state.open(sealed)
        if payload is None:
            return None
        return payload, state.split()


class Responder:
    """The end that answers.

    Args:
        crypto: the primitives.
        psk: the shared key, 32 bytes.
        prologue: what both ends have seen of each other so far.
    """

    __slots__ = ("_crypto", "_remote", "_state")

    def __init__(self, crypto: Crypto, psk: bytes, prologue: bytes) -> None:
        self._crypto = crypto
        self._state = _Symmetric(crypto, psk, prologue)
        self._remote = b""

    def read(self, message: bytes) -> bytes | None:
        """Take message 1, once.

        Returns:
            Its payload, `None` if who made it has another key, or another prologue.
        """
        self._remote = message[:PUBLIC_BYTES]
        self._state.mix_ephemeral(self._remote)
        return self._state.open(message[PUBLIC_BYTES:])

    def answer(self, payload: bytes) -> tuple[bytes, Keys] | None:
        """Make message 2, once; only here is anything computed on the curve.

        Returns:
            The message and the keys of the session, `None` if the other end's ephemeral key is a
            point of low order.
        """
        ephemeral = self._crypto.new_key_pair()
        try:
            secret = ephemeral.exchange(self._remote)
        except ValueError:
            return None
        self._state.mix_ephemeral(ephemeral.public)
        self._state.mix_key(secret)
        message = ephemeral.public + self._state.seal(payload)
        return message, self._state.split()


def _copy(state: _Symmetric) -> _Symmetric:
    """The same state, so that a message that turns out to be none has changed nothing."""
    copied = _Symmetric.__new__(_Symmetric)
    for name in _Symmetric.__slots__:
        setattr(copied, name, getattr(state, name))
    return copied


@lru_cache(64)
def _from_psk(psk: bytes) -> tuple[bytes, ...]:
    """What all handshakes with a key begin with, which is half the work on a forged one."""
    return tuple(_derive(_START, psk, 3))


def _derive(chaining: bytes, secret: bytes, count: int) -> list[bytes]:
    """Noise's HKDF (section 4.3): that many keys of 32 bytes."""
    extracted = hmac.digest(chaining, secret, "sha256")
    keys = [b""]
    for number in range(1, count + 1):
        keys.append(hmac.digest(extracted, keys[-1] + bytes([number]), "sha256"))
    return keys[1:]
