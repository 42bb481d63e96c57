"""One session of a sealed link, after its handshake: keys and packet numbers."""

import struct

from .crypto import Crypto
from .packets import DATA, HEADER_BYTES, PACKETS
from .window import Window

_HEADER = struct.Struct(">B4sI")
_NONCE = struct.Struct("<4xQ")


class SealedSession:
    """What one end needs to seal and to open.

    The keys are kept as they are: an object that enciphers with one takes kilobytes, and is made in
    less than a microsecond.

    Args:
        number: what the other end calls it by, in the packets that it sends.
        theirs: what this end calls it by.
        sends: seals what this end sends.
        receives: opens what it receives.
        since: when it began, in seconds.

    Attributes:
        number: as above.
        theirs: as above.
        since: as above.
        sent: data packets that have left.
        window: which ones have come.
    """

    __slots__ = ("_receives", "_sends", "number", "sent", "since", "theirs", "window")

    def __init__(
        self, number: bytes, theirs: bytes, sends: bytes, receives: bytes, since: float
    ) -> None:
        self.number = number
        self.theirs = theirs
        self.since = since
        self.sent = 0
        self.window = Window()
        self._sends = sends
        self._receives = receives

    def seal(self, crypto: Crypto, message: bytes) -> bytes | None:
        """Make a data packet; `None` when the session has had all that it can have."""
        number = self.sent
        if number >= PACKETS:
            return None
        self.sent = number + 1
        header = _HEADER.pack(DATA, self.theirs, number)
        return header + crypto.seal(self._sends, _NONCE.pack(number), message, header)

    def open(self, crypto: Crypto, packet: bytes, *, in_order: bool = False) -> bytes | None:
        """Open a data packet of this session.

        Args:
            crypto: the primitives.
            packet: as it came.
            in_order: nothing gets lost or comes twice here.

        Returns:
            The message, `None` if the packet was forged, came before, or is too old; and in order,
            if one is missing before it.
        """
        header = packet[:HEADER_BYTES]
        number: int = _HEADER.unpack(header)[2]
        window = self.window
        if not window.admits(number) or (in_order and number != window.top + 1):
            return None
        message = crypto.open(self._receives, _NONCE.pack(number), packet[HEADER_BYTES:], header)
        if message is not None:
            window.note(number)
        return message
