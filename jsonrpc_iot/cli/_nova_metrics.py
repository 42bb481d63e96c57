"""`/metrics` and `/ready` of a platform, over HTTP."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from jsonrpc_iot import Limits, UsageError
from jsonrpc_iot.channel.contract import Channel
from jsonrpc_iot.channel.tasks import task_group
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.channel.web import (
    AsgiReceive,
    AsgiSend,
    Scope,
    WebListener,
    WebRules,
    client_network,
    send_response,
    token_of,
)
from jsonrpc_iot.protocol.exposition import CONTENT_TYPE
from jsonrpc_iot.protocol.text import escape_json

if TYPE_CHECKING:
    from jsonrpc_iot.novacloud.platform.metrics import Metrics

logger = logging.getLogger("jsonrpc_iot.cli")

_PEERS = 32  # connections at once; each needs a descriptor that a device could have
_TEXT = "text/plain; charset=utf-8"


def metrics_url(text: str) -> Url:
    """Where metrics are to be served.

    Raises:
        UsageError: there they cannot be.
    """
    url = Url.parse(text)
    if url.scheme not in ("http", "https"):
        raise UsageError(f"--metrics {url}: an http:// or https:// address is needed")
    if url.path not in ("", "/"):
        raise UsageError(f"--metrics {url}: leave out {url.path}; /metrics and /ready are below")
    return url


@asynccontextmanager
async def serving_metrics(url: Url, metrics: "Metrics") -> AsyncIterator[WebListener]:
    """Answer GET /metrics and /ready while the block runs.

    Args:
        url: where.
        metrics: what is answered; their platform runs.

    Yields:
        The listener, whose addresses have the port.

    Raises:
        BindFailed: the address cannot be had.
        InvalidUrl: an option makes no sense.
    """
    from jsonrpc_iot.transports.web import http

    listener = await http.listen(url, Limits(peers=_PEERS))
    assert isinstance(listener, WebListener)
    pages = _Pages(listener.rules, metrics)
    listener.mount(pages)
    if listener.is_exposed:
        where = ", ".join(listener.addresses)
        logger.warning("%s: other machines can read the metrics: see ?token= and ?ca=", where)
    try:
        async with task_group() as tasks:
            tasks.start_soon(listener.serve, _no_channel, tasks)
            yield listener
            tasks.cancel_scope.cancel()
    finally:
        listener.rules.refuser.close()
        await listener.aclose()


class _Pages:
    """The application that answers.

    Args:
        rules: what the URL says of requests.
        metrics: what it answers.
    """

    def __init__(self, rules: WebRules, metrics: "Metrics") -> None:
        self._rules = rules
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request."""
        if problem := self._rules.objection(scope):
            await _answer(scope, send, 403, problem)
        elif not self._rules.admits(token_of(scope)):
            await self._rules.refuser.wait(client_network(scope))
            how = "www-authenticate", "Bearer"
            await _answer(scope, send, 401, "a bearer token is needed", how)
        elif scope["path"] not in ("/metrics", "/ready"):
            await _answer(scope, send, 404, "there are /metrics and /ready")
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(scope, send, 405, "only GET", ("allow", "GET, HEAD"))
        elif scope["path"] == "/ready":
            health = await self._metrics.readiness()
            text = escape_json(msgspec.json.encode(health).decode())
            kind = ("content-type", "application/json")
            await _answer(scope, send, 200 if health.ok else 503, text, kind)
        else:
            text = await self._metrics.text()
            await _answer(scope, send, 200, text, ("content-type", CONTENT_TYPE))


async def _no_channel(channel: Channel) -> None:
    """Requests are answered by the application; there are no channels."""


async def _answer(
    scope: Scope, send: AsgiSend, status: int, text: str, *more: tuple[str, str]
) -> None:
    body = (text if text.endswith("\n") else f"{text}\n").encode()
    headers = {
        "content-type": _TEXT,
        "cache-control": "no-store",
        "content-length": str(len(body)),
        **dict(more),
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send_response(send, status, pairs, b"" if scope["method"] == "HEAD" else body)
