"""The primitives of sealed links, over the package `cryptography`."""

import os

from ..errors import MissingExtra
from ..protocol.seal.crypto import Crypto, KeyPair

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
except ImportError as error:  # whoever wants a sealed link is told how to get them
    raise MissingExtra("sealed links need: pip install 'jsonrpc-iot[seal]'") from error


class X25519Pair(KeyPair):
    """A key pair.

    Args:
        secret: 32 bytes, random by default.
    """

    __slots__ = ("_public", "_secret")

    def __init__(self, secret: bytes | None = None) -> None:
        if secret is None:
            self._secret = X25519PrivateKey.generate()
        else:
            self._secret = X25519PrivateKey.from_private_bytes(secret)
        self._public = self._secret.public_key().public_bytes_raw()

    @property
    def public(self) -> bytes:
        """See `KeyPair.public`."""
        return self._public

    def exchange(self, public: bytes) -> bytes:
        """See `KeyPair.exchange`."""
        return self._secret.exchange(X25519PublicKey.from_public_bytes(public))


class Primitives(Crypto):
    """What sealed links compute with."""

    def new_key_pair(self) -> KeyPair:
        """See `Crypto.new_key_pair`."""
        return X25519Pair()

    def seal(self, key: bytes, nonce: bytes, data: bytes, header: bytes) -> bytes:
        """See `Crypto.seal`."""
        return ChaCha20Poly1305(key).encrypt(nonce, data, header)

    def open(self, key: bytes, nonce: bytes, data: bytes, header: bytes) -> bytes | None:
        """See `Crypto.open`."""
        try:
            return ChaCha20Poly1305(key).decrypt(nonce, data, header)
        except InvalidTag:
            return None

    def random(self, count: int) -> bytes:
        """See `Crypto.random`."""
        return os.urandom(count)
