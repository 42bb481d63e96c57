"""Callers in a process of their own: `python -m tests.peer.lossy.chaos.callers LOG OPTIONS`.

The log gets two lines of JSON for each call: as it begins, and what it came to. What the process
holds in the end for nobody is one line more.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Protocol

import anyio
import msgspec
from msgspec import Struct

from jsonrpc_iot import Channel, Client, ConnectFailed, JsonRpcIotError, connect
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.peer.lossy import LossyIncoming
from jsonrpc_iot.protocol.seal import client as seal_client
from jsonrpc_iot.testing import Faults, LossyLink, served
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.sealed.greeting import sealed_channel
from jsonrpc_iot.transports.sealed.keys import form_of, key_of, primitives, without_key

from .device import new_device
from .program import START_SECONDS

GRACE_SECONDS = 2.0
METHODS = ("at_once", "at_once", "later", "later", "items")


class Options(Struct, frozen=True, kw_only=True):
    """What callers do.

    Args:
        url: of the device; empty to call one in the same process, over a `LossyLink`.
        device_log: of that device.
        link: what a link in the same process does to messages, before the URL's own.
        callers: how many call at once.
        seconds: for how long they begin calls.
        least: right answers without which they go on for a while, on a machine that is slow.
        pause: seconds between two calls of one caller, at the most.
        wait: seconds that a handler takes, at the most.
        timeouts: seconds of the calls, one of these.
        pad: characters that a request is longer, at the most.
        silence: seconds after which nothing may be held any more; 0 does not look at a device.
        seed: gives the same calls again.
        extensions: what the callers know of the device.
        life: of how many processes, one after the other, this is one.
        renew_packets: after which a sealed session is renewed.
        grace: seconds after a call's time, without an end by which there will be none.
        methods: what is called, one of these.
        prefix: what their names begin with.
    """

    url: str
    device_log: str = ""
    link: Faults | None = None
    callers: int = 50
    seconds: float = 10.0
    least: int = 0
    pause: float = 0.3
    wait: float = 1.0
    timeouts: tuple[float, ...] = (1.5, 4.0, 8.0)
    pad: int = 0
    silence: float = 0.0
    seed: int = 0
    extensions: bool | None = True
    life: int = 0
    renew_packets: int = 0
    grace: float = GRACE_SECONDS
    methods: tuple[str, ...] = METHODS
    prefix: str = ""


class Log(Protocol):
    """Takes the lines."""

    def write(self, text: str, /) -> object: ...


class Callers:
    """Calls with keys of their own, and what comes of them.

    Args:
        options: what to do.
        log: gets the lines.
        goes_on: whether calls are still begun, where not the options say that.
    """

    def __init__(
        self, options: Options, log: Log, goes_on: Callable[[], bool] | None = None
    ) -> None:
        self._options = options
        self._log = log
        self._goes_on = goes_on
        self._right = 0

    async def run(self, client: Client) -> None:
        """Call until the time is over, and until each call has ended."""
        end = anyio.current_time() + self._options.seconds
        async with anyio.create_task_group() as tasks:
            for number in range(self._options.callers):
                tasks.start_soon(self._call_until, client, end, number)

    async def _call_until(self, client: Client, end: float, caller: int) -> None:
        options = self._options
        dice = random.Random(f"{options.seed} life {options.life} caller {caller}")
        number = 0
        while self._is_calling(end):
            number += 1
            key = f"k{caller}-{options.life}{number:05}"
            params = {"key": key, "wait": round(dice.uniform(0, options.wait), 3)}
            if options.pad and dice.random() < 0.5:
                params["pad"] = "x" * dice.randrange(options.pad)
            timeout = dice.choice(options.timeouts)
            method = options.prefix + dice.choice(options.methods)
            self._write(key=key, method=method)
            begin = time.monotonic()
            came_to = await self._outcome(client, method, params, timeout)
            self._right += came_to == "right"
            self._write(key=key, came_to=came_to, seconds=round(time.monotonic() - begin, 3))
            await anyio.sleep(dice.uniform(0, options.pause))

    def _is_calling(self, end: float) -> bool:
        if self._goes_on is not None:
            return self._goes_on()
        over = anyio.current_time() - end
        return over < 0 or (self._right < self._options.least and over < START_SECONDS)

    async def _outcome(
        self, client: Client, method: str, params: dict[str, object], timeout: float
    ) -> str:
        """What a call comes to: `right`, `wrong`, `nothing`, or the name of an error."""
        came_to = "nothing"
        with suppress(TimeoutError):
            try:
                if method.endswith("items"):
                    got = await _read(client, method, params, timeout, self._options.grace)
                else:
                    with anyio.fail_after(timeout + self._options.grace):
                        got = await client.call(method, params, timeout=timeout)
                came_to = "right" if got == params["key"] else f"wrong: {got!r}"
            except JsonRpcIotError as error:
                came_to = type(error).__name__
        return came_to

    def _write(self, **line: object) -> None:
        self._log.write(json.dumps(line) + "\n")


async def _read(
    client: Client, method: str, params: dict[str, object], timeout: float, grace: float
) -> object:
    """Read a stream to its end; the key, if all items are that."""
    got: list[object] = []
    stream = client.stream(method, params, timeout=timeout)
    async with stream:
        with suppress(StopAsyncIteration):
            while True:
                with anyio.fail_after(timeout + grace):
                    got.append(await anext(stream))
    return got[0] if len(got) == 12 and len(set(map(str, got))) == 1 else got


async def _open(url: str) -> Channel:
    """Open a channel to a device that may just be away."""
    with anyio.fail_after(START_SECONDS):
        while True:
            with suppress(ConnectFailed):
                return await open_channel(url)
            await anyio.sleep(0.1)


async def _forward(source: Channel, sink: Channel) -> None:
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            await sink.send(await source.receive())


@asynccontextmanager
async def _through(link: LossyLink, channel: Channel) -> AsyncIterator[Channel]:
    """The end of a link whose other end is a channel."""
    async with channel, anyio.create_task_group() as tasks:
        channel.start(tasks)
        tasks.start_soon(_forward, link.server, channel)
        tasks.start_soon(_forward, channel, link.server)
        yield link.client
        tasks.cancel_scope.cancel()


def held(client: Client) -> dict[str, int]:
    """What a caller's end holds when no call is open."""
    peer = client._peer
    assert peer is not None
    session = peer.session
    return {
        "open calls": session.open_calls,
        "timers": int(session.next_due is not None),
        "streams": len(session._calls.streams),
        "busy": int(peer.is_busy),
    }


