"""Looks after peers that say nothing by themselves."""

from collections.abc import Callable, Iterable

import anyio

from ..protocol.limits import Limits
from .peer import Peer


async def watch(peers: Callable[[], Iterable[Peer]], limits: Limits) -> None:
    """Look after peers that do not read or say nothing, until cancelled."""
    while True:
        await anyio.sleep(limits.send_seconds)
        now = anyio.current_time()
        for peer in tuple(peers()):
            peer.check(now)
