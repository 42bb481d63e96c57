"""Every conformance case over every transport, on real connections.

All cases of one transport share a connection, which no case may break: behind each goes a sentinel
call, and nothing but the case's own replies and the sentinel's may come back.
"""

from functools import cache

import anyio
import pytest

from jsonrpc_iot import Limits

from .backends import Outcome, check_outcome, run_on
from .cases import PACKET_CASES, STREAM_CASES
from .device import Device
from .gatt import GATT
from .model import Case, ok, strict_json
from .recoded import RECODED
from .wire import BY_REQUEST, TRANSPORTS, OpenWire, Transport, Wire

# In JSON-RPC 2.0, so that errors for unreadable messages must be in it too.
SENTINEL = b'{"jsonrpc":"2.0","id":"sentinel","method":"echo","params":["still here"]}'
ANSWER = ok("sentinel", "still here", v2=True)

CASE_SECONDS = 15.0


class Unfinished(Exception):
    """The sentinel was not answered, or too few replies came."""


def cases_for(transport: Transport) -> list[Case]:
    """The cases that can be sent over a transport."""
    cases = STREAM_CASES if transport.stream else PACKET_CASES
    return [case for case in cases if transport.takes(case)]


PARAMS = [
    pytest.param(transport, case, id=f"{transport.name}-{case.name}", marks=transport.marks())
    for transport in (*TRANSPORTS, *RECODED, *BY_REQUEST, *GATT)
    for case in cases_for(transport)
]


@pytest.mark.parametrize(("transport", "case"), PARAMS)
def test_case(transport: Transport, case: Case) -> None:
    for backend in transport.backends:
        check_outcome(case, outcomes(transport, backend)[case.name], backend)


@cache
def outcomes(transport: Transport, backend: str) -> dict[str, Outcome]:
    """What all cases gave over one transport on one event loop."""
    cases = cases_for(transport)
    found: dict[str, Outcome] = {}

    async def run_all() -> None:
        device = Device()
        async with transport.served(device, "", Limits()) as open_wire:
            await _run(device, open_wire, cases, found)

    try:
        run_on(backend, run_all)
    except Exception as error:  # noqa: BLE001 - the tests raise it
        if not any(isinstance(outcome, Exception) for outcome in found.values()):
            return dict.fromkeys((case.name for case in cases), error)
    return found


async def _run(
    device: Device, open_wire: OpenWire, cases: list[Case], found: dict[str, Outcome]
) -> None:
    wire = await open_wire()
    for case in cases:
        device.ran.clear()
        try:
            replies = await _exchange(wire, case)
        except Exception as error:  # noqa: BLE001 - the test of that case raises it
            found[case.name] = error
            await wire.aclose()
            wire = await open_wire()
        else:
            found[case.name] = replies, list(device.ran)
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
