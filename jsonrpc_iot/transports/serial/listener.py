"""What serial transports share: opening a port, and serving one for as long as it is wanted."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from urllib.parse import quote

import anyio
from anyio.abc import ByteStream, TaskGroup

from ...channel.contract import Channel, Listener, Serve
from ...channel.url import Url
from ...errors import BindFailed, TransportError
from ...protocol.backoff import Backoff
from .port import PortOptions
from .pty import open_pty

logger = logging.getLogger("jsonrpc_iot.transports")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_PTY = "+pty"

OpenPort = Callable[[], Awaitable[ByteStream]]
MakeChannel = Callable[[str, ByteStream], Channel]
"""Makes the channel on a line, which the text stands for in errors."""


def is_pty(url: Url) -> bool:
    """Whether a pseudo-terminal is made, of which the URL says nothing.

    Raises:
        InvalidUrl: it does.
    """
    if not url.scheme.endswith(_PTY):
        return False
    url.forbid_port()
    url.forbid_path()
    return True


async def connect_to_port(url: Url, options: PortOptions, make_channel: MakeChannel) -> Channel:
    """Open the port of a URL.

    Raises:
        ConnectFailed: it is not to be had.
        InvalidUrl: the URL names none.
    """
    if is_pty(url):
        scheme = url.scheme.removesuffix(_PTY)
        raise url.error(
            f"{url.scheme} is for serving; its other end is the {scheme}:// URL that serving shows"
        )
    return make_channel(str(url), await options.open(url))


async def listen_at_port(
    url: Url, options: PortOptions, make_channel: MakeChannel, reached_at: Callable[[str], str]
) -> Listener:
    """Open the port of a URL, or make a pseudo-terminal where its scheme says so.

    Args:
        url: names the port.
        options: of the port.
        make_channel: what is served.
        reached_at: the URL for the other end, from one without options.

    Raises:
        BindFailed: it is not to be had.
        InvalidUrl: the URL names none.
    """
    if is_pty(url):
        stream, path = open_pty()
        name = f"{url.scheme.removesuffix(_PTY)}://{path}"
        return PortListener(stream, reached_at(name), partial(make_channel, name), None)
    stream = await options.open(url, BindFailed)
    address = reached_at(f"{url.scheme}://{url.host}{quote(url.path)}")
    open_again = partial(options.open, url)
    return PortListener(stream, address, partial(make_channel, str(url)), open_again)


class PortListener(Listener):
    """Serves one line, and opens it again when its adapter was unplugged and comes back.

    Args:
        stream: the line, open already.
        address: the URL that reaches the other end of it.
        make_channel: what is served on it.
        open_again: opens the line; `None` for a pty, which would come back as another one.
    """

    addresses: Sequence[str] = ()

    def __init__(
        self,
        stream: ByteStream,
        address: str,
        make_channel: Callable[[ByteStream], Channel],
        open_again: OpenPort | None,
    ) -> None:
        self.addresses = [address]
        self._stream: ByteStream | None = stream
        self._channel: Channel | None = None
        self._make_channel = make_channel
        self._open = open_again
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    async def serve(self, handler: Serve, task_group: TaskGroup) -> None:
        """Serve until cancelled; see `Listener.serve`."""
        while True:
            if self._stream is None:
                if self._open is None:
                    logger.warning("%s: nothing more is served there", self.addresses[0])
                    await anyio.sleep_forever()
                    return
                self._stream = await self._open_again(self._open)
            stream, self._stream = self._stream, None
            begin = anyio.current_time()
            previous, self._channel = self._channel, self._make_channel(stream)
            if previous is not None:
                self._channel.follow(previous)
            await handler(self._channel)
            self._backoff.connection_ended(anyio.current_time() - begin)

    async def aclose(self) -> None:
        """Give the port back, if nobody is served."""
        if self._stream is not None:
            await self._stream.aclose()

    async def _open_again(self, open_port: OpenPort) -> ByteStream:
        """Try until the port is back."""
        while True:
            await anyio.sleep(self._backoff.next_pause())
            try:
                return await open_port()
            except TransportError as error:
                logger.info("%s; trying again", error)
