"""What URLs of HTTP and of WebSockets say."""

from typing import Annotated

from msgspec import Meta

from ...channel.url import Url
from ...channel.web import WebRules
from ...protocol.messages import CodecName
from ..secrets import read_secret
from ..sockets.tls import TlsOptions, is_tls
from .closing import MAX_MESSAGE

_LARGEST_BODY = 16 << 20


class WebOptions(TlsOptions, frozen=True):
    """Options of any of them, beside those of TLS.

    Args:
        max: bytes of the largest message that is sent.
        token: where the bearer token is, `env:NAME` or `file:PATH`. A client sends it, a server
            demands it.
        cors: the origins whose pages may call from a browser, with commas between, `*` for all;
            serving only. Pages of the server's own address always may.
        hosts: names under which the server may be asked, with commas between, `*` for any, beside
            addresses, names of its machine and names without a dot; serving only.
        forwarded: the server is behind a proxy that sets `X-Forwarded-Host`; serving only.
    """

    max: Annotated[int, Meta(gt=0)] = MAX_MESSAGE
    token: str | None = None
    cors: str = ""
    hosts: str = ""
    forwarded: bool = False

    def rules(self, url: Url) -> WebRules:
        """What they say of requests.

        Raises:
            InvalidUrl: there is no token where the URL says that one is.
        """
        token = read_secret(url, "token")
        return WebRules(
            path=url.path,
            max_message=self.max,
            token=token,
            cors=_list_of(self.cors),
            hosts=(url.host.lower(), *_list_of(self.hosts.lower())),
            forwarded=self.forwarded,
        )


def _list_of(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


class HttpOptions(WebOptions, frozen=True):
    """Options of an `http://` or `https://` URL.

    Args:
        in_flight: requests of this end that may be open at once; any number by default.
    """

    max: Annotated[int, Meta(gt=0)] = _LARGEST_BODY
    in_flight: Annotated[int, Meta(gt=0)] | None = None


class WebSocketOptions(WebOptions, frozen=True):
    """Options of a `ws://` or `wss://` URL.

    Args:
        codec: how the messages are written; the same at both ends.
    """

    codec: CodecName = "json"


def host_and_port(url: Url) -> tuple[str, int]:
    """Where a URL leads.

    Raises:
        InvalidUrl: it has no host.
    """
    if not url.host:
        raise url.error(f"a host is missing, as in {url.scheme}://127.0.0.1:8080/rpc")
    return url.host, url.port if url.port is not None else 443 if is_tls(url) else 80
