"""What a server has done, in numbers: put together when somebody asks, from where it is counted."""

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Protocol

from ..asgi import RpcApp
from ..channel.contract import Listener, Trace
from ..channel.door import Door
from ..channel.drops import added
from ..channel.recorder import Recorder
from ..channel.tracing import Tracing
from ..channel.traffic import CountingTracing
from ..channel.web import WebListener
from ..dispatch.answers import Answers
from ..dispatch.counted.book import Book, add_errors
from ..dispatch.counted.responder import CountedCall, CountingResponder
from ..dispatch.counted.stats import MethodStats, PrincipalStats, Stats, TransportStats
from ..dispatch.declare.event import BoundEvent
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.run.call import PendingCall
from ..peer.gauges import drops, running
from ..peer.peer import Peer
from ..protocol.messages import CodecName

ANY = "(any)"
"""Stands for a transport where nobody knows over which one it was."""


class Counted(Protocol):
    """A server, as far as its statistics look at it."""

    _listeners: Sequence[Listener]
    _apps: list[RpcApp]
    _peers: set[Peer]
    _door: Door
    peer_joined: BoundEvent[Peer]
    peer_left: BoundEvent[Peer]


class Statistics:
    """Those of a server, and of what it has below its addresses.

    Args:
        tracing: counts what passes.
    """

    def __init__(self, tracing: CountingTracing) -> None:
        self._book = Book(self.tell)
        self._began = monotonic()
        self._traffic = tracing.traffic
        self._servers: list[tuple[Counted, list[str]]] = []  # with the schemes of the listeners
        self._joined: dict[str, int] = {}  # peers, by transport
        self._gone: dict[str, Mapping[str, int]] = {}  # drops of what is no more, by transport

    def answers(self, dispatcher: Answers, place: str) -> Answers:
        """What answers as a dispatcher does, and counts.

        Args:
            dispatcher: answers.
            place: the name of the device that it is at its own address, empty for the server's.
        """
        return _CountingAnswers(dispatcher, self._book, place)

    def follow(self, server: Counted) -> None:
        """Count what a server does."""
        schemes = [each.addresses[0].partition(":")[0] for each in server._listeners]
        self._servers.append((server, schemes))
        server.peer_joined.subscribe(self._note_joined)
        server.peer_left.subscribe(self._note_left)

    def leave(self, server: Counted) -> None:
        """Keep what was counted of a server that ends."""
        for each, schemes in self._servers:
            if each is server:
                for transport, counts in _drops_of(each, schemes):
                    self._keep(transport, counts)
        self._servers = [each for each in self._servers if each[0] is not server]

    def tell(self) -> Stats:
        """The numbers as they are now."""
        stats = Stats(monotonic() - self._began)
        for row in tuple(self._book.rows.values()):
            within = list(row.within)
            stats.methods[row.name] = MethodStats(
                sum(within), dict(row.errors), row.seconds, within
            )
        for call in self._running():
            if isinstance(call, CountedCall) and not call.is_over:
                stats.methods.setdefault(call.row.name, MethodStats()).in_flight += 1
        for account in tuple(self._book.accounts.values()):
            principal = stats.principals.setdefault(account.name, PrincipalStats())
            for entry in (principal, _transport(stats, account.transport)):
                entry.calls += account.calls
                for code, count in tuple(account.errors.items()):
                    add_errors(entry.errors, code, count)
        self._tell_links(stats)
        return stats

    def _tell_links(self, stats: Stats) -> None:
        for transport, traffic in self._traffic.items():
            entry = _transport(stats, transport)
            entry.messages_in, entry.messages_out = traffic.messages_in, traffic.messages_out
            entry.bytes_in, entry.bytes_out = traffic.bytes_in, traffic.bytes_out
        for transport, count in self._joined.items():
            _transport(stats, transport).peers_ever = count
        for server, _ in self._servers:
            for peer in tuple(server._peers):
                _transport(stats, peer.info.transport).peers += 1
        for transport, counts in self._drops():
            if dropped := added((counts,)):
                entry = _transport(stats, transport)
                entry.dropped = added((entry.dropped, dropped))

    def _running(self) -> Iterator[PendingCall]:
        for server, _ in self._servers:
            for peer in tuple(server._peers):
                yield from running(peer)
            for app in server._apps:
                yield from app.running

    def _drops(self) -> Iterator[tuple[str, Mapping[str, int]]]:
        yield from self._gone.items()
        for account in tuple(self._book.accounts.values()):
            yield account.transport, {"reply_too_large": account.mute}
        refuser = self._servers[0][0]._door.refuser  # that of all
        yield ANY, {"unjudged": refuser.refusals.turned_away}
        for server, schemes in self._servers:
            yield from _drops_of(server, schemes)
            for peer in tuple(server._peers):
                yield peer.info.transport, drops(peer)

    def _keep(self, transport: str, counts: Mapping[str, int]) -> None:
        self._gone[transport] = added((self._gone.get(transport, {}), counts))

    def _note_joined(self, peer: Peer) -> None:
        transport = peer.info.transport
        self._joined[transport] = self._joined.get(transport, 0) + 1

    def _note_left(self, peer: Peer) -> None:
        self._keep(peer.info.transport, drops(peer))


def counting(
    dispatcher: Dispatcher, trace: Trace | None, recorder: Recorder | None, *, is_wanted: bool
) -> tuple[Tracing, Statistics | None]:
    """Who sees what passes at a server, and what counts, if it does.

    Args:
        dispatcher: answers.
        trace: as in `Tracing`.
        recorder: as in `Tracing`.
        is_wanted: whether it does.
    """
    if not is_wanted:
        return Tracing(trace, recorder), None
    dispatcher.offer_stats()
    tracing = CountingTracing(trace, recorder)
    return tracing, Statistics(tracing)


class _CountingAnswers:
    """What answers as a dispatcher does, and counts.

    Args:
        dispatcher: answers.
        book: what is counted in.
        place: see `CountingResponder`.
    """

    def __init__(self, dispatcher: Answers, book: Book, place: str) -> None:
        self._dispatcher = dispatcher
        self._book = book
        self._place = place
        self._responders: dict[CodecName, CountingResponder] = {}

    def responder(self, codec: CodecName) -> CountingResponder:
        """What answers messages in that codec."""
        if codec not in self._responders:
            plain = self._dispatcher.responder(codec)
            self._responders[codec] = CountingResponder(plain, self._book, self._place)
        return self._responders[codec]


def _transport(stats: Stats, scheme: str) -> TransportStats:
    return stats.transports.setdefault(scheme, TransportStats())


def _drops_of(server: Counted, schemes: Sequence[str]) -> Iterator[tuple[str, Mapping[str, int]]]:
    """What the listeners of a server and its applications have dropped, by transport."""
    for listener, scheme in zip(server._listeners, schemes, strict=True):
        yield scheme, listener.drops
    web = [
        scheme
        for listener, scheme in zip(server._listeners, schemes, strict=True)
        if isinstance(listener, WebListener)
    ]
    for app, scheme in zip(server._apps, web, strict=True):
        yield scheme, {"missed_events": app.events.dropped}
