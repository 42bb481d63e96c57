"""A served device with one raw connection to it, for tests that are more than a table."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot import Limits
from jsonrpc_iot.testing.conformance.replies import METHOD_NOT_FOUND, Message, ok, strict_json

from .device import Device, shared_device
from .model import Case
from .wire import TRANSPORTS, OpenWire, StreamWire, Transport, Wire

SECONDS = 20.0


def over(*transports: Transport) -> pytest.MarkDecorator:
    """Run the test over each of these transports."""
    params = [pytest.param(one, id=one.name, marks=one.marks()) for one in transports]
    return pytest.mark.parametrize("transport", params)


everywhere = over(*TRANSPORTS)
where_max_holds = over(*(one for one in TRANSPORTS if not (one.cuts or one.small)))
both_ways = over(*(one for one in TRANSPORTS if not one.one_way))
on_lines_of_two = over(*(one for one in TRANSPORTS if not one.one_way and not one.shared))
on_shared_lines = over(*(one for one in TRANSPORTS if not one.one_way and one.shared))
for_calls_at_once = over(*(one for one in TRANSPORTS if not one.one_way and not one.one_call))
on_servers = over(*(one for one in TRANSPORTS if one.name != "client" and not one.one_way))
on_streams = over(*(one for one in TRANSPORTS if one.stream))


class Link:
    """A device that is served, and one raw connection to it."""

    def __init__(self, device: Device, open_wire: OpenWire, wire: Wire) -> None:
        self.device = device
        self.open_wire = open_wire
        self.wire = wire

    async def send(self, *messages: bytes) -> None:
        for message in messages:
            await self.wire.send(message)

    async def receive_bytes(self) -> bytes:
        """The next message; a device that asks about extensions is told that we know none."""
        while True:
            message = await self.wire.receive()
            value = strict_json(message)
            if not isinstance(value, dict) or value.get("method") != "rpc.ping":
                return message
            error = {"code": METHOD_NOT_FOUND, "message": "Method not found"}
            await self.send(json.dumps({"id": value["id"], "error": error}).encode())

    async def receive(self) -> dict[str, object]:
        value = strict_json(await self.receive_bytes())
        assert isinstance(value, dict)
        return value

    async def expect(self, *messages: Message) -> None:
        """Receive exactly these messages, in any order."""
        received = [await self.receive_bytes() for _ in messages]
        Case("", b"", messages).check(received, [])

    async def expect_silence(self) -> None:
        """Nothing waits to be received."""
        await self.send(b'{"id":"silent","method":"void"}')
        await self.expect(ok("silent", None))

    async def stream_send(self, data: bytes) -> None:
        assert isinstance(self.wire, StreamWire)
        await self.wire.stream.send(data)


@asynccontextmanager
async def linked(
    transport: Transport, options: str = "", limits: Limits = Limits()
) -> AsyncIterator[Link]:
    device = shared_device()
    device.reset()
    with anyio.fail_after(SECONDS):
        async with transport.served(device, options, limits) as open_wire:
            link = Link(device, open_wire, await open_wire())
            try:
                yield link
            finally:
                await link.wire.aclose()
