"""HTTP as a raw connection: each message in a POST of its own, each body as it comes.

The client's own channel answers calls in the server's place where HTTP itself fails, and judges
what comes back; here the bodies have to be seen as they are.
"""

import math
import ssl
from collections.abc import Mapping
from urllib.parse import quote

import anyio
import httpx2

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...channel.url import Url, host_port
from ...errors import ConnectFailed
from ...transports.secrets import read_secret
from ...transports.sockets.tcp import dial
from ...transports.sockets.tls import load_context, read_options
from ...transports.web.options import HttpOptions, host_and_port
from .answer import EVENTS, Answer
from .model import LineEnded

_SECONDS = 10.0
_FIRST_SECONDS = 0.5
_JSON = {"content-type": "application/json"}


class Posts(Channel):
    """Messages to a server over HTTP, and the bodies of its answers.

    Args:
        url: of the server.

    Attributes:
        path: of the server.

    Raises:
        InvalidUrl: the URL makes no sense.
    """

    def __init__(self, url: Url) -> None:
        options = read_options(url, HttpOptions)
        self._url = url
        self._address = host_and_port(url)
        self._context = load_context(url, options, server=False)
        self._host = host_port(*self._address)
        self.path = quote(url.path) or "/"
        self._place = f"{url.scheme}://{self._host}{self.path}"
        token = read_secret(url, "token")
        self._proof = {} if token is None else {"authorization": f"Bearer {token}"}
        self._client = httpx2.AsyncClient(
            verify=self._context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            headers=self._proof,
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

    async def ask(
        self, verb: str, place: str = "", headers: Mapping[str, str] = {}, body: bytes = b""
    ) -> Answer:
        """Make any request; of events only the first is read.

        Args:
            verb: of the request.
            place: goes behind the path.
            headers: of the request.
            body: of the request.

        Raises:
            LineEnded: there is no answer.
        """
        url = f"{self._place}{place}"
        try:
            async with self._client.stream(verb, url, headers=headers, content=body) as response:
                content = b""
                with anyio.move_on_after(_FIRST_SECONDS if _has_events(response) else math.inf):
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        if _has_events(response):
                            break
                return Answer(response.status_code, response.headers, content)
        except (httpx2.HTTPError, OSError) as error:
            raise LineEnded(f"no answer over HTTP: {error}") from None

    async def announce(self, size: int, seconds: float) -> Answer:
        """Begin a POST by saying how large its body is, and send none; the head of the answer.

        Args:
            size: bytes.
            seconds: how long to wait.

        Raises:
            LineEnded: there is no answer.
        """
        names = {"host": self._host, "content-length": str(size), **_JSON, **self._proof}
        head = [f"POST {self.path} HTTP/1.1", *(f"{name}: {text}" for name, text in names.items())]
        begun = b""
        try:
            async with await dial(self._url, *self._address, self._context) as stream:
                await stream.send("\r\n".join([*head, "", ""]).encode())
                with anyio.fail_after(seconds):
                    while b"\r\n" not in begun:
                        begun += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError, ConnectFailed):
            raise LineEnded("no answer to the head of a request") from None
        words = begun.split(maxsplit=2)
        return Answer(int(words[1]) if len(words) > 1 and words[1].isdigit() else 0, {}, b"")

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


def _has_events(response: httpx2.Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith(EVENTS)
