"""Calls over UDP: one client at a time, and a thousand at once on one port.

Every server is a process of its own; the load comes from this one. Ping-pong is held against an
anyio server that sends back each datagram and does nothing else. The target is for a method that
is idempotent: requests to others are remembered for 30 s, in case they come again, and that figure
is printed next to it.
"""

from contextlib import ExitStack
from functools import partial
from statistics import median

from ._harness import Options, Report, measure
from ._servers import server
from ._udp_load import IDEMPOTENT, NULL, PING, REMEMBERED, TRUE, Exchange, Storm, ping_pong, storm

CLIENTS = 1000
CALLS = 10
OURS = "ping-pong, idempotent"
PINGS = "ping-pong, rpc.ping"
NOT_IDEMPOTENT = "ping-pong, not idempotent"
ECHO = "anyio echo, ping-pong"


def run(options: Options) -> Report:
    """Measure and compare."""
    clients = 100 if options.quick else CLIENTS
    at_once = f"{clients:,} clients at once"
    backend = options.backend
    report = Report(
        "udp",
        [
            f"wifi.connect in one datagram, or rpc.ping; servers on {backend}, sync handlers",
            f"{at_once}: {CALLS} calls each, one after the other, up to the first that is lost",
        ],
    )
    with ExitStack() as stack:
        ours = stack.enter_context(server("udp", backend))
        remembering = stack.enter_context(server("udp", backend))
        echo = stack.enter_context(server("udp_echo", backend))
        load = {
            OURS: partial(ping_pong, ours.port, Exchange(IDEMPOTENT, NULL)),
            PINGS: partial(ping_pong, ours.port, Exchange(PING, TRUE)),
            NOT_IDEMPOTENT: partial(ping_pong, remembering.port, Exchange(REMEMBERED, NULL)),
            ECHO: partial(ping_pong, echo.port, Exchange(IDEMPOTENT)),
        }
        samples = measure(load, rounds=options.rounds(9), seconds=options.seconds(0.3))
        storms: dict[str, list[Storm]] = {"serve": [], "anyio echo": []}
        for _ in range(options.rounds(5)):
            call = Exchange(IDEMPOTENT, NULL)
            storms["serve"].append(storm(ours.port, call, clients, CALLS))
            back = Exchange(IDEMPOTENT)
            storms["anyio echo"].append(storm(echo.port, back, clients, CALLS))

    rates = {name: [1 / second for second in seconds] for name, seconds in samples.items()}
    notes = {NOT_IDEMPOTENT: "each is remembered"}
    for name, rate in rates.items():
        report.add(name, "calls/s", rate, notes.get(name, ""))
    for name, results in storms.items():
        calls = [each.answered / each.seconds for each in results]
        lost = [each.made - each.answered for each in results]
        note = f"{clients * CALLS:,} in {median(each.seconds for each in results):.2f} s"
        report.add(f"{at_once}, {name}", "calls/s", calls, "" if any(lost) else note)
        made = f"of {median(each.made for each in results):,.0f} made"
        report.add(f"{at_once}, {name}, lost", "calls", lost, made)
    report.compare(f"{OURS} / anyio echo", rates[OURS], rates[ECHO], ">=", 0.85)
    report.compare(f"{PINGS} / anyio echo", rates[PINGS], rates[ECHO])
    report.compare(f"{NOT_IDEMPOTENT} / anyio echo", rates[NOT_IDEMPOTENT], rates[ECHO])
    results = storms["serve"]
    answered = [each.answered for each in results]
    report.compare(
        f"{at_once}: answered / made", answered, [each.made for each in results], ">=", 1
    )
    return report
