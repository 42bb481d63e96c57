"""Requests over links that double packets, delay and repeat them: run at most once.

The rules are those of the protocol page, section 1, "Lossy channels". The table is told the
time; it has no clock and does no I/O.
"""

from collections.abc import Iterable
from enum import Enum
from math import inf

from msgspec import Struct

from ..errors import (
    Busy,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    OutcomeUnknown,
    RpcError,
)
from .budget import Share
from .messages import ExactId, Id, exact

RETRY_SECONDS = 30.0
DOUBLED_SECONDS = 0.5

_CANCELLATIONS = 64
_LONG_ID = 64


class Identity(Struct, frozen=True, gc=False):
    """What tells a request from others of the same peer.

    Args:
        key: id, dialect, method and params, or a whole batch, in full or as a keyed digest: nobody
            can make two requests that have the same one.
        id: the request's, `None` for a batch.
        retry: it is marked as one that was sent before.
        extended: it carries an extension, so its sender does not use the id for anything else.
        idempotent: to run it twice does no harm.
    """

    key: bytes
    id: Id = None
    retry: bool = False
    extended: bool = False
    idempotent: bool = False


class Verdict(Enum):
    """What to do with a request that has no stored response."""

    RUN = "run it"
    JOIN = "it is running, or its response is about to leave: that will do for both"
    FULL = "too many requests are remembered: refuse it"
    GONE = "it was run, and its response is not held any more"
    UNKNOWN = "it may have run before this end began to listen: say so"
    CANCELLED = "its caller has cancelled it"
    LATE = "its caller has stopped waiting"


class _Finished(Struct, gc=False):
    """A request that has run, and its response, `None` where that is not held.

    There may be hundreds of thousands, which the garbage collector need not look at.
    """

    reply: bytes | None
    at: float
    extended: bool
    left_at: float
    is_leaving: bool = False


