"""What both ends of a pairing compute from a short code: SPAKE2, and what is derived from it.

Source: the trust page, section 3. Texts are ASCII, and `+` joins bytes.

- The password is the digits of the code, without dashes and spaces.
- A message is that of the package `spake2`: the letter `A` from the client or `B` from the device,
  then a point of Ed25519: 33 bytes.
- K is what that package makes of them, 32 bytes, with the identities `jsonrpc-iot client` for A
  and `jsonrpc-iot device` for B.
- The transcript is the client's message + the device's: 66 bytes.
- An end confirms with the first 16 bytes of HMAC-SHA256(K, transcript + `client`), or `device`.
- The new key is sealed with ChaCha20-Poly1305 under HMAC-SHA256(K, `key`), with a nonce of 12 zero
  bytes and no associated data: 48 bytes. Each sealing key is used once, so the nonce does no harm,
  and it belongs to one transcript alone, so nothing else need be authenticated.
"""

import hmac
import os
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ..errors import MissingExtra, UsageError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from spake2 import SPAKE2_A, SPAKE2_B  # type: ignore[import-untyped]
except ImportError as error:
    raise MissingExtra("pairing needs: pip install 'jsonrpc-iot[seal]'") from error

End: TypeAlias = Literal["client", "device"]

MESSAGE_BYTES: Final = 33
CONFIRM_BYTES: Final = 16
_FEWEST_DIGITS = 8
_CLIENT, _DEVICE = b"jsonrpc-iot client", b"jsonrpc-iot device"
_NONCE = bytes(12)


class Agreed(Struct, frozen=True):
    """What both ends know in the end, if they had the same code.

    Args:
        client: by which the client shows that it does.
        device: by which the device does.
        wrapping: what the new key is sealed with.
    """

    client: bytes
    device: bytes
    wrapping: bytes

    def __repr__(self) -> str:
        return "Agreed(***)"

    def seal(self, key: bytes) -> bytes:
        """Seal a key; to be done once."""
        return ChaCha20Poly1305(self.wrapping).encrypt(_NONCE, key, None)

    def open(self, sealed: bytes) -> bytes | None:
        """The key that was sealed, `None` if it was not."""
        try:
            return ChaCha20Poly1305(self.wrapping).decrypt(_NONCE, sealed, None)
        except InvalidTag:
            return None


class Exchange:
    """One end of one exchange. This takes milliseconds, or tens of them on small computers.

    Args:
        code: see `digits_of`.
        end: which of the two it is.
        random: gives so many random bytes.

    Raises:
        UsageError: it is no code.

    Attributes:
        message: what the other end has to get.
    """

    def __init__(self, code: str, end: End, *, random: Callable[[int], bytes] = os.urandom) -> None:
        kind = SPAKE2_A if end == "client" else SPAKE2_B
        password = digits_of(code).encode()
        self._spake = kind(password, idA=_CLIENT, idB=_DEVICE, entropy_f=random)
        self._is_client = end == "client"
        self.message: bytes = self._spake.start()

    def finish(self, message: bytes) -> Agreed:
        """What is agreed on; to be done once.

        Args:
            message: that of the other end.

        Raises:
            ValueError: it is none.
        """
        if len(message) != MESSAGE_BYTES:
            raise ValueError(f"a message of SPAKE2 has {MESSAGE_BYTES} bytes")
        try:
            secret: bytes = self._spake.finish(message)
        except Exception as error:  # the package has several, without a root
            raise ValueError("no message of SPAKE2 from the other end") from error
        both = (self.message, message) if self._is_client else (message, self.message)
        transcript = b"".join(both)
        return Agreed(
            hmac.digest(secret, transcript + b"client", "sha256")[:CONFIRM_BYTES],
            hmac.digest(secret, transcript + b"device", "sha256")[:CONFIRM_BYTES],
            hmac.digest(secret, b"key", "sha256"),
        )


def digits_of(code: str) -> str:
    """The digits of a code.

    Args:
        code: at least 8 digits; dashes and spaces are ignored.

    Raises:
        UsageError: it is something else; the text does not quote it.
    """
    digits = code.replace("-", "").replace(" ", "")
    if len(digits) < _FEWEST_DIGITS or not (digits.isascii() and digits.isdecimal()):
        raise UsageError(f"a code for pairing has at least {_FEWEST_DIGITS} digits: 1234-5678")
    return digits
