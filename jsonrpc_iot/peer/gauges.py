"""What there is to see of a peer: the calls that run for it, and what was dropped on its way."""

from collections.abc import Mapping, Sequence

from ..channel.drops import added
from ..dispatch.run.call import PendingCall
from .lossy import LossyIncoming
from .peer import Peer


def running(peer: Peer) -> Sequence[PendingCall]:
    """The calls of the other end that run now."""
    return tuple(peer._incoming._running)


def drops(peer: Peer) -> Mapping[str, int]:
    """How much was dropped, by reason; see `channel.drops`."""
    session, incoming = peer.session, peer._incoming
    echoes = session.noise.echoes
    mine = {
        "queue_full": peer._outgoing.dropped,
        "stray_response": session.strays,
        "unreadable": session.noise.unanswered,
        "echo": 0 if echoes is None else echoes.count,
    }
    if isinstance(incoming, LossyIncoming):
        mine["repeated"] = incoming._seen.repeated
        mine["table_full"] = incoming._seen.refused
    return added((peer._channel.drops, mine))
