"""HTTP as a raw connection: each message in a POST of its own, each body as it comes.

The client's own channel answers calls in the server's place where HTTP itself fails, and judges
what comes back; here the bodies have to be seen as they are.
"""

import math
import ssl
from urllib.parse import quote

import anyio
import httpx2

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...channel.url import Url, host_port
from ...transports.secrets import read_secret
from ...transports.sockets.tls import load_context, read_options
from ...transports.web.options import HttpOptions, host_and_port

_SECONDS = 10.0
_JSON = {"content-type": "application/json"}


class Posts(Channel):
    """Messages to a server over HTTP, and the bodies of its answers.

    Args:
        url: of the server.

    Raises:
        InvalidUrl: the URL makes no sense.
    """

    def __init__(self, url: Url) -> None:
        options = read_options(url, HttpOptions)
        self._place = f"{url.scheme}://{host_port(*host_and_port(url))}{quote(url.path) or '/'}"
        token = read_secret(url, "token")
        self._client = httpx2.AsyncClient(
            verify=load_context(url, options, server=False)
            or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            headers={} if token is None else {"authorization": f"Bearer {token}"},
            timeout=_SECONDS,
            trust_env=url.is_exposed,  # no proxy leads to this machine
        )
        self._info = ChannelInfo(
            transport=url.scheme,
            local=f"{url.scheme}://client",
            peer=self._place,
            max_message=options.max,
            can_call_back=False,
        )
        self._bodies, self._inbox = anyio.create_memory_object_stream[bytes](math.inf)

    @property
    def info(self) -> ChannelInfo:
        """The facts about this channel."""
        return self._info

    async def send(self, item: bytes) -> None:
        """Make a POST and wait for its end, so that no answer comes behind that of a later one."""
        try:
            response = await self._client.post(self._place, content=item, headers=_JSON)
        except httpx2.ReadTimeout:
            return  # it is not answered
        except (httpx2.HTTPError, OSError):
            self._bodies.close()
            raise anyio.BrokenResourceError from None
        if response.content:
            self._bodies.send_nowait(response.content)

    async def receive(self) -> bytes:
        """The next body."""
        return await self._inbox.receive()

    async def send_eof(self) -> None:
        """There is no such thing."""
        raise NotImplementedError("HTTP has no end of a direction")

    async def aclose(self) -> None:
        """End the connections."""
        self._bodies.close()
        self._inbox.close()
        await self._client.aclose()
