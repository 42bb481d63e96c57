"""The base of channels that read several messages at once, which is most of them."""

from abc import abstractmethod

from ..channel.contract import Channel
from ..channel.info import ChannelInfo


class BatchedChannel(Channel):
    """A channel that reads several messages at once.

    A transport sets `_info` and implements `_next_batch`, `send` and `aclose`.
    """

    _info: ChannelInfo

    def __init__(self) -> None:
        self._waiting: list[bytes] | None = None  # newest first

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    async def receive(self) -> bytes:
        """Wait for the next message; see `Channel.receive`."""
        if not self._waiting:
            self._waiting = (await self._next_batch())[::-1]
        return self._waiting.pop()

    async def receive_batch(self) -> list[bytes]:
        """Wait for messages; see `Channel.receive_batch`."""
        if self._waiting:
            waiting, self._waiting = self._waiting[::-1], None
            return waiting
        return await self._next_batch()

    async def send_eof(self) -> None:
        """Refuse: the link cannot be closed in one direction; a transport may know better."""
        raise NotImplementedError

    @abstractmethod
    async def _next_batch(self) -> list[bytes]:
        """Wait for messages from the link, one at least."""
