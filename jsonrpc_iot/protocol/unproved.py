"""What an address gets that may be forged, until it has proved to be there.

Whoever forges a sender has us send to somebody else. So that this is not worth it:

- Of anything, three times the bytes that came from an address may go there.
- Beyond that, responses may that fit a packet each, 8 KiB of them in 10 s.
- All else waits. When something begins to, the address is asked; who answers, and knows by that an
  id that nobody can guess, is there, and is sent what waits. What waits for an address that does
  not answer is dropped after a while, and so is what there is no room for.

Told the time, without I/O. Source: the trust page, section 4.
"""

from collections.abc import Sequence
from math import inf

from .budget import Budget, Share
from .limits import Limits

ASK_AGAIN_SECONDS = 0.4
"""Less than any client waits before it sends a request again: then the question may be lost."""

_ANSWER_SECONDS = 2.0


class Doubts:
    """What the unproved addresses of one link share.

    Args:
        limits: of which those are used here that begin with `unproved`.

    Attributes:
        limits: as above.
        room: what may wait for all of them together.
        dropped: messages for which there was no room, or whose address did not answer.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.room = Budget(0, limits.unproved_waiting_bytes)
        self.dropped = 0


class _Waiting:
    """What waits for one address, and whether that was asked."""

    __slots__ = ("asked_at", "has_spoken", "messages", "share", "since")

    def __init__(self, share: Share, now: float) -> None:
        self.messages: list[bytes] = []
        self.share = share
        self.since = now
        self.asked_at = -inf
        self.has_spoken = False  # since it was asked


class Unproved:
    """One address that has proved nothing. Small, since most peers stay so and never notice.

    Args:
        doubts: shared by all of the link.
        packet: bytes of the largest packet; what is larger leaves in several.
        network: where it is, with whose others it shares a part of the room.

    Attributes:
        has_waiting: something waits.
    """

    __slots__ = ("_begun", "_credit", "_doubts", "_network", "_packet", "_used", "_waiting")

    def __init__(self, doubts: Doubts, packet: int | None = None, network: str = "") -> None:
        self._doubts = doubts
        self._packet = packet
        self._network = network
        self._credit = 0
        self._used = 0
        self._begun = -inf
        self._waiting: _Waiting | None = None

    @property
    def has_waiting(self) -> bool:
        """Whether anything waits for the address."""
        return self._waiting is not None and bool(self._waiting.messages)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of what waits."""
        return 0 if self._waiting is None else self._waiting.share.byte_count

    @property
    def was_asked(self) -> bool:
        """Whether the address was asked if it is there."""
        return self._waiting is not None and self._waiting.asked_at > -inf

    def is_silent(self, now: float) -> bool:
        """Whether the address was asked, and would have answered by now if it was no forged one."""
        return self._waiting is not None and -inf < self._waiting.asked_at < now - _ANSWER_SECONDS

    def hear(self, size: int) -> None:
        """Note that so many bytes have come from there."""
        self._credit += self._doubts.limits.unproved_factor * size
        if self._waiting is not None:
            self._waiting.has_spoken = True

    def spend(self, size: int) -> bool:
        """Pay for a packet with what has come from there; says whether that is enough."""
        if size > self._credit:
            return False
        self._credit -= size
        return True

    def may_leave(self, size: int, now: float, *, is_response: bool) -> bool:
        """Whether a message may be sent now, which counts as sent then.

        What leaves in several packets counts when these do; see `spend`.

        Args:
            size: its bytes.
            now: seconds.
            is_response: to one request, not to a batch.
        """
        if self._packet is not None and size > self._packet:
            return size <= self._credit
        if self.spend(size):
            return True
        limits = self._doubts.limits
        if not is_response:
            return False
        if now - self._begun >= limits.unproved_seconds:
            self._begun, self._used = now, 0
        if self._used + size > limits.unproved_bytes:
            return False
        self._used += size
        return True

    def keep(self, message: bytes, now: float) -> bool:
        """Have a message wait; says whether there is room."""
        if self._waiting is None:
            self._waiting = _Waiting(Share(self._doubts.room, self._network), now)
        waiting = self._waiting
        if not waiting.share.take_bytes(len(message)):
            return False
        if not waiting.messages:
            waiting.since = now
        waiting.messages.append(message)
        return True

    def ask(self, size: int, now: float) -> bool:
        """Whether to ask the address now, which is counted as sent then.

        It is asked once, and again when it has sent something since and the question, or what
        answers it, may be lost.

        Args:
            size: bytes of the question.
            now: seconds.
        """
        if self._waiting is None:
            self._waiting = _Waiting(Share(self._doubts.room, self._network), now)
        waiting = self._waiting
        if waiting.asked_at != -inf:
            is_lost = waiting.has_spoken and now - waiting.asked_at >= ASK_AGAIN_SECONDS
            if not is_lost or size > self._credit:
                return False
        self._credit -= size
        waiting.asked_at, waiting.has_spoken = now, False
        return True

    def release(self) -> Sequence[bytes]:
        """What waited and may leave now, as more has come from there."""
        messages = self._waiting.messages if self._waiting is not None else ()
        count = 0
        for message in messages:
            if not self.may_leave(len(message), -inf, is_response=False):
                break
            count += 1
        return self._take(count)

    def begin_again(self) -> None:
        """Note that another address has taken its place, which has proved nothing either."""
        self._credit = self._used = 0
        self._begun = -inf
        if self._waiting is not None:
            self._waiting.asked_at = -inf

    def prove(self) -> Sequence[bytes]:
        """Note that the address has answered; returns all that waited."""
        return () if self._waiting is None else self._take(len(self._waiting.messages))

    def forget(self, now: float) -> Sequence[bytes]:
        """Give up waiting after a while, and at any time if that is endless; returns what did."""
        waiting = self._waiting
        if waiting is None or now - waiting.since < self._doubts.limits.unproved_wait_seconds:
            return ()
        return self._take(len(waiting.messages))

    def note_dropped(self, count: int) -> bool:
        """Count messages that will not leave; says whether they are the first ones of the link."""
        is_first = self._doubts.dropped == 0
        self._doubts.dropped += count
        return is_first

    def _take(self, count: int) -> Sequence[bytes]:
        if not count:
            return ()
        assert self._waiting is not None
        taken = self._waiting.messages[:count]
        del self._waiting.messages[:count]
        self._waiting.share.give_back(byte_count=sum(map(len, taken)))
        return taken
