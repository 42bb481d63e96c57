"""Tickets: what stands in the URL of an EventSource, which can send no token.

A page gets one by a POST that proves who it is, and spends it on the events, once and soon. So
whatever logs the URL has something that is worth nothing any more.

Source: the trust page, section 1.
"""

import hmac
from collections import Counter
from collections.abc import MutableMapping
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from ..protocol.network import Seats
from ..trust.principal import Standing

SECONDS = 30
"""For how long a ticket is good."""

_NAME = "ticket"


class _Ticket(Struct):
    digest: bytes
    standing: Standing
    share: str
    expires: float


class Tickets:
    """Those that have been given and not been spent, by their digests.

    Args:
        most: that are open at once. Over it who has more gives way to who has fewer.
        most_each: of one principal, or of the strangers of one network.
    """

    def __init__(self, most: int = 1024, most_each: int = 64) -> None:
        self._most_each = most_each
        self._open: dict[bytes, _Ticket] = {}  # oldest first
        self._held: Counter[str] = Counter()
        self._seats: Seats[bytes] = Seats(most, self._drop)

    def __len__(self) -> int:
        return len(self._open)

    def give(self, standing: Standing, share: str, now: float) -> str | None:
        """Make a ticket.

        Args:
            standing: whom it lets in.
            share: what that shares with others; see `Standing.share_of`.
            now: seconds, by any clock that never goes back.

        Returns:
            The ticket; `None` if too many are open.
        """
        self._expire(now)
        text = token_urlsafe(32)
        digest = _digest(text)
        if self._held[share] >= self._most_each or not self._seats.take(digest, share):
            return None
        self._open[digest] = _Ticket(digest, standing, share, now + SECONDS)
        self._held[share] += 1
        return text

    def spend(self, text: str, now: float) -> Standing | None:
        """Take a ticket back; how long that takes tells nothing of others.

        Args:
            text: the ticket.
            now: as in `give`.

        Returns:
            Whom it lets in; `None` if it has never been given, or is spent or too old.
        """
        self._expire(now)
        digest = _digest(text)
        ticket = self._open.get(digest)
        if ticket is None or not hmac.compare_digest(ticket.digest, digest):
            return None
        self._seats.leave(digest)
        self._drop(digest)
        return ticket.standing

    def _expire(self, now: float) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.expires > now:
                return
            self._seats.leave(oldest.digest)
            self._drop(oldest.digest)

    def _drop(self, digest: bytes) -> None:
        share = self._open.pop(digest).share
        self._held[share] -= 1
        if not self._held[share]:
            del self._held[share]


def take_ticket(scope: MutableMapping[str, Any]) -> str | None:
    """Take the ticket out of a request, so that whoever logs the request does not see it.

    Args:
        scope: the request's; its query has no ticket after this.

    Returns:
        The ticket, `None` where there was none.
    """
    query: bytes = scope.get("query_string", b"")
    if _NAME.encode() not in query:
        return None
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    scope["query_string"] = urlencode([each for each in pairs if each[0] != _NAME]).encode()
    return next((value for name, value in pairs if name == _NAME), None)


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()
