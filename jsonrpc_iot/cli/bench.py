"""`bench`: how many calls an endpoint answers, and how fast. Its own speed is a limit too."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import anyio
import msgspec

from jsonrpc_iot import CallTimeout, Client, MalformedResponse, RpcError
from jsonrpc_iot.channel.tasks import task_group
from jsonrpc_iot.channel.url import Url

from ._options import (
    DialectOption,
    JsonOption,
    MethodArgument,
    ParamsArgument,
    TimeoutOption,
    UrlArgument,
    connect_to,
    duration,
)
from ._output import is_terminal, print_json
from ._params import Params, read_params
from ._statistics import Histogram, show_milliseconds
from .command.declare import Option

if TYPE_CHECKING:
    from rich.text import Text

_BAR_WIDTH = 40


class Load:
    """The calls so far.

    Attributes:
        times: those of the calls with a result.
        errors: how often each error came: its code, `timeout` or `malformed`.
        last_error: the last of them.
    """

    def __init__(self) -> None:
        self.times = Histogram()
        self.errors: Counter[str] = Counter()
        self.last_error: Exception | None = None
        self._started = self._ended = math.nan

    @property
    def calls(self) -> int:
        """How many have ended."""
        return self.times.count + self.errors.total()

    @property
    def seconds(self) -> float:
        """From the first call to the end of the last."""
        return self._ended - self._started if self.calls else 0.0

    @property
    def per_second(self) -> float:
        """Calls with a result."""
        return self.times.count / self.seconds if self.seconds else 0.0

    async def run(self, client: Client, method: str, params: Params, duration: float) -> None:
        """Call again and again, for `duration` seconds; several may run side by side."""
        now = anyio.current_time()
        if math.isnan(self._started):
            self._started = now
        end = now + duration
        while now < end:
            begun = now
            error: Exception | None = None
            try:
                await client.call(method, params, result=msgspec.Raw)
            except (RpcError, CallTimeout, MalformedResponse) as problem:
                error = problem
            now = self._ended = anyio.current_time()
            if error is None:
                self.times.add(now - begun)
            else:
                self.last_error = error
                self.errors[_name(error)] += 1


class BenchReport(msgspec.Struct, frozen=True):
    """What `bench --json` prints.

    Args:
        url: the endpoint.
        method: what was called.
        concurrency: how many calls were under way at a time.
        seconds: how long it took.
        calls: how many ended, those with an error too.
        calls_per_second: of those with a result.
        errors: how often each came, by its code, `timeout` or `malformed`.
        unit: that of the times, which are those of calls with a result.
        p50: half took no longer.
        p90: 90 % took no longer.
        p99: 99 % took no longer.
        max: the longest.
        histogram: each `[up to that time, how many]`.
    """

    url: str
    method: str
    concurrency: int
    seconds: float
    calls: int
    calls_per_second: float
    errors: dict[str, int]
    unit: str
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    histogram: list[tuple[float, int]]


def bench(
    url: UrlArgument,
    method: MethodArgument,
    params: ParamsArgument = None,
    *,
    concurrency: Annotated[
        int, Option(min=1, max=10_000, metavar="N", help="Calls under way at a time.")
    ] = 8,
    duration: Annotated[float, duration("How long to go on.")] = 5.0,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    json: JsonOption = False,
) -> None:
    """Load an endpoint with calls over one connection, and show what it bears.

    Times are those of calls with a result; errors are counted by their code. Ctrl-C shows what
    there is so far. If every call fails, the exit code is that of the last.
    """
    arguments = read_params(params or ())
    load = Load()

    async def run() -> None:
        async with connect_to(url, timeout, dialect) as client, task_group() as tasks:
            for _ in range(concurrency):
                tasks.start_soon(load.run, client, method, arguments, duration)

    try:
        with _progress(load):
            anyio.run(run)
    finally:
        if load.calls:
            _show(_report(load, url, method, concurrency), as_json=json or not is_terminal())
    if load.last_error is not None and not load.times.count:
        raise load.last_error


def _name(error: Exception) -> str:
    if isinstance(error, RpcError):
        return str(error.code)
    return "timeout" if isinstance(error, CallTimeout) else "malformed"


def _report(load: Load, url: str, method: str, concurrency: int) -> BenchReport:
    return BenchReport(
        url=str(Url.parse(url)),
        method=method,
        concurrency=concurrency,
        seconds=round(load.seconds, 3),
        calls=load.calls,
        calls_per_second=round(load.per_second, 1),
        errors=dict(load.errors.most_common()),
        unit="ms",
        p50=load.times.quantile(0.5),
        p90=load.times.quantile(0.9),
        p99=load.times.quantile(0.99),
        max=load.times.quantile(1),
        histogram=list(load.times.bars()),
    )


def _show(report: BenchReport, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.json.encode(report))
        return
    from rich.console import Console
    from rich.text import Text

    text = Text()
    text.append(f"{report.calls_per_second:,.0f} calls/s", "bold green")
    text.append(
        f"  {report.calls:,} calls in {report.seconds:g} s, {report.concurrency} at a time\n"
    )
    for name, count in report.errors.items():
        text.append(f"error {name}: {count:,}\n", "bold red")
    times = {"p50": report.p50, "p90": report.p90, "p99": report.p99, "max": report.max}
    text.append(", ".join(f"{name} {show_milliseconds(time)}" for name, time in times.items()))
    most = max((count for _, count in report.histogram), default=0)
    for time, count in report.histogram:
        text.append(f"\n{show_milliseconds(time):>10} {count:>9,} ")
        text.append("\u2588" * math.ceil(_BAR_WIDTH * count / most), "cyan")
    Console().print(text)


@contextmanager
def _progress(load: Load) -> Iterator[None]:
    """Show on a terminal how it goes while the block runs."""
    if not is_terminal():
        yield
        return
    from rich.live import Live
    from rich.text import Text

    def text() -> "Text":
        errors = load.errors.total()
        return Text(f"{load.calls:,} calls, {load.per_second:,.0f}/s, {errors:,} errors")

    with Live(get_renderable=text, refresh_per_second=5, transient=True):
        yield
