"""Signatures of images: Ed25519 over a text that says which image it is, and for what.

The text has four lines, each ended by a line feed, in UTF-8:

    jsonrpc-iot firmware
    the version
    the target, an empty line for any
    the SHA-256 of the image, 64 hex digits in lower case
"""

import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING

from jsonrpc_iot import MissingExtra, UsageError

from .target import Image

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_KEY_BYTES = 32


def signed_text(image: Image) -> bytes:
    """What a signature is over."""
    lines = ("jsonrpc-iot firmware", image.version, image.target, image.sha256)
    return "".join(f"{line}\n" for line in lines).encode()


def sign(image: Image, key: str | os.PathLike[str]) -> bytes:
    """Sign an image.

    Args:
        image: what is known of it.
        key: the file of an Ed25519 private key, in PEM without a password, as OpenSSL writes it.

    Returns:
        The signature, 64 bytes.

    Raises:
        UsageError: there is no such key in the file.
        MissingExtra: the library for it is not installed.
    """
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(key)
    try:
        private = load_pem_private_key(data, password=None)
    except (TypeError, ValueError):  # with a password; no key
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{os.fspath(key)}: no Ed25519 private key in PEM without a password")
    return private.sign(signed_text(image))


class Verifier:
    """Knows whose signature counts.

    Args:
        key: the public key: its 32 bytes, or a file with it in PEM, or in Base64.

    Raises:
        UsageError: it is none.
        MissingExtra: the library for it is not installed.
    """

    def __init__(self, key: bytes | str | os.PathLike[str]) -> None:
        _require()
        self._key = _public_key(key)

    def accepts(self, image: Image, signature: bytes) -> bool:
        """Whether a signature is right."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, signed_text(image))
        except InvalidSignature:
            return False
        return True


def _public_key(key: bytes | str | os.PathLike[str]) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = key if isinstance(key, bytes) else _read(key)
    shown = "the key" if isinstance(key, bytes) else os.fspath(key)
    try:
        if data.startswith(b"-----BEGIN"):
            public = load_pem_public_key(data)
        elif isinstance(key, bytes) and len(key) == _KEY_BYTES:
            public = Ed25519PublicKey.from_public_bytes(key)
        else:
            raw = binascii.a2b_base64(data.strip(), strict_mode=True)
            public = Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise UsageError(f"{shown}: no Ed25519 public key, in PEM or as 32 bytes in Base64")
    return public


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{os.fspath(path)}: {error.strerror}") from None


def _require() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtra("signatures need: pip install 'jsonrpc-iot[seal]'") from None
