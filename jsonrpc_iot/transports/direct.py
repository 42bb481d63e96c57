"""Byte streams that are read and written without waiting, as far as that goes."""

from abc import abstractmethod
from collections.abc import Callable

from anyio.abc import ByteStream


class DirectStream(ByteStream):
    """A byte stream that can do more than wait."""

    @abstractmethod
    def offer_to(self, take: Callable[[bytes], bool]) -> None:
        """While somebody waits in `receive`, offer what comes to a function first.

        Args:
            take: says whether it took it, so that he goes on waiting. The event loop calls it,
                outside of any task. Where the stream has an end, it is offered as no bytes.
        """

    @abstractmethod
    def send_now(self, data: bytes) -> bytes:
        """Send what the system takes at once; gives the rest.

        Raises:
            anyio.BrokenResourceError: the link is gone.
            anyio.ClosedResourceError: this end has closed it.
        """
