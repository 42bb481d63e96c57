"""The server's end of sealed links: who is half let in, who is in, and where each sits.

Told the time, like all of the protocol. The rules:

- Who has the wrong key is found out before anything is computed on the curve.
- A half-open session is kept by the bytes of its hello: one computation and one welcome for each,
  from wherever and however often it comes. So is one whose welcome was lost.
- A session counts once a data packet of it has opened. Until then it takes nothing from others of
  the same client, and a hello that is replayed never does.
- All sessions of a client, of whom the instance number tells, have one seat. What is sent to a seat
  leaves on its newest session that counts, to the address that its newest packet came from; the
  three before that open packets for 30 s more.
- All is bounded, and expires. Who has more of the places gives way to who has fewer, half-open ones
  too: whoever has one key cannot keep others from having theirs heard.
"""

from collections.abc import Callable, Hashable
from math import inf
from typing import Generic, NamedTuple, Protocol, TypeVar

from ..network import Places
from .client import OLD_SECONDS
from .crypto import Crypto
from .handshake import Responder
from .packets import (
    KEY_ID_BYTES,
    NUMBER_BYTES,
    PROLOGUE_BYTES,
    is_data,
    is_hello,
    new_unknown,
    new_welcome,
    number_of,
    receiver_of,
)
from .session import SealedSession

HALF_OPEN_SECONDS = 30.0
IDLE_SECONDS = 3600.0
LONGEST_SECONDS = 25 * 3600.0
"""A client has begun another session by then."""

_HALF_OPEN = 1024
_OF_A_SEAT = 4  # the last session and some before it, whose packets may be late
_TOUCH_SECONDS = 1.0  # who was heard of so lately is among the last in any case
_ID = slice(PROLOGUE_BYTES - KEY_ID_BYTES, PROLOGUE_BYTES)

A = TypeVar("A", bound=Hashable)


class Named(Protocol):
    """Who a key belongs to."""

    @property
    def name(self) -> str:
        """What the keyring calls it."""


P_co = TypeVar("P_co", bound=Named, covariant=True)
P = TypeVar("P", bound=Named)


class Key(Protocol[P_co]):
    """A shared key, and whose it is."""

    @property
    def id(self) -> bytes:
        """Names it in a hello."""

    @property
    def key(self) -> bytes:
        """The 32 bytes."""

    @property
    def principal(self) -> P_co:
        """Who proves to be that by it."""


class Seat(NamedTuple):
    """One client: what its channel is kept by, whichever way its packets come."""

    principal: str
    instance: bytes


Taken = tuple[Seat, bytes] | bytes | None
"""What a packet was: a seat and the message for it, empty if it has none; or the answer to it."""


class _Session(SealedSession, Generic[A, P]):
    """A session, whose it is and where it was heard of last."""

    __slots__ = ("address", "counts", "heard_at", "key", "order", "seat", "until")

    def __init__(
        self,
        number: bytes,
        theirs: bytes,
        sends: bytes,
        receives: bytes,
        since: float,
        *,
        key: Key[P],
        seat: Seat,
        address: A,
        order: int,
    ) -> None:
        super().__init__(number, theirs, sends, receives, since)
        self.key = key
        self.seat = seat
        self.address = address
        self.order = order
        self.heard_at = since
        self.counts = False
        self.until = inf


class _HalfOpen(NamedTuple):
    """What a hello has led to."""

    welcome: bytes
    number: bytes
    at: float


