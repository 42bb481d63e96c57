"""What the tests of Tuya links share: both ends of a line in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from jsonrpc_iot import Dispatcher
from jsonrpc_iot.testing import (
    VirtualSerial,
)
from jsonrpc_iot.tuya import (
    DataPoint,
    DataPointType,
    TuyaMcu,
    TuyaModule,
)

SECONDS = 10.0
ON = DataPoint(1, DataPointType.BOOL, True)


def level(value: int, id: int = 2) -> DataPoint:
    return DataPoint(id, DataPointType.VALUE, value)


class Both:
    """Both ends of a line, and what they were told."""

    def __init__(self, line: VirtualSerial[ByteStream]) -> None:
        self.line = line
        self.mcu = TuyaMcu(line.first, "pid")
        self.module = TuyaModule(line.second, rssi=-60)
        self.told: list[object] = []
        self.news = anyio.Event()

    def tell(self, what: object) -> None:
        self.told.append(what)
        self.news.set()

    async def until(self, count: int) -> list[object]:
        """Wait until so much was told."""
        while len(self.told) < count:
            self.news = anyio.Event()
            await self.news.wait()
        return self.told


@asynccontextmanager
async def opened(line: VirtualSerial[ByteStream]) -> AsyncIterator[Both]:
    both = Both(line)
    async with both.mcu, both.module:
        await both.module.wait_online()
        yield both


def echoing() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    def echo(value: object) -> object:
        return value

    return dispatcher
