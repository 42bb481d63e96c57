"""Callers of a gateway, all with id 1, over each kind of link; what comes of each call is noted."""

import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import msgspec
from msgspec import Struct

from jsonrpc_iot import Client, connect
from tests.peer.lossy.chaos import callers as lossy
from tests.peer.lossy.chaos.program import START_SECONDS

from .ways import GONE, Ask, Post, Way, by_http, by_tcp, by_websocket

GRACE_SECONDS = 10.0
"""A call that has not ended so long after its time, on a busy machine, never will."""

TOLD = {
    -32002: "DeadlineExceeded",
    -32004: "Busy",
    -32010: "DeviceOffline",
    -32011: "OutcomeUnknown",
}
"""What callers may be told instead of a result."""

METHODS = ("at_once", "later")
KINDS = ("tcp", "http", "websocket", "mqtt", "udp")

_DEVICE_SECONDS = 30.0  # that a device has where its caller does not say
_AGAIN_SECONDS = 0.1
_RECOVERY_SECONDS = 5.0


class Options(Struct, frozen=True, kw_only=True):
    """What callers do.

    Args:
        callers: how many call at once, over all kinds of links.
        seconds: for how long they begin calls.
        least: right answers over each kind of link, without which they go on for a while, on a
            machine that is slow.
        pause: seconds between two calls of one caller, at the most.
        wait: seconds that a device takes, at the most.
        timeouts: seconds of the calls, one of these; 0 does not say.
        streams: some read items; whoever leaves them is waited for by the gateway for 30 s, if it
            does not hear that.
        seed: gives the same calls again.
    """

    callers: int = 200
    seconds: float = 60.0
    least: int = 0
    pause: float = 1.5
    wait: float = 0.5
    timeouts: tuple[float, ...] = (1.5, 4.0, 8.0, 0.0)
    streams: bool = True
    seed: int = 0


class Places(Struct, frozen=True):
    """Where a gateway is found.

    Args:
        tcp: a URL.
        http: a URL, below which each device has one of its own.
        websocket: as `http`.
        udp: a URL; on the way there messages get lost.
        topic: as `http`.
        broker: the port of the broker.
        devices: the names of the devices.
    """

    tcp: str
    http: str
    websocket: str
    udp: str
    topic: str
    broker: int
    devices: tuple[str, ...]


class Callers:
    """All callers.

    Args:
        options: what they do.
        places: where they call.
        folder: gets a file for each kind of link, in the form of `tests.peer.lossy.chaos.tally`.
        killed_at: when broker or gateway were killed last, by the monotonic clock.
        enough: whether enough has happened, without which they go on for a while as well.
    """

    def __init__(
        self,
        options: Options,
        places: Places,
        folder: Path,
        killed_at: Callable[[], float],
        enough: Callable[[], bool],
    ) -> None:
        self._options = options
        self._places = places
        self._logs = {kind: Log(folder / kind) for kind in KINDS}
        self._killed_at = killed_at
        self._enough = enough
        self._end = 0.0

    async def run(self) -> None:
        """Call until the time is over, and until each call has ended."""
        options, devices = self._options, self._places.devices
        async with AsyncExitStack() as stack:
            make_way = await stack.enter_async_context(self._ways())
            for log in self._logs.values():
                stack.enter_context(log)
            begin = await stack.enter_async_context(anyio.create_task_group())
            self._end = time.monotonic() + options.seconds
            for number in range(options.callers):
                kind = KINDS[number % len(KINDS)]
                place = number // len(KINDS)
                device = devices[place % len(devices)]
                if kind == "udp":
                    begin.start_soon(self._call_as_client, number, device)
                else:
                    own = kind != "tcp" and place // len(devices) % 2 == 0
                    way = make_way(kind, f"/{device}" if own else "", number)
                    prefix = "" if own else f"{device}."
                    log = self._logs[kind]
                    caller = Caller(number, options, prefix, log, self._killed_at)
                    begin.start_soon(caller.run, way, self._go_on, kind == "mqtt")

    def _go_on(self) -> bool:
        """Whether calls are still begun."""
        over = time.monotonic() - self._end
        least = self._options.least
        has_all = self._enough() and all(log.right >= least for log in self._logs.values())
        return over < 0 or (not has_all and over < START_SECONDS)

    @asynccontextmanager
    async def _ways(self) -> AsyncIterator[Callable[[str, str, int], Way]]:
        places = self._places
        any_number = httpx2.Limits(max_connections=None)
        headers = {"content-type": "application/json"}
        async with httpx2.AsyncClient(
            trust_env=False, limits=any_number, timeout=None, headers=headers
        ) as web:
            post = Post(places.broker, places.topic)

            def make_way(kind: str, below: str, caller: int) -> Way:
                match kind:
                    case "tcp":
                        return by_tcp(places.tcp)
                    case "http":
                        return by_http(web, places.http + below)
                    case "websocket":
                        return by_websocket(places.websocket + below)
                    case _:
                        return post.way(places.topic + below, caller)

            try:
                yield make_way
            finally:
                await anyio.to_thread.run_sync(post.close)

    async def _call_as_client(self, number: int, device: str) -> None:
        """Call as a client of ours does where messages get lost."""
        options = self._options
        does = lossy.Options(
            url="",
            callers=1,
            pause=options.pause,
            wait=options.wait,
            timeouts=tuple(filter(None, options.timeouts)),
            seed=options.seed,
            life=number,
            grace=GRACE_SECONDS,
            methods=lossy.METHODS if options.streams else METHODS,
            prefix=f"{device}.",
        )
        async with connect(self._places.udp, extensions=True) as client:
            _begin_with_1(client)
            await lossy.Callers(does, self._logs["udp"], self._go_on).run(client)


