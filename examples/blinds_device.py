"""The blind itself, without a motor."""

import sys
from collections.abc import AsyncIterator
from functools import partial

from blinds import Blinds, Position

from jsonrpc_iot import Dispatcher, run


class SimulatedBlinds(Blinds):
    def __init__(self) -> None:
        self._at = Position(open=0)

    async def move(self, open: int = 100) -> Position:
        self._at = Position(open)
        self.moved.emit(self._at)
        return self._at

    async def position(self) -> Position:
        return self._at

    async def follow(self, open: int, *, step: int = 25) -> AsyncIterator[Position]:
        while self._at.open < open:
            yield await self.move(min(open, self._at.open + step))

    async def stop(self) -> None:
        self._at.moving = False


if __name__ == "__main__":
    device = Dispatcher()
    device.include(SimulatedBlinds())
    run(device, *sys.argv[1:] or ["tcp://127.0.0.1:8805"], on_listening=partial(print, flush=True))
