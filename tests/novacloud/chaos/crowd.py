"""Many devices in one process, of which each costs little: `python -m tests.novacloud.chaos.crowd`.

They do, and print, what those of `devices` do: they keep reports until these are acknowledged, and
answers to commands that come again, and wait before they connect again as a `NovaDevice` does.
"""

import asyncio
import json
import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import TextIO

import msgspec

from jsonrpc_iot.novacloud.device.backoff import Backoff

from .devices import AT_A_TIME, KEY, SCHEDULE, Options

_AUTH_SECONDS = 15.0


class Device(asyncio.Protocol):
    """One device, connected again and again.

    Args:
        id: of it.
        options: what all of them do.
        log: as for `devices`.

    Attributes:
        made: how many reports.
        unstored: those that are not acknowledged, with their numbers.
        has_been_let_in: it has been connected.
    """

    def __init__(self, id: str, options: Options, log: TextIO) -> None:
        self._id = id
        self._port = options.port
        self._pause = options.pause
        self._log = log
        self._dice = random.Random(f"{options.seed} {id}")
        self._backoff = Backoff(SCHEDULE, self._dice)
        self._answers: dict[str, bytes] = {}
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._since = 0.0
        self._is_over = False
        self.made = 0
        self.unstored: deque[tuple[int, bytes]] = deque()
        self.has_been_let_in = asyncio.Event()

    async def run(self) -> None:
        """Be connected."""
        loop = asyncio.get_running_loop()
        self._report()
        while True:
            self._since, self._buffer, self._ended = 0.0, b"", asyncio.Event()
            try:
                transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(self._backoff.after_failure())
                continue
            patience = loop.call_later(_AUTH_SECONDS, self._give_up)
            await self._ended.wait()
            patience.cancel()
            transport.close()
            lived = time.monotonic() - self._since if self._since else 0.0
            await asyncio.sleep(self._backoff.after_connection(lived))

    def stop(self) -> None:
        """Report no more."""
        self._is_over = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        payload = {"device_id": self._id, "device_key": KEY, "ext": ["ack"], "outbox_id": self._id}
        self._send({"type": "auth", "payload": payload})

    def connection_lost(self, _: Exception | None) -> None:
        if self._since:
            self._note("lost")
        self._transport = None
        self._ended.set()

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(msgspec.json.decode(line))

    def _take(self, message: dict[str, "dict[str, object]"]) -> None:
        payload = message["payload"]
        match message["type"]:
            case "auth_response":
                assert payload["status"] == "success", payload
                self._begin()
            case "ack":
                while self.unstored and self.unstored[0][0] <= payload["upto"]:
                    self.unstored.popleft()
            case "command":
                self._obey(str(message["command_id"]), payload["light"])

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._note("back")
        self.has_been_let_in.set()
        assert self._transport is not None
        self._transport.writelines([line for _, line in self.unstored])

    def _obey(self, id: str, number: object) -> None:
        if id not in self._answers:
            self._note(str(number))
            payload = {"results": {"light": number}}
            answer = {"type": "command_response", "command_id": id, "status": "success"}
            self._answers[id] = msgspec.json.encode({**answer, "payload": payload}) + b"\n"
        assert self._transport is not None
        self._transport.write(self._answers[id])

    def _report(self) -> None:
        if self._is_over:
            return
        seq = self.made + 1
        report = {"type": "data", "payload": {"n": self.made}, "timestamp": time.time()}
        line = msgspec.json.encode({**report, "seq": seq}) + b"\n"
        self.made = seq
        self.unstored.append((seq, line))
        if self._since and self._transport is not None:
            self._transport.write(line)
        pause = self._dice.uniform(0, self._pause)
        asyncio.get_running_loop().call_later(pause, self._report)

    def _give_up(self) -> None:
        if not self._since and self._transport is not None:
            self._transport.abort()

    def _send(self, message: object) -> None:
        assert self._transport is not None
        self._transport.write(msgspec.json.encode(message) + b"\n")

    def _note(self, what: str) -> None:
        self._log.write(f"{what} {self._id} {time.monotonic():.3f}\n")


async def run(options: Options, log: TextIO) -> None:
    """Be all of them."""
    crowd = [Device(id, options, log) for id in options.ids]
    async with asyncio.TaskGroup() as tasks:
        running = []
        for device in crowd:
            running.append(tasks.create_task(device.run()))
            await asyncio.sleep(AT_A_TIME)
        for device in crowd:
            await device.has_been_let_in.wait()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for device in crowd:
            device.stop()
            while device.unstored:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        print("told", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for task in running:
            task.cancel()
    print(json.dumps({id: device.made for id, device in zip(options.ids, crowd, strict=True)}))


def main(text: str) -> None:
    options = msgspec.json.decode(text, type=Options)
    with Path(options.log).open("w") as log:
        asyncio.run(run(options, log))


if __name__ == "__main__":
    main(*sys.argv[1:])