async def main(log: str, text: str) -> None:
    options = msgspec.json.decode(text, type=Options)
    leaks: dict[str, int] = {}
    tasks = len(asyncio.all_tasks())
    if options.renew_packets:
        seal_client.RENEW_PACKETS = options.renew_packets
    with open(log, "a", buffering=1) as lines:  # noqa: ASYNC230
        callers = Callers(options, lines)
        async with AsyncExitStack() as stack:
            if not options.url:
                link = LossyLink(options.link or Faults(), seed=options.seed)
                device = new_device(options.device_log)
                extensions = options.extensions
                ends = await stack.enter_async_context(
                    served(device, link.client, link.server, extensions=extensions)
                )
                print("calling", flush=True)
                await callers.run(ends.client)
                leaks = held(ends.client)
                if options.silence:
                    await anyio.sleep(options.silence + (options.link or Faults()).delay_seconds)
                    ends.server.check(anyio.current_time())
                    incoming = ends.server._incoming
                    if isinstance(incoming, LossyIncoming):
                        leaks["requests"] = len(incoming._seen)
            else:
                where: str | Channel = options.url
                if options.link is not None:
                    url = Url.parse(options.url)
                    key = key_of(url)
                    channel = await _open(without_key(url).text)
                    facts = channel.info
                    link = LossyLink(
                        options.link,
                        seed=options.seed,
                        max_message=facts.max_message,
                        retry_seconds=facts.retry_seconds,
                        in_flight=facts.in_flight,
                    )
                    where = await stack.enter_async_context(_through(link, channel))
                    if key is not None:
                        channel.take_also(form_of(url).is_packet)
                        with anyio.fail_after(START_SECONDS):
                            where = await sealed_channel(where, url, primitives(url), key, None)
                client = await stack.enter_async_context(
                    connect(where, extensions=options.extensions, connect_timeout=START_SECONDS)
                )
                print("calling", flush=True)
                await callers.run(client)
                leaks = held(client)
        with anyio.move_on_after(GRACE_SECONDS):
            while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  # nothing tells
                await anyio.sleep(0.01)
        leaks["tasks"] = len(asyncio.all_tasks()) - tasks
        lines.write(json.dumps({"held": leaks}) + "\n")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
