"""What all transports have in common whose messages are packets."""

from abc import abstractmethod

from msgspec import structs

from ...channel.contract import Channel
from ...channel.options import PacketOptions
from ...channel.url import Url
from ...protocol.segments.format import HEADER_BYTES


class BatchedChannel(Channel):
    """A channel that reads several messages at once; a transport implements `_next_batch`."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []  # newest first

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        if not self._waiting:
            self._waiting = (await self._next_batch())[::-1]
        return self._waiting.pop()

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        if self._waiting:
            waiting, self._waiting = self._waiting[::-1], []
            return waiting
        return await self._next_batch()

    @abstractmethod
    async def _next_batch(self) -> list[bytes]:
        """Wait for messages from the link, one at least."""


def wants_segments(url: Url) -> bool:
    """Whether a URL asks for segments; that its transport knows the option shows elsewhere.

    Raises:
        InvalidUrl: its packets are too small for segments.
    """
    if "segment" not in url.options:
        return False
    asked = structs.replace(url, options={"segment": url.options["segment"]})
    largest = url.options.get("max", "")
    in_segments = asked.read_options(PacketOptions).segment
    if in_segments and largest.isdecimal() and int(largest) <= HEADER_BYTES:
        raise url.error(
            f"segments need packets of more than {HEADER_BYTES} bytes: max is too small"
        )
    return in_segments
