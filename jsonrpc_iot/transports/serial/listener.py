"""Serves one serial port, for as long as it is wanted."""

import logging
from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio.abc import ByteStream, TaskGroup

from ...channel.contract import Channel, Listener, Serve
from ...errors import TransportError

logger = logging.getLogger("jsonrpc_iot.transports")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0


Open = Callable[[], Awaitable[ByteStream]]


class PortListener(Listener):
    """Serves one line, and opens it again when its adapter was unplugged and comes back.

    Args:
        stream: the line, open already.
        address: the URL that reaches the other end of it.
        make_channel: what is served on it.
        open_again: opens the line; `None` for a pty, which would come back as another one.
    """

    def __init__(
        self,
        stream: ByteStream,
        address: str,
        make_channel: Callable[[ByteStream], Channel],
        open_again: Open | None,
    ) -> None:
        self._stream: ByteStream | None = stream
        self._address = address
        self._make_channel = make_channel
        self._open = open_again

    @property
    def addresses(self) -> Sequence[str]:
        """The one URL."""
        return [self._address]

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        while True:
            if self._stream is None:
                if self._open is None:
                    await anyio.sleep_forever()
                    return
                self._stream = await _open_again(self._open)
            stream, self._stream = self._stream, None
            await handler(self._make_channel(stream))

    async def aclose(self) -> None:
        """Give the port back, if nobody is served."""
        if self._stream is not None:
            await self._stream.aclose()


async def _open_again(open_port: Open) -> ByteStream:
    """Try until the port is back."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        try:
            return await open_port()
        except TransportError as error:
            logger.info("%s; trying again", error)
