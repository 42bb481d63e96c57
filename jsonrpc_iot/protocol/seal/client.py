"""The client's end of a sealed link: it begins each session, and begins another one in time.

Told the time, like all of the protocol. The rules:

- A hello is repeated, as it is, until its welcome comes; each pause is twice the one before.
- After 2^31 packets or 24 hours, and when the server says that it does not know the session, a new
  handshake is made beside the old session, which is used until the new one is there. What the
  server says there anybody can forge, so that costs a hello a second at most.
- The server counts a session once a data packet of it has opened, so one that replaces another is
  proved to it at once, by a packet without a message, and again if it goes on with the old one.
- The old session opens packets for 30 s more, and until something has come over the new one.
"""

from math import inf

from .crypto import Crypto
from .handshake import Initiator
from .packets import (
    NUMBER_BYTES,
    PACKETS,
    begin_hello,
    is_data,
    is_unknown,
    is_welcome,
    key_id,
    receiver_of,
)
from .session import SealedSession

OLD_SECONDS = 30.0
RENEW_PACKETS = PACKETS // 2
RENEW_SECONDS = 24 * 3600.0

_LEAST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class _Handshake:
    """A hello that waits for its welcome."""

    __slots__ = ("due", "initiator", "number", "packet", "pause")

    def __init__(self, crypto: Crypto, key: bytes, instance: bytes, due: float, pause: float):
        self.number = crypto.random(NUMBER_BYTES)
        prologue = begin_hello(self.number, key_id(key))
        self.initiator = Initiator(crypto, key, prologue, instance)
        self.packet = prologue + self.initiator.message
        self.due = due
        self.pause = pause


