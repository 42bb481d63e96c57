"""Every conformance case over every transport, on real connections.

All cases of one transport share a connection, which no case may break: behind each goes a sentinel
call, and nothing but the case's own replies and the sentinel's may come back.
"""

from functools import partial

import anyio
import pytest

from jsonrpc_iot import Limits
from jsonrpc_iot.testing.conformance.replies import ok, strict_json

from .backends import Failures, Outcome, run_on
from .cases import PACKET_CASES, STREAM_CASES
from .device import Device
from .gatt import GATT
from .model import Case
from .recoded import RECODED
from .wire import BY_REQUEST, TRANSPORTS, Transport, Wire

# In JSON-RPC 2.0, so that errors for unreadable messages must be in it too.
SENTINEL = b'{"jsonrpc":"2.0","id":"sentinel","method":"echo","params":["still here"]}'
ANSWER = ok("sentinel", "still here", v2=True)

CASE_SECONDS = 15.0
ENOUGH = 10  # cases that went wrong: the others would take their time each


class Unfinished(Exception):
    """The sentinel was not answered, or too few replies came."""


def cases_for(transport: Transport) -> list[Case]:
    """The cases that can be sent over a transport."""
    cases = STREAM_CASES if transport.stream else PACKET_CASES
    return [case for case in cases if transport.takes(case)]


PARAMS = [
    pytest.param(transport, backend, id=f"{transport.name}-{backend}", marks=transport.marks())
    for transport in (*TRANSPORTS, *RECODED, *BY_REQUEST, *GATT)
    for backend in transport.backends
]


@pytest.mark.parametrize(("transport", "backend"), PARAMS)
def test_cases(transport: Transport, backend: str) -> None:
    failures = Failures()
    run_on(backend, partial(_run, transport, failures))
    failures.raise_all()


async def _run(transport: Transport, failures: Failures) -> None:
    device = Device()
    async with transport.served(device, "", Limits()) as open_wire:
        wire = await open_wire()
        for case in cases_for(transport):
            device.ran.clear()
            try:
                outcome: Outcome = await _exchange(wire, case), list(device.ran)
            except Exception as error:  # noqa: BLE001 - it is the case's own
                outcome = error
                await wire.aclose()
                wire = await open_wire()
            failures.check(case, outcome)
            if len(failures.found) == ENOUGH:
                break
        await wire.aclose()


async def _exchange(wire: Wire, case: Case) -> list[bytes]:
    """Send a case and a sentinel; return what came back beside the sentinel's answer."""
    wanted = min(len(expect) for expect in (case.expect, *case.also))
    replies: list[bytes] = []
    answered = False
    with anyio.move_on_after(CASE_SECONDS):
        await wire.send(case.sent)
        await wire.send(SENTINEL)
        while not answered or len(replies) < wanted:
            reply = await wire.receive()
            if not answered and b'"sentinel"' in reply:
                assert ANSWER.faults(strict_json(reply)) == []
                answered = True
            else:
                replies.append(reply)
        return replies
    raise Unfinished(f"sentinel answered: {answered}; replies: {replies!r:.500}")
