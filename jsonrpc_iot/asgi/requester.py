"""Who sends a request: the facts that `authenticate` judges, and what runs for one caller."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import anyio

from ..channel.contract import Channel
from ..channel.info import ChannelInfo
from ..channel.url import host_port
from ..channel.web import Scope, WebRules, client_network, request_attributes
from ..dispatch.turns import Lanes
from ..trust.principal import Standing

Stays = Callable[[str, Standing], bool]
"""Says whether somebody may stay; see `Door.renew`."""


class RequestFacts(Channel):
    """The facts of one request, where other transports have a channel. It carries no messages.

    `info` and `extra` tell what there is: the client's address, its bearer token
    (`ChannelAttribute.bearer_token`), and its certificate (`TLSAttribute.peer_certificate`).

    Args:
        scope: the request's.
        token: its bearer token.
        rules: what holds for it.

    Attributes:
        standing: who sends it, once that is known.
    """

    def __init__(self, scope: Scope, token: str | None, rules: WebRules) -> None:
        scheme, client = scope.get("scheme", "http"), scope.get("client")
        network = client_network(scope)
        server = _pair(scope.get("server"))
        self._info = _info(scheme, _pair(client), server, network, rules.max_message)
        self._scope = scope
        self._token = token
        self._rules = rules
        self.standing = Standing()

    @property
    def info(self) -> ChannelInfo:
        """The facts that every transport has."""
        return self._info

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The facts that only some requests have."""
        return request_attributes(self._scope, self._token, self._rules)

    async def receive(self) -> NoReturn:
        """Fail: a request is no stream of messages."""
        raise anyio.ClosedResourceError

    async def send(self, item: bytes) -> NoReturn:
        """Fail: a request is no stream of messages."""
        raise anyio.ClosedResourceError

    async def send_eof(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


class Requester:
    """What runs for the requests of one principal, or of the strangers of one network.

    Args:
        share: what they share; see `Standing.share_of`.

    Attributes:
        share: as above.
        running: calls that take time.
        lanes: the queues of its calls.
    """

    __slots__ = ("lanes", "running", "share")

    def __init__(self, share: str) -> None:
        self.share = share
        self.running = 0
        self.lanes = Lanes()


_Address = tuple[str, int | None] | None


def _pair(address: Any) -> _Address:
    """An address of a scope, which some servers give as a list."""
    return (address[0], address[1]) if address else None


@lru_cache(maxsize=1024)  # a connection brings many requests
def _info(
    scheme: str, client: _Address, server: _Address, network: str, max_message: int
) -> ChannelInfo:
    return ChannelInfo(
        transport=scheme,
        local=_address(scheme, server),
        peer=_address(scheme, client),
        max_message=max_message,
        can_call_back=False,
        network=network,
    )


def _address(scheme: str, address: _Address) -> str:
    if address is None:
        return f"{scheme}://unknown"
    host, port = address
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host_port(host, port)}"
