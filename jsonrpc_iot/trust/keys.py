"""Keys: how they are made and written, and what is derived from them.

Source: the trust page, sections 1 and 2.
"""

import hmac
from base64 import b64decode, b64encode, urlsafe_b64encode
from hashlib import sha256
from secrets import token_bytes

from msgspec import Struct

from ..protocol.seal.packets import KEY_BYTES, key_id
from .principal import Principal

__all__ = [
    "KEY_BYTES",
    "SharedKey",
    "bearer_token",
    "key_id",
    "key_text",
    "new_key",
    "read_key",
    "token_digest",
]


class SharedKey(Struct, frozen=True):
    """A key that both ends have, and whom it proves. It shows itself to nobody who prints it.

    Args:
        principal: whom.
        key: the key.
        id: what stands for it where others can read; see `key_id`.
    """

    principal: Principal
    key: bytes
    id: bytes

    def __repr__(self) -> str:
        return f"SharedKey({self.principal.name!r}, id={self.id.hex()})"


def new_key() -> bytes:
    """A key that nobody has had yet."""
    return token_bytes(KEY_BYTES)


def read_key(text: str) -> bytes:
    """A key from the text that stands for it.

    Args:
        text: 32 bytes in Base64 with padding; white space around it is ignored.

    Raises:
        ValueError: it is something else; the text says what to do, and quotes nothing.
    """
    text = text.strip()
    try:
        key = b64decode(text, validate=True)
    except ValueError:  # also for what is not ASCII
        key = b""
    if len(key) != KEY_BYTES or key_text(key) != text:
        raise ValueError(
            "a key is 32 random bytes in Base64, 44 characters, and no passphrase: "
            "`jsonrpc-iot keys new` makes one"
        )
    return key


def key_text(key: bytes) -> str:
    """A key as it is written in files and variables."""
    return b64encode(key).decode()


def bearer_token(key: bytes) -> str:
    """The token that proves a key over HTTP without giving it away: HMAC-SHA256 in Base64url."""
    proof = hmac.digest(key, b"jsonrpc-iot token", "sha256")
    return urlsafe_b64encode(proof).rstrip(b"=").decode()


def token_digest(token: str) -> bytes:
    """The SHA-256 of a token's text, which a keyring may have in its place."""
    return sha256(token.encode(errors="surrogatepass")).digest()
