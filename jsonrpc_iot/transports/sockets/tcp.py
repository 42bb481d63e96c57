"""`tcp://HOST[:8805]` and `tls://HOST:PORT`: one JSON message a line, both ways."""

import ssl
from typing import Annotated, Any

import anyio
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSStream
from msgspec import Meta

from ...channel.clock import in_time
from ...channel.contract import Channel, Listener
from ...channel.info import ChannelInfo
from ...channel.url import Url, place_of
from ...errors import BindFailed, ConnectFailed, ConnectTimeout
from ...protocol.limits import Limits
from .dial import connect_tcp
from .framed import FramedChannel
from .listener import StreamListener, set_options
from .server_tls import server_tls
from .stream import SocketStream
from .tls import WANTS_CERTIFICATE, TlsOptions, load_context, read_options, reason

DEFAULT_PORT = 8805
MAX_MESSAGE = 1 << 20

_BACKLOG = 4096
_HANDSHAKE_SECONDS = 10.0
_GONE = (anyio.BrokenResourceError, anyio.EndOfStream)

Stream = SocketStream | TLSStream


class TcpOptions(TlsOptions, frozen=True):
    """Options of a `tcp://` or `tls://` URL.

    Args:
        max: bytes of the largest message that is sent.
        reuse_port: several processes on this host share the port; serving only.
    """

    max: Annotated[int, Meta(gt=0)] = MAX_MESSAGE
    reuse_port: bool = False


def read_url(url: Url) -> TcpOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return read_options(url, TcpOptions)


async def connect(url: Url, limits: Limits) -> Channel:
    """Connect to a server."""
    options = read_url(url)
    context = load_context(url, options, server=False)
    stream = await dial(url, _host(url), _port(url), context)
    may_want = context is not None and options.cert is None
    advice = f"it hung up at once{WANTS_CERTIFICATE}" if may_want else ""
    return _channel(url.scheme, options, limits, stream, advice)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind a port, on every address that the host has."""
    options = read_options(url, TcpOptions)
    tls = server_tls(url, options)
    host, port = _host(url), _port(url)
    try:
        bound = await anyio.create_tcp_listener(
            local_host=host,
            local_port=port,
            backlog=_BACKLOG,
            reuse_port=options.reuse_port,
        )
    except (OSError, ValueError) as error:
        raise BindFailed(f"{url}: {reason(error)}") from error

    async def open_channel(stream: SocketStream) -> Channel:
        context = None if tls is None else tls.context
        return _channel(url.scheme, options, limits, await _secure(stream, context))

    sockets = [listening.extra(SocketAttribute.raw_socket) for listening in bound.listeners]
    addresses = [f"{url.scheme}://{place_of(raw.getsockname())}" for raw in sockets]
    return StreamListener(
        sockets,
        addresses,
        open_channel,
        max_peers=limits.peers,
        is_exposed=url.is_exposed and (tls is None or not tls.demands_certificate),
        on_reload=None if tls is None else tls.reload,
        new_stream=SocketStream,
    )


def _host(url: Url) -> str:
    url.forbid_path()
    if not url.host:
        raise url.error(f"a host is missing, as in {url.scheme}://127.0.0.1:{DEFAULT_PORT}")
    return url.host


def _port(url: Url) -> int:
    if url.port is not None:
        return url.port
    if url.scheme == "tls":
        raise url.error("a port is missing")
    return DEFAULT_PORT


async def dial(url: Url, host: str, port: int, context: ssl.SSLContext | None) -> Stream:
    """Connect to a port, and begin TLS where there is a context for it.

    Args:
        url: to be shown.
        host: name or address.
        port: of the server.
        context: for TLS, `None` without.

    Raises:
        ConnectFailed: nobody answers there, or not as the context wants it.
    """
    try:
        return await _secure(await connect_tcp(host, port), context, hostname=host)
    except TimeoutError as error:
        if error.errno is not None:  # the system gave up before there was a connection
            raise ConnectFailed(f"{url}: {reason(error)}") from error
        raise ConnectTimeout(f"{url}: something listens there, but speaks no TLS") from error
    except (OSError, UnicodeError, AttributeError, *_GONE) as error:
        raise ConnectFailed(f"{url}: {reason(error)}") from error


async def _secure(
    stream: SocketStream, context: ssl.SSLContext | None, *, hostname: str | None = None
) -> Stream:
    """Begin to use a connection, which is closed if TLS fails or takes 10 s.

    Raises:
        TimeoutError: it took too long.
    """
    try:
        set_options(stream)
        if context is None:
            return stream
        with anyio.fail_after(in_time(_HANDSHAKE_SECONDS)):
            return await TLSStream.wrap(
                stream,
                server_side=hostname is None,
                hostname=hostname,
                ssl_context=context,
                standard_compatible=False,
            )
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise


def _channel(
    scheme: str, options: TcpOptions, limits: Limits, stream: Stream, advice: str = ""
) -> Channel:
    info = ChannelInfo(
        transport=scheme,
        local=address_of(scheme, stream, SocketAttribute.local_address),
        peer=address_of(scheme, stream, SocketAttribute.remote_address),
        max_message=options.max,
        has_echoes=True,
    )
    return FramedChannel(stream, info, limits, advice)


def address_of(scheme: str, stream: Stream, attribute: Any) -> str:
    """One end's address; the system has none for a connection that is gone already."""
    address = stream.extra(attribute, None)
    return f"{scheme}://{place_of(address)}" if address else f"{scheme}://gone"
