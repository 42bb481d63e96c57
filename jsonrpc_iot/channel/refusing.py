"""Wrong proofs are answered late, at the door of a server. What that costs is bounded.

How late is the business of `protocol/refusals`.
"""

from urllib.parse import urlsplit

import anyio

from ..errors import Busy
from ..protocol.limits import DEFAULT_LIMITS, Limits
from ..protocol.network import network_of
from ..protocol.refusals import Refusals
from .changes import Change
from .clock import now
from .info import ChannelInfo


class Refuser:
    """Has those wait for their answer who have proved nothing, though they tried.

    Args:
        limits: bounds on that.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.refusals = Refusals(limits)
        self._limits = limits
        self._closing = Change()
        self._is_closed = False

    def check(self, place: str) -> None:
        """Look at nothing more from where so many wrong proofs came that the answers pile up.

        Args:
            place: see `place_of`.

        Raises:
            Busy: it is so.
        """
        if not self.refusals.has_room(place):
            raise Busy(data={"retry_after": self._limits.refusal_seconds})

    async def wait(self, place: str, *, shield: bool = False) -> None:
        """Wait before a wrong proof is answered, if there is room for that.

        Args:
            place: see `place_of`.
            shield: wait also if the caller gives up: else one with a short time limit would know
                sooner.
        """
        if self._is_closed or not self.refusals.has_room(place):
            return
        seconds = self.refusals.begin(place, now())
        try:
            with anyio.move_on_after(seconds, shield=shield):
                await self._closing.wait()
        finally:
            self.refusals.end(place)

    def close(self) -> None:
        """Let nobody wait any more."""
        self._is_closed = True
        self._closing.notify()


def place_of(info: ChannelInfo) -> str:
    """Where the other end of a channel is: its network, or its address without a port.

    Args:
        info: the facts about the channel.
    """
    return info.network or place_at(info.peer)


def place_at(address: str) -> str:
    """The same of an address, which may be the URL of a peer."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    return network_of(host) if host else address
