"""Calls as spans of OpenTelemetry: those that a dispatcher answers, and those that a client makes.

Source: OpenTelemetry, Semantic conventions for JSON-RPC, with the names that are current since
`rpc.system.name`. No params, results and texts of errors are in spans.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import UNSET
from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..channel.clock import now
from ..dispatch.declare.context import Context
from ..dispatch.run.middleware import Call, Next
from ..errors import Cancelled, DeadlineExceeded, InternalError, JsonRpcIotError, RpcError

if TYPE_CHECKING:
    from opentelemetry.context import Context as OtelContext

_TRANSPORTS = {"udp": "udp", "pipe": "unix", "unix": "unix"}
_OVER_TCP = ("tcp", "tls", "ws", "wss", "http", "https", "mqtt", "mqtts")
_PROTOCOLS = {
    "http": "http",
    "https": "http",
    "ws": "websocket",
    "wss": "websocket",
    "mqtt": "mqtt",
    "mqtts": "mqtt",
}
_OWN = "rpc."  # the protocol's methods, of which no spans are made

_read = TraceContextTextMapPropagator().extract
_NOTHING = otel_context.Context()


def tracer_of(provider: otel.TracerProvider | None) -> otel.Tracer:
    """What makes the spans, of the global provider by default."""
    return otel.get_tracer("jsonrpc_iot", tracer_provider=provider)


class Answering:
    """Middleware that makes a span of each call.

    Args:
        tracer: makes the spans.
    """

    def __init__(self, tracer: otel.Tracer) -> None:
        self._tracer = tracer

    async def __call__(self, call: Call, context: Context, next: Next) -> Any:
        """Have a call answered; see `Middleware`."""
        if call.method.startswith(_OWN):
            return await next(call, context)
        attributes = _attributes(call.method)
        if context.info is not None:
            attributes |= _ends(context.info.local, "server") | _ends(context.info.peer, "client")
            attributes |= _network(context.info.peer)
        if call.id is not UNSET and call.id is not None:
            attributes["jsonrpc.request.id"] = str(call.id)
        parent = _parent(context)
        span = self._tracer.start_span(
            call.method, parent, otel.SpanKind.SERVER, attributes=attributes
        )
        inside = otel.set_span_in_context(span, parent)
        context.traceparent = _written(span) or context.traceparent
        token = otel_context.attach(inside)
        try:
            return await next(call, context)
        except BaseException as failure:
            _fail(span, str(_code(failure, context)), is_code=True)
            raise
        finally:
            otel_context.detach(token)
            span.end()


class Calling:
    """Makes a span of each call of one client; see `Spans`.

    Args:
        tracer: makes the spans.
        url: gives the device's.
        peer: gives the other end of the present connection.
    """

    def __init__(
        self, tracer: otel.Tracer, url: Callable[[], str], peer: Callable[[], str]
    ) -> None:
        self._tracer = tracer
        self._url = url
        self._peer = peer

    def begin(self, method: str) -> "_Outgoing":
        """See `Spans.begin`."""
        attributes = _attributes(method) | _ends(self._url(), "server")
        span = self._tracer.start_span(method, kind=otel.SpanKind.CLIENT, attributes=attributes)
        return _Outgoing(span, self._peer)


class _Outgoing:
    """One call that is under way."""

    def __init__(self, span: otel.Span, peer: Callable[[], str]) -> None:
        self._span = span
        self._peer = peer
        self.traceparent = _written(span)

    def end(self, failure: object = None) -> None:
        """See `Span.end`."""
        if not self._span.is_recording():
            return
        with suppress(JsonRpcIotError):  # there is no connection
            self._span.set_attributes(_network(self._peer()))
        if isinstance(failure, RpcError):
            _fail(self._span, str(failure.code), is_code=True)
        elif isinstance(failure, BaseException):
            kind = type(failure)
            _fail(self._span, f"{kind.__module__}.{kind.__qualname__}", is_code=False)
        self._span.end()


def _parent(context: Context) -> "OtelContext":
    """What a call belongs to: its trace, or what a web server has made of its request."""
    remote = _NOTHING
    if context.traceparent is not None:
        remote = _read({"traceparent": context.traceparent}, _NOTHING)
    if context.info is None or context.info.transport not in ("http", "https"):
        return remote  # what was current when the server began has nothing to do with it
    here = otel.get_current_span().get_span_context()
    there = otel.get_current_span(remote).get_span_context()
    is_inside = here.is_valid and there.trace_id in (here.trace_id, otel.INVALID_TRACE_ID)
    return otel_context.get_current() if is_inside else remote


def _written(span: otel.Span) -> str | None:
    about = span.get_span_context()
    if not about.is_valid:
        return None
    return f"00-{about.trace_id:032x}-{about.span_id:016x}-{about.trace_flags:02x}"


def _code(failure: BaseException, context: Context) -> int:
    """The code of the error that a failure is answered with."""
    if isinstance(failure, RpcError) and failure.problem is None:
        return failure.code
    if isinstance(failure, Exception):
        return InternalError.code
    is_late = context.deadline is not None and now() >= context.deadline
    return DeadlineExceeded.code if is_late else Cancelled.code


def _fail(span: otel.Span, kind: str, *, is_code: bool) -> None:
    span.set_attribute("error.type", kind)
    if is_code:
        span.set_attribute("rpc.response.status_code", kind)
    span.set_status(otel.StatusCode.ERROR)


def _attributes(method: str) -> dict[str, str | int]:
    return {"rpc.system.name": "jsonrpc", "rpc.method": method}


def _ends(url: str, end: str) -> dict[str, str | int]:
    """The address of one end."""
    address, port = _address(url)
    found: dict[str, str | int] = {f"{end}.address": address}
    return found if port is None else found | {f"{end}.port": port}


@lru_cache(256)
def _network(url: str) -> Mapping[str, str | int]:
    """What is known of the connection to the other end."""
    scheme = urlsplit(url).scheme
    address, port = _address(url)
    transport = "tcp" if scheme in _OVER_TCP else _TRANSPORTS.get(scheme)
    found = {
        "network.peer.address": address,
        "network.peer.port": port,
        "network.transport": transport,
        "network.protocol.name": _PROTOCOLS.get(scheme),
    }
    return {name: value for name, value in found.items() if value is not None}


@lru_cache(256)
def _address(url: str) -> tuple[str, int | None]:
    """Host and port of a URL, or what it has instead: a path, a name."""
    try:
        parts = urlsplit(url)
        if parts.hostname and (port := parts.port) is not None:
            return parts.hostname, port
    except ValueError:  # an address of Bluetooth looks like a port that is none
        parts = urlsplit(url.partition("?")[0])
    return parts.netloc.rpartition("@")[2] or parts.path or parts.scheme, None