class ClientSeal:
    """What a client seals with, and opens with.

    Args:
        crypto: the primitives.
        key: the shared key.
        instance: tells this client from others with the same key, 8 bytes; the same for all its
            links.
        retry_seconds: the first pause before a hello is repeated.
        in_order: nothing gets lost or comes twice on this link, so no hello is repeated, and no
            packet may be missing.

    Attributes:
        due: when `poll` has something next, unless something comes before.
        hellos: how many have been sent.
        dropped: packets that did not open.
    """

    def __init__(
        self,
        crypto: Crypto,
        key: bytes,
        instance: bytes,
        *,
        retry_seconds: float,
        in_order: bool = False,
    ) -> None:
        self._crypto = crypto
        self._key = key
        self._instance = instance
        self._retry_seconds = retry_seconds
        self._in_order = in_order
        self._handshake: _Handshake | None = None
        self._session: SealedSession | None = None
        self._old: SealedSession | None = None
        self._old_until = -inf
        self._is_confirmed = False  # something has come over the session
        self._doubted_at = -inf  # when an unknown led to a handshake
        self._proof_due = inf
        self.due = inf
        self.hellos = 0
        self.dropped = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a session, so that messages can be sealed."""
        return self._session is not None

    @property
    def is_changing(self) -> bool:
        """Whether `poll` has something before long, though nothing comes."""
        return self._handshake is not None or self._proof_due < inf

    def begin(self, now: float) -> None:
        """Begin a handshake, beside the session if there is one; `poll` gives its packets.

        Args:
            now: seconds, or when its hello is to leave.
        """
        pause = self._retry_seconds if self._session is None else _LEAST_PAUSE
        self._handshake = _Handshake(self._crypto, self._key, self._instance, now, pause)
        self._reckon()

    def insist(self, now: float) -> None:
        """Repeat the hello that waits for its welcome at once: somebody seems to be there."""
        if self._handshake is not None and not self._in_order:
            self._handshake.due, self._handshake.pause = now, self._retry_seconds
            self._reckon()

    def poll(self, now: float) -> list[bytes]:
        """The packets without a message that are due: a hello, or the proof of a new session."""
        self._forget_old(now)
        if self._handshake is None and self._is_worn_out(now):
            self.begin(now)
        packets = []
        handshake = self._handshake
        if handshake is not None and handshake.due <= now:
            packets.append(handshake.packet)
            self.hellos += 1
            handshake.due = inf if self._in_order else now + handshake.pause
            handshake.pause = min(2 * handshake.pause, _LONGEST_PAUSE)
        if self._proof_due <= now:
            self._proof_due = inf
            packets += filter(None, (self.seal(b""),))
        self._reckon()
        return packets

    def seal(self, message: bytes) -> bytes | None:
        """Make a packet of a message; `None` where there is no session, or it is used up."""
        session = self._session
        if session is None:
            return None
        if session.sent == RENEW_PACKETS:
            self._reckon()
        return session.seal(self._crypto, message)

    def prove(self, now: float) -> None:
        """Have the server count the session at once, before there is a message for it."""
        self._proof_due = now
        self._reckon()

    def open(self, packet: bytes, now: float) -> bytes | None:
        """Take a packet.

        Returns:
            Its message; `None` if it has none, or is no packet of this link.
        """
        if is_data(packet):
            message = self._open_data(packet, now)
            if message is None:
                self.dropped += 1
            return message or None
        if is_welcome(packet):
            self._take_welcome(packet, now)
        elif is_unknown(packet) and not self._in_order:
            self._take_unknown(packet, now)
        else:
            self.dropped += 1
        return None

    def _open_data(self, packet: bytes, now: float) -> bytes | None:
        number = receiver_of(packet)
        if self._session is not None and number == self._session.number:
            message = self._session.open(self._crypto, packet, in_order=self._in_order)
            self._is_confirmed = self._is_confirmed or message is not None
            if self._session.window.top >= RENEW_PACKETS:
                self._reckon()
            return message
        self._forget_old(now)
        if self._old is None or number != self._old.number:
            return None
        message = self._old.open(self._crypto, packet, in_order=self._in_order)
        if message is not None and not self._is_confirmed and self._proof_due == inf:
            # The server has not heard of the new session yet; a packet that overtook the proof
            # says so too, hence the pause.
            self._proof_due = now + self._retry_seconds
            self._reckon()
        return message

    def _take_welcome(self, packet: bytes, now: float) -> None:
        handshake = self._handshake
        if handshake is None or receiver_of(packet) != handshake.number:
            return  # it has come already
        finished = handshake.initiator.finish(packet[1 + NUMBER_BYTES :])
        if finished is None:
            self.dropped += 1
            return
        theirs, keys = finished
        is_first = self._session is None
        self._old, self._old_until = self._session, now + OLD_SECONDS
        self._session = SealedSession(handshake.number, theirs, keys.forth, keys.back, now)
        self._handshake = None
        self._is_confirmed = False
        self._proof_due = inf if is_first else now
        self._reckon()

    def _take_unknown(self, packet: bytes, now: float) -> None:
        """Believe that a session may be lost, as far as it costs next to nothing."""
        session = self._session
        if session is None or receiver_of(packet) != session.theirs:
            self.dropped += 1
        elif self._handshake is None:
            self._doubted_at = max(now, self._doubted_at + _LEAST_PAUSE)
            self.begin(self._doubted_at)

    def _forget_old(self, now: float) -> None:
        if self._is_confirmed and now > self._old_until:
            self._old = None

    def _reckon(self) -> None:
        """Find out when something is due."""
        due = inf
        if self._handshake is not None:
            due = self._handshake.due
        elif self._session is not None:
            due = -inf if self._has_sent_much else self._session.since + RENEW_SECONDS
        self.due = min(due, self._proof_due)

    def _is_worn_out(self, now: float) -> bool:
        session = self._session
        return session is not None and (self._has_sent_much or now - session.since >= RENEW_SECONDS)

    @property
    def _has_sent_much(self) -> bool:
        """Whether either end has: packet numbers are bounded."""
        session = self._session
        return session is not None and (
            session.sent >= RENEW_PACKETS or session.window.top >= RENEW_PACKETS
        )
