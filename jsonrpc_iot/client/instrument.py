"""The one thing to call for spans of OpenTelemetry, at either end."""

from typing import TYPE_CHECKING, Protocol

from ..channel.info import ChannelInfo
from ..dispatch.dispatcher import Dispatcher
from ..errors import MissingExtra
from ..peer.spans import Spans

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class Caller(Protocol):
    """A client, with or without async."""

    @property
    def url(self) -> str:
        """Where the device is."""

    @property
    def info(self) -> ChannelInfo:
        """The facts about the present channel."""

    def _note_calls(self, spans: Spans) -> None:
        """Have something take note of all calls from now on."""


def instrument(
    what: Dispatcher | Caller, *, tracer_provider: "TracerProvider | None" = None
) -> None:
    """Make spans of OpenTelemetry of the calls that something answers or makes.

    The trace goes along with requests to devices that know the protocol's extensions, and so
    through gateways. A handler's own calls belong to it, where their client is instrumented too.

    Args:
        what: a dispatcher or gateway, of which each call and notification becomes a span of the
            kind `SERVER`, or a client, where they are of the kind `CLIENT`.
        tracer_provider: makes the spans; the global one by default.

    Raises:
        MissingExtra: OpenTelemetry is not installed.
        TypeError: it is none of these.
    """
    if not isinstance(what, Dispatcher) and not hasattr(what, "_note_calls"):
        kind = type(what).__name__
        raise TypeError(f"instrument: a dispatcher, gateway or client is needed, not {kind}")
    try:
        from .opentelemetry import Answering, Calling, tracer_of
    except ImportError as error:
        raise MissingExtra(
            "OpenTelemetry needs a package: pip install 'jsonrpc-iot[otel]'"
        ) from error

    tracer = tracer_of(tracer_provider)
    if isinstance(what, Dispatcher):
        what.middleware(Answering(tracer))
    else:
        what._note_calls(Calling(tracer, lambda: what.url, lambda: what.info.peer))
