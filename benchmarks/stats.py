"""What it costs to count: `serve(…, stats=True)` against the same without.

The two run in turns within each round. Dispatching is what a connection has done for each request:
bytes to the bytes of the response, a task and the link left out. A ping-pong is `client.call`, with
both ends on one event loop. What is measured is time of the processor: on a busy machine the rest
is chance.
"""

from asyncio import Runner
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from time import thread_time

from anyio.from_thread import BlockingPortal, start_blocking_portal

from jsonrpc_iot import ChannelInfo, Dispatcher, connect, serve
from jsonrpc_iot.dispatch.counted.book import Book
from jsonrpc_iot.dispatch.counted.responder import CountingResponder
from jsonrpc_iot.dispatch.counted.stats import Stats
from jsonrpc_iot.dispatch.responder import Begun, Responder
from jsonrpc_iot.dispatch.run.call import PendingCall
from jsonrpc_iot.dispatch.run.context import CallContext
from jsonrpc_iot.protocol.session import Session
from jsonrpc_iot.trust.principal import Standing

from ._harness import Comparison, Options, Report, Timed, async_loop, measure, sync_loop

SYNC, ASYNC = "sync handler", "async handler"
METHODS = {SYNC: "echo", ASYNC: "echo_async"}
LINKS = {"tcp": 101, "udp": 15, "http": 15}
"""Rounds that each is measured in: one is to hold a bound of a few percent."""

_INFO = ChannelInfo(transport="tcp", local="tcp://here", peer="tcp://there", max_message=None)
_PARAMS = {"value": "x"}
_RESPONSE = b'{"id":12345,"result":"x"}'

device = Dispatcher()


@device.method
def echo(value: str) -> str:
    """Give back a text at once."""
    return value


@device.method
async def echo_async(value: str) -> str:
    """Give it back without waiting."""
    return value


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(
        "stats",
        ["echo of a short text, counted or not: both ends on one event loop, time of the CPU"],
    )
    with Runner() as runner:
        contenders = _dispatching(runner)
        seconds = options.seconds(0.02)
        samples = measure(contenders, rounds=options.rounds(51), seconds=seconds)
    links: dict[str, list[float]] = {}
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        for link, rounds in LINKS.items():
            timed = _links(portal, stack, link)
            seconds = options.seconds(0.05)
            links |= measure(timed, rounds=options.rounds(rounds), seconds=seconds)
    for name, taken in {**samples, **links}.items():
        report.add(name, "us", [1e6 * each for each in taken])
    for handler in METHODS:
        _compare(report, samples, f"dispatch, {handler}", 1.4)
        _compare(report, links, f"tcp, {handler}", 1.05)
        for link in ("udp", "http"):
            _compare(report, links, f"{link}, {handler}")
    return report


def _compare(
    report: Report, samples: Mapping[str, list[float]], name: str, target: float | None = None
) -> None:
    over, under = samples[f"{name}, counted"], samples[name]
    comparison: Comparison | None = None if target is None else "<="
    report.compare(f"{name}, counted / not", over, under, comparison, target)


def _dispatching(runner: Runner) -> dict[str, Timed]:
    plain = device.responder("json")
    counting = CountingResponder(plain, Book(lambda: Stats(0.0)))
    found = {}
    for suffix, responder in (("", plain), (", counted", counting)):
        for handler, method in METHODS.items():
            answer = _answering(responder, method)
            found[f"dispatch, {handler}{suffix}"] = (
                sync_loop(answer, _check, thread_time)
                if handler == SYNC
                else async_loop(runner, _run(answer), _check, thread_time)
            )
    return found


def _check(reply: Begun) -> None:
    if reply != _RESPONSE:
        raise AssertionError(f"wrong result: {reply!r:.200}")


def _answering(responder: Responder, method: str) -> Callable[[], Begun]:
    """What a connection does with a request to a method."""
    request = b'{"method":"%s","id":12345,"params":{"value":"x"}}' % method.encode()
    context = CallContext(None, _INFO, Standing())
    return partial(responder.begin, request, context, None, Session(responder.codec))


def _run(begin: Callable[[], Begun]) -> Callable[[], Awaitable[Begun]]:
    async def answer() -> Begun:
        begun = begin()
        assert isinstance(begun, PendingCall)
        return await begun.run_alone()

    return answer


def _links(portal: BlockingPortal, stack: ExitStack, link: str) -> dict[str, Timed]:
    url = f"{link}://127.0.0.1:0"
    timed: dict[str, Timed] = {}
    for suffix, counts in (("", False), (", counted", True)):
        served = serve(device, url, stats=counts)
        server = stack.enter_context(portal.wrap_async_context_manager(served))
        client = stack.enter_context(portal.wrap_async_context_manager(connect(server.urls[0])))
        for handler, method in METHODS.items():
            call = partial(client.call, method, _PARAMS)
            timed[f"{link}, {handler}{suffix}"] = partial(portal.call, _seconds, call)
    return timed


async def _seconds(call: Callable[[], Awaitable[object]], count: int) -> float:
    begin = thread_time()
    for _ in range(count):
        await call()
    return thread_time() - begin
