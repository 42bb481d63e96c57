"""The primitives that sealed links are made of, as they are handed in: nothing here computes."""

from typing import Protocol


class KeyPair(Protocol):
    """A key pair of X25519 (RFC 7748)."""

    @property
    def public(self) -> bytes:
        """The public key: 32 bytes."""

    def exchange(self, public: bytes) -> bytes:
        """What both ends compute, each from its secret and the other's public key.

        Raises:
            ValueError: the other's is a point of low order, with which anybody could compute it.
        """


class Crypto(Protocol):
    """X25519 and ChaCha20-Poly1305 (RFC 8439), and random bytes that nobody can guess."""

    def new_key_pair(self) -> KeyPair:
        """Make a key pair of random bytes."""

    def seal(self, key: bytes, nonce: bytes, data: bytes, header: bytes) -> bytes:
        """Encrypt data; returns them with a tag of 16 bytes over them and the header.

        Args:
            key: 32 bytes.
            nonce: 12 bytes, which never come twice with one key.
            data: is encrypted.
            header: is not, but cannot be changed either.
        """

    def open(self, key: bytes, nonce: bytes, data: bytes, header: bytes) -> bytes | None:
        """Undo `seal`; `None` if the tag is wrong."""

    def random(self, count: int) -> bytes:
        """That many random bytes."""