def _begin_with_1(client: Client) -> None:
    """Have a client count its calls from 1, as by chance all may."""
    assert client._peer is not None
    client._peer.session._next_id = 1


class Caller:
    """One caller, who asks one thing at a time, always with id 1.

    Args:
        number: of the caller.
        options: what it does.
        prefix: what the names of the methods begin with.
        log: gets its calls.
        killed_at: as for `Callers`.
    """

    def __init__(
        self,
        number: int,
        options: Options,
        prefix: str,
        log: "Log",
        killed_at: Callable[[], float],
    ) -> None:
        self._options = options
        self._prefix = prefix
        self._log = log
        self._killed_at = killed_at
        self._dice = random.Random(f"{options.seed} caller {number}")
        self._keys = (f"k{number}-{count}" for count in itertools.count())

    async def run(self, way: Way, goes_on: Callable[[], bool], may_be_lost: bool) -> None:
        """Call again and again; where the connection ends, over another one.

        Args:
            way: to the gateway.
            goes_on: whether calls are still begun.
            may_be_lost: what goes with the broker or the gateway shows by no end of a connection.
        """
        while goes_on():
            try:
                async with way() as ask:
                    while goes_on():
                        await anyio.sleep(self._dice.uniform(0, self._options.pause))
                        await self._call(ask, may_be_lost)
            except GONE:
                await anyio.sleep(_AGAIN_SECONDS)

    async def _call(self, ask: Ask, may_be_lost: bool) -> None:
        options, dice = self._options, self._dice
        key, method = next(self._keys), dice.choice(METHODS)
        # Without it nothing tells what MQTT brings again from a new request of a script.
        timeout = dice.choice([each for each in options.timeouts if each or not may_be_lost])
        params = {"key": key, "wait": round(dice.uniform(0, options.wait), 3)}
        call = {"id": 1, "method": self._prefix + method, "params": params}
        if timeout:
            call["timeout"] = timeout
        self._write(key=key, method=call["method"])
        begun = time.monotonic()
        came_to = "nothing"
        try:
            with anyio.move_on_after((timeout or _DEVICE_SECONDS) + GRACE_SECONDS):
                came_to = judge(await ask(msgspec.json.encode(call)), key)
        except GONE:
            came_to = "gone"
            raise
        finally:
            is_told = not may_be_lost or self._killed_at() < begun - _RECOVERY_SECONDS
            if came_to == "nothing" and not is_told:
                came_to = "gone"
            self._write(key=key, came_to=came_to, seconds=round(time.monotonic() - begun, 3))

    def _write(self, **line: object) -> None:
        self._log.write(json.dumps(line) + "\n")


class Log:
    """A file that takes lines, and counts the right answers.

    Args:
        path: of the file.

    Attributes:
        right: how many there were.
    """

    def __init__(self, path: Path) -> None:
        self.right = 0
        self._path = path

    def __enter__(self) -> None:
        self._file = self._path.open("a", buffering=1)

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def write(self, text: str, /) -> None:
        self.right += '"came_to": "right"' in text
        self._file.write(text)


def judge(answer: bytes, key: str) -> str:
    """What a call came to: `right`, `wrong`, or what the caller is told instead."""
    try:
        reply = json.loads(answer)
    except ValueError:
        return f"wrong: {answer!r}"
    code = reply.get("error", {}).get("code")
    if reply.get("id") != 1 or (code is None and reply.get("result") != key):
        return f"wrong: {reply}"
    return "right" if code is None else TOLD.get(code, f"wrong: {reply}")
