"""How a client reaches a server over HTTP, and learns whether it has events."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote

import anyio
import httpx2

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...channel.url import Url, host_port
from ...errors import ConnectFailed, ConnectTimeout
from ...protocol.codec.json import JsonCodec
from ...protocol.limits import Limits
from ..sockets.tls import WANTS_CERTIFICATE, reason
from .http_client import FAILED, HEADERS, HttpChannel
from .http_events import Events
from .http_replies import ENCODINGS, is_reply
from .options import HttpOptions, host_and_port

_RECEIVE_BYTES = 16 << 20
_CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 30.0
_KEEP_SECONDS = 3.0  # shorter than any server's
_PING = b'{"jsonrpc":"2.0","id":0,"method":"rpc.ping"}'


async def open_channel(
    url: Url,
    limits: Limits,
    options: HttpOptions,
    token: str | None,
    context: ssl.SSLContext | None,
) -> Channel:
    """Reach a server, and subscribe to its events where it has such.

    Args:
        url: where.
        limits: of which `in_flight`, `nesting` and `receive_bytes` are used here.
        options: of the URL.
        token: is sent as a bearer token.
        context: for TLS.

    Raises:
        ConnectFailed: nobody answers there, nothing is at the path, or the token is refused.
        InvalidUrl: the URL has no host.
    """
    place = f"{url.scheme}://{host_port(*host_and_port(url))}{quote(url.path) or '/'}"
    client = httpx2.AsyncClient(
        # Without TLS nobody is trusted: to load the usual authorities takes most of the time.
        verify=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        headers={"accept-encoding": ENCODINGS}
        | ({} if token is None else {"authorization": f"Bearer {token}"}),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none are kept
        timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS, write=_WRITE_SECONDS),
        limits=httpx2.Limits(
            max_connections=limits.in_flight + 2,
            max_keepalive_connections=limits.in_flight,
            keepalive_expiry=_KEEP_SECONDS,
        ),
        trust_env=url.is_exposed,  # no proxy leads to this machine
    )
    events = Events(client, place)
    try:
        status = await events.open()
        may_know = status == 403 or (status == 401 and token is None)  # why calls are refused
        may_ping = may_know and await _answers_strangers(client, place)
        if status in (401, 403, 407) and not may_ping:
            raise ConnectFailed(f"{url}: HTTP {status}, the server wants another token")
        if status == 404 and not await _takes_posts(client, place):
            raise ConnectFailed(f"{url}: HTTP 404, nothing is served at this path")
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await client.aclose()
        if isinstance(error, TimeoutError) and error.errno is None:
            raise ConnectTimeout(
                f"{url}: something listens there, but speaks no {url.scheme.upper()}"
            ) from error
        if isinstance(error, (*FAILED, httpx2.InvalidURL, ValueError)):
            hung_up = isinstance(error, (httpx2.RemoteProtocolError, httpx2.ReadError))
            advice = WANTS_CERTIFICATE if hung_up and context and options.cert is None else ""
            raise ConnectFailed(f"{url}: {reason(error).rstrip('.')}{advice}") from error
        raise
    info = ChannelInfo(
        transport=url.scheme,
        local=f"{url.scheme}://client",
        peer=place,
        max_message=options.max,
        in_flight=options.in_flight,
    )
    receive_bytes = max(limits.receive_bytes, _RECEIVE_BYTES)
    return HttpChannel(client, place, events, info, receive_bytes, JsonCodec(limits).check)


async def _answers_strangers(client: httpx2.AsyncClient, place: str) -> bool:
    """Whether a server that keeps its events from strangers lets them ping, and so pair."""
    response = await client.post(place, content=_PING, headers=HEADERS)
    return response.is_success


async def _takes_posts(client: httpx2.AsyncClient, place: str) -> bool:
    """Whether anything is at a path whose GET gives 404, as it does where only POST is routed."""
    response = await client.post(place, content=_PING, headers=HEADERS)
    return response.status_code != 404 or is_reply(response, response.content)
