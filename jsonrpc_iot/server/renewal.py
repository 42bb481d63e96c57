"""What becomes of the peers of a server when its keyring has changed."""

from collections.abc import Iterable, Sequence

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from ..asgi import RpcApp
from ..channel.door import GONE, Door
from ..peer.peer import Peer

_AT_ONCE = 8


def renew(door: Door, peers: Iterable[Peer], apps: Iterable[RpcApp], tasks: TaskGroup) -> None:
    """Look at all again: new permissions hold at once, and who has lost its key has to go.

    Args:
        door: knows what the keyring says now.
        peers: who is connected.
        apps: answer whoever has no connection.
        tasks: where those who have to go are parted with.
    """
    lost = [peer for peer in peers if not door.renew(peer.info.peer, peer.standing)]
    for peer in lost:
        peer.standing.refusal = GONE
    if lost:
        tasks.start_soon(_expel, lost)
    for app in apps:
        app.renew()


async def _expel(peers: Sequence[Peer]) -> None:
    """Part with peers, a few at a time, lest that hold up others."""
    for number, peer in enumerate(peers, 1):
        peer.expel(GONE)
        if number % _AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()