class DuplicateTable:
    """The requests of one peer that may come again.

    When it is full, new requests are refused; none is forgotten early. A response for which there
    is no room is forgotten at once, but not its request.

    Args:
        share: what the peer may hold.
        since: when this end began to listen, in seconds as `now` elsewhere; what ran before that,
            nobody knows.
        has_twins: other servers answer at the same address, and may have run what is not known
            here.

    Attributes:
        share: as above.
        repeated: requests that came again, and did not run for that.
        refused: requests for which there was no room.
    """

    __slots__ = (
        "_cancelled",
        "_finished",
        "_has_twins",
        "_leaving",
        "_running",
        "_since",
        "refused",
        "repeated",
        "share",
    )

    def __init__(self, share: Share, *, since: float = -inf, has_twins: bool = False) -> None:
        self.share = share
        self._since = since
        self._has_twins = has_twins
        self.repeated = 0
        self.refused = 0
        # All are made when they are needed, since most peers are idle.
        self._running: dict[bytes, bool] | None = None  # whether a copy was extended
        self._finished: dict[bytes, _Finished] | None = None  # oldest first
        self._leaving: dict[int, _Finished] | None = None  # by `id` of the response
        self._cancelled: dict[ExactId, float] | None = None  # oldest first

    def admit(self, request: Identity, now: float) -> Verdict | bytes:
        """Decide about a request.

        Args:
            request: what tells it from others.
            now: seconds.

        Returns:
            The stored response, or a verdict. What shall run, or is answered with a verdict of
            `UNKNOWN` or `CANCELLED`, is remembered until `finish`.
        """
        self.forget(now)
        self._running = {} if self._running is None else self._running
        self._finished = {} if self._finished is None else self._finished
        if request.key in self._running:
            self._running[request.key] |= request.extended
            self.repeated += 1
            return Verdict.JOIN
        finished = self._finished.get(request.key)
        if finished is not None:
            doubled = now - finished.left_at <= DOUBLED_SECONDS
            if doubled or request.retry or request.extended or finished.extended:
                finished.extended |= request.extended
                return self._again(finished)
            self._drop(request.key)
        if not self.share.take_entry():
            self.refused += 1
            return Verdict.FULL
        self._running[request.key] = request.extended
        if self._cancelled and self._cancelled.pop(exact(request.id), None) is not None:
            return Verdict.CANCELLED
        if request.retry and not request.idempotent and self.listening(now) is not None:
            return Verdict.UNKNOWN
        return Verdict.RUN

    def listening(self, now: float) -> float | None:
        """Seconds for which this end knows what has run, `None` where that is long enough."""
        if self._has_twins:
            return 0.0
        seconds = now - self._since
        return seconds if seconds < RETRY_SECONDS else None

    def refusal(self, verdict: Verdict, now: float) -> RpcError:
        """The answer to a request that does not run, and has no stored response."""
        match verdict:
            case Verdict.GONE:
                return InternalError("reply no longer held")
            case Verdict.CANCELLED:
                return Cancelled()
            case Verdict.LATE:
                return DeadlineExceeded()
            case Verdict.UNKNOWN:
                known = None if self._has_twins else round(now - self._since, 3)
                return OutcomeUnknown(data=None if known is None else {"listening": known})
            case _:
                return Busy(data={"retry_after": 1.0})

    def finish(self, key: bytes, reply: bytes | None, now: float) -> None:
        """Store the response of an admitted request; it is kept for 30 s.

        Args:
            key: of the request.
            reply: `None` where there was nothing to say; else `note_sent` tells when it has left.
            now: seconds.
        """
        if self._running is None or self._finished is None or key not in self._running:
            return  # the peer has gone meanwhile
        extended = self._running.pop(key)
        if not self._running:
            self._running = None
        if reply is not None and not self.share.take_bytes(len(reply)):
            reply = None
        finished = self._finished[key] = _Finished(
            reply, now, extended, left_at=now if reply is None else inf
        )
        if reply is not None:
            self._note_leaving(reply, finished)

    @property
    def is_answering(self) -> bool:
        """Whether there are responses that have not left yet."""
        return self._leaving is not None

    def note_sent(self, messages: Iterable[bytes], now: float) -> None:
        """Note which responses have left.

        Args:
            messages: as they were given to `finish`, or returned by `admit`; others too.
            now: seconds.
        """
        if self._leaving is None:
            return
        for message in messages:
            finished = self._leaving.pop(id(message), None)
            if finished is not None:
                finished.left_at = min(finished.left_at, now)
                finished.is_leaving = False
        if not self._leaving:
            self._leaving = None

    def cancel(self, id: Id, now: float) -> None:
        """Keep a cancellation whose request has not come, for 30 s."""
        if isinstance(id, str) and len(id) > _LONG_ID:
            return
        self._cancelled = self._cancelled or {}
        self._cancelled.pop(exact(id), None)
        if len(self._cancelled) >= _CANCELLATIONS:
            del self._cancelled[next(iter(self._cancelled))]
        self._cancelled[exact(id)] = now

    def forget(self, now: float) -> None:
        """Drop what was finished or cancelled more than 30 s ago."""
        while self._finished:
            key = next(iter(self._finished))
            if now - self._finished[key].at <= RETRY_SECONDS:
                break
            self._drop(key)
        while self._cancelled:
            oldest = next(iter(self._cancelled))
            if now - self._cancelled[oldest] <= RETRY_SECONDS:
                break
            del self._cancelled[oldest]

    def clear(self) -> None:
        """Drop everything, running requests too: the peer is gone."""
        while self._finished:
            self._drop(next(iter(self._finished)))
        self.share.give_back(entries=len(self._running or ()))
        self._running = self._finished = self._leaving = self._cancelled = None

    def __len__(self) -> int:
        return len(self._running or ()) + len(self._finished or ())

    def _again(self, finished: _Finished) -> Verdict | bytes:
        self.repeated += 1
        if finished.is_leaving:
            return Verdict.JOIN
        if finished.reply is None:
            return Verdict.GONE
        self._note_leaving(finished.reply, finished)
        return finished.reply

    def _note_leaving(self, reply: bytes, finished: _Finished) -> None:
        finished.is_leaving = True
        self._leaving = {} if self._leaving is None else self._leaving
        self._leaving[id(reply)] = finished

    def _drop(self, key: bytes) -> None:
        assert self._finished is not None
        finished = self._finished.pop(key)
        if self._leaving and finished.reply is not None:
            self._leaving.pop(id(finished.reply), None)
        self.share.give_back(entries=1, byte_count=len(finished.reply or b""))
