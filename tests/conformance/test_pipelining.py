"""All cases in a row without waiting for answers, in pieces that cut messages anywhere."""

import anyio
import pytest

from jsonrpc_iot import Limits

from .cases import PACKET_CASES, STREAM_CASES
from .device import shared_device
from .model import Case
from .wire import TRANSPORTS, StreamWire, Transport, Wire

pytestmark = pytest.mark.anyio

SECONDS = 20.0
PIECES = [97, 1 << 16]

PARAMS = [
    pytest.param(one, size, id=f"{one.name}-{size}" if one.stream else one.name, marks=one.marks())
    for one in TRANSPORTS
    if not one.lossy  # where replies have no order
    for size in (PIECES if one.stream else PIECES[:1])
]


@pytest.mark.parametrize(("transport", "size"), PARAMS)
async def test_all_cases_in_a_row(transport: Transport, size: int) -> None:
    device = shared_device()
    device.reset()
    cases = [
        case for case in (STREAM_CASES if transport.stream else PACKET_CASES) if not case.needs_loop
    ]
    messages = [part for n, case in enumerate(cases) for part in (case.sent, _sentinel(n))]
    with anyio.fail_after(SECONDS):
        async with (
            transport.served(device, "", Limits()) as open_wire,
            anyio.create_task_group() as task_group,
        ):
            wire = await open_wire()
            try:
                task_group.start_soon(_send, wire, messages, size)
                for number, case in enumerate(cases):
                    await _check(wire, case, number)
            finally:
                await wire.aclose()
    assert device.ran == [value for case in cases for value in case.ran]


def _sentinel(number: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":"sentinel-%d","method":"void"}' % number


async def _send(wire: Wire, messages: list[bytes], size: int) -> None:
    if isinstance(wire, StreamWire):
        data = b"\n".join(messages) + b"\n"
        for start in range(0, len(data), size):
            await wire.stream.send(data[start : start + size])
    else:
        for message in messages:
            await wire.send(message)


async def _check(wire: Wire, case: Case, number: int) -> None:
    """Receive up to a case's sentinel, whose answer follows those of the case."""
    replies = []
    while b'"sentinel-%d"' % number not in (reply := await wire.receive()):
        replies.append(reply)
    case.check(replies, case.ran)
