"""What the tests of `tuya-dp://` share: ends in bytes, ends of ours, and what these say."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from jsonrpc_iot import (
    Client,
    Context,
    Dispatcher,
    Server,
    Unencodable,
    connect,
    serve,
)
from tests.waiting import SECONDS

from .raw_line import Raw, frame, raw_device, text, unit

MCU = "tuya-dp+pty://?role=mcu&gap=0"
ON = unit(1, 1, b"\1")


needs_asyncio = pytest.mark.only_on("asyncio")  # as serial ports do


class Home:
    """A dispatcher that keeps what it is told."""

    def __init__(self) -> None:
        self.news: list[object] = []
        self.dispatcher = Dispatcher()
        self.dispatcher.method("echo")(self.echo)
        self.dispatcher.method("big")(self.big)
        self.dispatcher.method("give")(self.give)
        self.dispatcher.notification("tuya.datapoint")(self.datapoint)

    def echo(self, value: object) -> object:
        return value

    def datapoint(self, id: int, type: str, value: object) -> None:
        self.news.append((id, type, value))

    def big(self, size: int) -> str:
        return "x" * size

    async def give(self, context: Context, points: list[object]) -> int | str:
        """Send DataPoints; says how many, or why one is none."""
        try:
            for point in points:
                await context.notify("tuya.datapoint", point)
        except Unencodable as error:
            return str(error)
        return len(points)


@asynccontextmanager
async def serving(url: str = MCU, home: Home | None = None) -> AsyncIterator[Server]:
    with anyio.fail_after(SECONDS):
        async with serve((home or Home()).dispatcher, url, grace=0.2) as server:
            yield server


def down(*units: bytes) -> bytes:
    """A frame from module to MCU."""
    return frame(b"".join(units), 6, 0)


def up(*units: bytes, command: int = 7) -> bytes:
    """A frame from MCU to module."""
    return frame(b"".join(units), command, 3)


def echo(id: object, value: object, **more: object) -> bytes:
    request = {**more, "method": "echo", "id": id, "params": [value]}
    return json.dumps(request, separators=(",", ":")).encode()


@asynccontextmanager
async def mcu_of(options: str = "", home: Home | None = None) -> AsyncIterator[tuple[Raw, Client]]:
    """An MCU in bytes that has gone through the start, and a module of ours."""
    with anyio.fail_after(SECONDS), raw_device() as (mcu, path):
        url = f"tuya-dp://{path}?role=module&gap=0{options}"
        dispatcher = (home or Home()).dispatcher
        async with connect(url, dispatcher=dispatcher, timeout=SECONDS) as client:
            await mcu.expect(frame(command=0))
            mcu.write(frame(b"\0", 0, 3))
            await mcu.expect(frame(command=1))
            mcu.write(frame(b'{"p":"x","v":"1","m":0}', 1, 3))
            await mcu.expect(frame(command=2))
            mcu.write(frame(b"", 2, 3))
            await mcu.expect(frame(b"\4", 3))
            mcu.write(frame(b"", 3, 3))
            await mcu.expect(frame(command=8))
            yield mcu, client


async def answer(mcu: Raw, result: object, *before: bytes, command: int = 7) -> dict[str, object]:
    """Answer one request, and return it."""
    data = await mcu.data(6, 0)
    assert data[:2] == b"\xe8\3"
    request: dict[str, object] = json.loads(data[4:])
    reply = json.dumps({"id": request["id"], "result": result}).encode()
    mcu.write(frame(b"".join(before) + text(reply), command, 3))
    return request
