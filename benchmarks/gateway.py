"""Calls through a gateway: TCP on both sides, each end a process of its own.

One at a time they are held against the same calls straight to the device, and through a relay that
hands on bytes with bare anyio and knows nothing of them. Pipelined, raw sockets bring the load.
"""

from contextlib import ExitStack
from functools import partial

from ._harness import Options, Report, Timed, measure
from ._load import REQUEST, pipelined
from ._servers import beside, server
from .roundtrip import on_loop, our_calls

STRAIGHT = "straight, one at a time"
RELAY = "through a bare anyio relay, one at a time"
GATEWAY = "through the gateway, one at a time"
PIPELINED = "through the gateway, pipelined"
CALLERS = "through the gateway, 200 callers of one client"

_TARGET = 20_000
_CALLERS = 200


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report("gateway", ["wifi.connect over TCP, called by our client unless said"])
    with ExitStack() as stack:
        device = stack.enter_context(server("ours"))
        with beside(device.port):
            gateway = stack.enter_context(server("gateway"))
            relay = stack.enter_context(server("relay"))

        def calls(port: int, tasks: int, method: str = "wifi.connect") -> Timed:
            make = partial(our_calls, f"tcp://127.0.0.1:{port}", method=method)
            return partial(on_loop, "asyncio", make, tasks)

        request = REQUEST.replace(b"wifi.", b"dev.wifi.")
        samples = measure(
            {
                STRAIGHT: calls(device.port, 1),
                RELAY: calls(relay.port, 1),
                GATEWAY: calls(gateway.port, 1, "dev.wifi.connect"),
                PIPELINED: partial(pipelined, gateway.port, request),
                CALLERS: calls(gateway.port, _CALLERS, "dev.wifi.connect"),
            },
            rounds=options.rounds(9),
            seconds=options.seconds(0.5),
        )
    for name, seconds in samples.items():
        report.add(name, "calls/s", [1 / each for each in seconds])
    report.compare("gateway / relay", samples[GATEWAY], samples[RELAY], "<=", 1.3)
    report.compare("gateway / straight", samples[GATEWAY], samples[STRAIGHT], "<=", 2.2)
    rates = [1 / each for each in samples[PIPELINED]]
    what = f"pipelined / {_TARGET:,} a second"
    report.compare(what, rates, [_TARGET] * len(rates), ">=", 1.0)
    return report
