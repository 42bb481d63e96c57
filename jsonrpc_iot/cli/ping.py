"""`ping`: how long a device takes to answer, and how often it does not."""

import math
from typing import Annotated

import anyio
import msgspec

from jsonrpc_iot import CallTimeout, Client, MalformedResponse, RpcError
from jsonrpc_iot.channel.url import Url

from ._options import DialectOption, JsonOption, TraceOption, UrlArgument, connect_to, duration
from ._output import print_json, print_text
from ._statistics import RoundTrips, show_milliseconds
from .command.declare import Option


class Pings:
    """The pings so far.

    Attributes:
        sent: how many were sent.
        times: seconds that each of the answered ones took.
        why: the last one was not answered, in words.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.times: list[float] = []
        self.why = ""

    async def send(self, client: Client) -> None:
        """Send one and wait for its answer. An error is an answer too: it has come all the way."""
        self.sent += 1
        started = anyio.current_time()
        try:
            await client.call("rpc.ping", result=msgspec.Raw)
        except CallTimeout as error:
            self.why = str(error)
            return
        except (RpcError, MalformedResponse):
            pass
        self.times.append(anyio.current_time() - started)


class PingReport(msgspec.Struct, frozen=True):
    """What `ping --json` prints; times are in milliseconds, `loss` is a share from 0 to 1."""

    url: str
    sent: int
    received: int
    loss: float
    unit: str
    min: float | None
    median: float | None
    p99: float | None
    max: float | None


def ping(
    url: UrlArgument,
    *,
    count: Annotated[int, Option(min=1, metavar="N", help="How many to send.")] = 5,
    interval: Annotated[
        float | None,
        duration("Send one every so often, instead of at once after each answer."),
    ] = None,
    timeout: Annotated[
        float, duration("How long to wait for the connection, and for each answer.")
    ] = 5.0,
    dialect: DialectOption = "iot",
    json: JsonOption = False,
    trace: TraceOption = False,
) -> None:
    """Measure the round-trip time of rpc.ping.

    Any answer counts, an error too, since devices that do not know rpc.ping say so. Without a
    single answer the exit code is 124.
    """
    pings = Pings()

    async def run() -> None:
        # Asking for extensions would be one more rpc.ping, which distorts the first measurement.
        async with connect_to(url, timeout, dialect, extensions=False, trace=trace) as client:
            next_time = -math.inf
            for _ in range(count):
                await anyio.sleep_until(next_time)
                if interval is not None:
                    next_time = max(next_time, anyio.current_time()) + interval
                await pings.send(client)

    try:
        anyio.run(run)
    finally:
        if pings.sent:
            _show(pings, url, json=json)
    if not pings.times:
        text = f"{Url.parse(url)}: no answer within {timeout:g} s each"
        is_all = pings.why == f"rpc.ping: no answer within {timeout:g} s"
        raise CallTimeout(text if is_all else f"{text}; {pings.why}")


def _show(pings: Pings, url: str, *, json: bool) -> None:
    received = len(pings.times)
    times = RoundTrips.of(pings.times)
    loss = 1 - received / pings.sent
    if json:
        report = PingReport(
            str(Url.parse(url)),
            pings.sent,
            received,
            round(loss, 4),
            "ms",
            **msgspec.structs.asdict(times),
        )
        print_json(msgspec.json.encode(report))
        return
    print_text(f"{pings.sent} sent, {received} answered, {100 * loss:.3g} % lost")
    if received:
        shown = msgspec.structs.asdict(times).items()
        print_text(", ".join(f"{name} {show_milliseconds(value)}" for name, value in shown))