class ServerSeal(Generic[A, P]):
    """The sealed sessions of one listener, or of one link.

    Args:
        crypto: the primitives.
        keys: finds a shared key by its id; `None` where there is none, or no more.
        max_sessions: sessions that are kept at once.
        in_order: nothing gets lost or comes twice on this link, which leads to one other end; so
            no more sessions are half open than are kept.
        idle_seconds: silence after which a session is forgotten. Endless, it lives as long as this
            does.

    Attributes:
        wrong: hellos that nobody with one of the keys has made, for this server.
        dropped: data packets that did not open.
        unknown: data packets of sessions that are not known.
        displaced: sessions that had to go for others.
    """

    def __init__(
        self,
        crypto: Crypto,
        keys: Callable[[bytes], Key[P] | None],
        *,
        max_sessions: int,
        in_order: bool = False,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._crypto = crypto
        self._keys = keys
        self._max_sessions = max_sessions
        self._in_order = in_order
        self._idle_seconds = idle_seconds
        self._longest = inf if idle_seconds == inf else LONGEST_SECONDS
        self._half_open: dict[bytes, _HalfOpen] = {}  # oldest first
        self._max_half_open = max_sessions if in_order else _HALF_OPEN
        self._waiting: Places[bytes] = Places()  # of half-open sessions
        self._sessions: dict[bytes, _Session[A, P]] = {}
        self._places: Places[bytes] = Places()  # of the sessions that count
        self._seats: dict[Seat, list[_Session[A, P]]] = {}  # newest last
        self._order = 0
        self.wrong = 0
        self.dropped = 0
        self.unknown = 0
        self.displaced = 0

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def drops(self) -> dict[str, int]:
        """These counts by reason; see `channel.drops`."""
        return {
            "wrong_key": self.wrong,
            "unsealable": self.dropped,
            "no_session": self.unknown,
            "lost_session": self.displaced,
        }

    def take(self, packet: bytes, address: A, now: float) -> Taken:
        """Take a packet.

        Args:
            packet: as it came.
            address: where it came from.
            now: seconds.

        Returns:
            A seat and the message that came for it, empty if it has none; or the answer, which goes
            where the packet came from; or `None`.
        """
        if is_data(packet):
            return self._take_data(packet, address, now)
        if is_hello(packet):
            return self._take_hello(packet, address, now)
        self.dropped += 1
        return None

    def seal(self, seat: Seat, message: bytes) -> tuple[bytes, A] | None:
        """Make a packet for a seat.

        Returns:
            The packet and the address to send it to, `None` if no session is left.
        """
        sessions = self._seats.get(seat)
        if not sessions:
            return None
        packet = sessions[-1].seal(self._crypto, message)
        return None if packet is None else (packet, sessions[-1].address)

    def address(self, seat: Seat) -> A | None:
        """Where a seat was heard of last; `None` if no session is left."""
        sessions = self._seats.get(seat)
        return sessions[-1].address if sessions else None

    def principal(self, seat: Seat) -> P | None:
        """Who sits there, as the keys have it now; `None` if that key is no more.

        A seat whose key is gone loses its sessions.
        """
        for session in tuple(self._seats.get(seat, ()))[::-1]:
            if (key := self._valid(session.key)) is not None:
                return key.principal
            self._end(session)
        return None

    def revoke(self, name: str) -> list[Seat]:
        """End all sessions of a principal; gives its seats."""
        seats = [seat for seat in self._seats if seat.principal == name]
        for session in tuple(self._sessions.values()):
            if session.seat.principal == name:
                self._end(session)
        return seats

    def expire(self, now: float) -> None:
        """Forget what is too old, and the sessions of keys that are no more.

        Args:
            now: seconds.
        """
        while self._half_open:
            hello, half = next(iter(self._half_open.items()))
            if now - half.at <= HALF_OPEN_SECONDS:
                break
            self._forget_half_open(hello)
        is_valid: dict[tuple[bytes, str], bool] = {}  # many have the same key
        for session in tuple(self._sessions.values()):
            key = session.key.id, session.seat.principal
            if key not in is_valid:
                is_valid[key] = self._valid(session.key) is not None
            if session.counts and (not is_valid[key] or self._is_over(session, now)):
                self._end(session)

    def _take_data(
        self, packet: bytes, address: A, now: float
    ) -> tuple[Seat, bytes] | bytes | None:
        number = receiver_of(packet)
        session = self._sessions.get(number)
        if session is None or self._is_over(session, now):
            self.unknown += 1
            return None if self._in_order else new_unknown(number)
        message = session.open(self._crypto, packet, in_order=self._in_order)
        if message is None:
            self.dropped += 1
            return None
        if not session.counts and not self._count(session, now):
            return None
        if now - session.heard_at >= _TOUCH_SECONDS:
            self._places.touch(number)
        session.heard_at = now
        if address != session.address and number_of(packet) == session.window.top:
            session.address = address
        return session.seat, message

    def _take_hello(self, packet: bytes, address: A, now: float) -> bytes | None:
        half = self._half_open.get(packet)
        if half is not None and now - half.at <= HALF_OPEN_SECONDS:
            return half.welcome
        key = self._keys(packet[_ID])
        if key is None:
            self.wrong += 1
            return None
        responder = Responder(self._crypto, key.key, packet[:PROLOGUE_BYTES])
        instance = responder.read(packet[PROLOGUE_BYTES:])
        if instance is None:
            self.wrong += 1
            return None
        number = self._new_number()
        answer = responder.answer(number)
        if answer is None:
            self.wrong += 1
            return None
        if half is not None:
            self._forget_half_open(packet)
        elif len(self._half_open) >= self._max_half_open:
            self._forget_half_open(next(self._waiting.silent_rivals(key.principal.name)))
        message, session_keys = answer
        theirs = receiver_of(packet[1:])
        welcome = new_welcome(theirs, message)
        self._order += 1
        self._half_open[packet] = _HalfOpen(welcome, number, now)
        self._waiting.take(packet, key.principal.name)
        self._sessions[number] = _Session(
            number,
            theirs,
            session_keys.back,
            session_keys.forth,
            now,
            key=key,
            seat=Seat(key.principal.name, instance),
            address=address,
            order=self._order,
        )
        return welcome

    def _count(self, session: "_Session[A, P]", now: float) -> bool:
        """Let a session count, now that its client has proved to be there; says whether it may."""
        if self._valid(session.key) is None or not self._make_room(session.seat.principal):
            self._end(session)
            return False
        session.counts = True
        self._places.take(session.number, session.seat.principal)
        sessions = self._seats.setdefault(session.seat, [])
        sessions.append(session)
        sessions.sort(key=lambda each: each.order)  # a late packet may be of an older handshake
        for each in sessions[:-1]:
            each.until = min(each.until, now + OLD_SECONDS)
        for each in sessions[:-_OF_A_SEAT]:
            if each is not session:
                self._end(each)
        return True

    def _make_room(self, principal: str) -> bool:
        if len(self._places) < self._max_sessions:
            return True
        for rival in self._places.silent_rivals(principal):
            self._end(self._sessions[rival])
            self.displaced += 1
            return True
        return False

    def _new_number(self) -> bytes:
        while True:
            number = self._crypto.random(NUMBER_BYTES)
            if number not in self._sessions:
                return number

    def _valid(self, key: Key[P]) -> Key[P] | None:
        """A key as it is now, if it is still the same and the same one's."""
        now = self._keys(key.id)
        if now is None or now.key != key.key or now.principal.name != key.principal.name:
            return None
        return now

    def _is_over(self, session: "_Session[A, P]", now: float) -> bool:
        return (
            now > session.until
            or now - session.heard_at > self._idle_seconds
            or now - session.since > self._longest
        )

    def _forget_half_open(self, hello: bytes) -> None:
        self._waiting.leave(hello)
        session = self._sessions.get(self._half_open.pop(hello).number)
        if session is not None and not session.counts:
            self._end(session)

    def _end(self, session: "_Session[A, P]") -> None:
        del self._sessions[session.number]
        self._places.leave(session.number)
        sessions = self._seats.get(session.seat, [])
        if session in sessions:
            sessions.remove(session)
            if not sessions:
                del self._seats[session.seat]
