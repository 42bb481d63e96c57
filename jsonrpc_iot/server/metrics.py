"""What a server has counted, as Prometheus reads it, and where it is read."""

from collections.abc import Iterable, Iterator, Mapping

import anyio.lowlevel

from ..asgi.metrics import PLACE, MetricsPage
from ..channel.contract import Listener
from ..channel.web import WebListener
from ..dispatch.counted.stats import OTHER_CODES, MethodStats, PrincipalStats, Stats, TransportStats
from ..errors import UsageError
from ..protocol.exposition import Kind, Metric, Sample, histogram
from .house import House

_LINES_AT_ONCE = 500  # others are not to wait for a long text

_LINKS: Mapping[str, tuple[str, Kind, str]] = {
    "peers": ("peers", "gauge", "Peers that are connected."),
    "peers_ever": ("peers_joined_total", "counter", "Peers that have been connected."),
    "messages_in": ("received_messages_total", "counter", "Messages that arrived."),
    "messages_out": ("sent_messages_total", "counter", "Messages that left."),
    "bytes_in": ("received_bytes_total", "counter", "Bytes of messages that arrived."),
    "bytes_out": ("sent_bytes_total", "counter", "Bytes of messages that left."),
}


def mount_metrics(listeners: Iterable[Listener], house: House) -> list[WebListener]:
    """Have `/metrics` answered at each address of HTTP.

    Args:
        listeners: all that there are.
        house: has what is answered.

    Returns:
        Listeners for these paths, to be served and closed.

    Raises:
        UsageError: no address is of HTTP, or that is the path of another URL.
    """
    statistics = house.statistics
    assert statistics is not None

    async def read() -> str:
        return await text_of(statistics.tell())

    pages: list[WebListener] = []
    for listener in listeners:
        if not isinstance(listener, WebListener):
            continue
        if listener.rules.path.rstrip("/") == f"/{PLACE}":
            raise UsageError(f"{listener.addresses[0]}: metrics are to be there: use another path")
        page = listener.at_root(PLACE)
        if page is not None:
            is_open = not house.door.gives_permissions
            page.mount(MetricsPage(page.rules, house.door, None, read, is_open=is_open))
            pages.append(page)
    if not pages:
        raise UsageError("metrics need an http:// or https:// URL among the addresses")
    return pages


async def text_of(stats: Stats) -> str:
    """All metrics, written without keeping the event loop for long."""
    parts: list[str] = []
    for metric in metrics_of(stats):
        for number, line in enumerate(metric.lines()):
            if number == 0:
                parts.append(metric.head())
            elif number % _LINES_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            parts.append(line)
    return "".join(parts)


def metrics_of(stats: Stats) -> Iterator[Metric]:
    """The metrics that there are of these numbers."""
    yield _metric(
        "uptime_seconds", "gauge", "Time since the server began.", [Sample(stats.seconds)]
    )
    yield from _of_methods(stats)
    yield from _of_callers(stats)
    for field, (name, kind, help) in _LINKS.items():
        samples = [
            Sample(getattr(each, field), {"transport": scheme})
            for scheme, each in stats.transports.items()
        ]
        yield _metric(name, kind, help, samples)
    dropped = [
        Sample(count, {"transport": scheme, "reason": reason})
        for scheme, each in stats.transports.items()
        for reason, count in each.dropped.items()
    ]
    yield _metric("dropped_total", "counter", "What was dropped, by reason.", dropped)


def _of_methods(stats: Stats) -> Iterator[Metric]:
    methods = stats.methods
    times = (
        sample
        for name, each in methods.items()
        if each.within
        for sample in histogram(each.within, stats.bounds, each.seconds, {"method": name})
    )
    yield _metric("call_seconds", "histogram", "How long calls took.", times)
    yield _metric("errors_total", "counter", "Calls that failed.", _errors("method", methods))
    running = (Sample(each.in_flight, {"method": name}) for name, each in methods.items())
    yield _metric("calls_in_flight", "gauge", "Calls that run.", running)


def _of_callers(stats: Stats) -> Iterator[Metric]:
    """By whom, and over what; samples of both would be as many as their product."""
    kinds: dict[str, dict[str, PrincipalStats | TransportStats]] = {
        "principal": {**stats.principals},
        "transport": {**stats.transports},
    }
    for kind, entries in kinds.items():
        calls = [Sample(each.calls, {kind: name}) for name, each in entries.items()]
        yield _metric(f"{kind}_calls_total", "counter", f"Calls, by {kind}.", calls)
        help = f"Calls that failed, by {kind}."
        yield _metric(f"{kind}_errors_total", "counter", help, _errors(kind, entries))


def _errors(
    label: str, entries: Mapping[str, MethodStats | PrincipalStats | TransportStats]
) -> Iterator[Sample]:
    for name, each in entries.items():
        for code, count in each.errors.items():
            yield Sample(
                count, {label: name, "code": "other" if code == OTHER_CODES else str(code)}
            )


def _metric(name: str, kind: Kind, help: str, samples: Iterable[Sample]) -> Metric:
    return Metric(f"jsonrpc_{name}", kind, help, samples)
