"""A device and its callers on each kind of lossy link, and what happens to the device meanwhile."""

import os
import random
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec
from msgspec import Struct, structs

from jsonrpc_iot import Limits
from jsonrpc_iot.testing import Faults, virtual_radio
from jsonrpc_iot.transports.serial.pty import open_pty

from ....brokers import new_mosquitto
from ....ports import free_port
from .callers import Options
from .program import START_SECONDS, Program, open_python
from .tally import Tally, count
from .weather import Weather, join_lines, udp_proxy

DEVICE, CALLERS = f"{__package__}.device", f"{__package__}.callers"

_ENDLESS = 3600.0
BAD = Faults(drop=0.1, duplicate=0.05, reorder=0.1, delay=0.05, delay_seconds=5.0)


class Plan(Struct, frozen=True, kw_only=True):
    """How a run goes.

    Args:
        seconds: for how long calls are begun.
        silence: seconds after which a device may hold nothing any more, counted from when the last
            packet can have come, and the last stream has ended for want of a reader; 0 does not
            look.
        seed: gives the same troubles again.
        stops: seconds for which a device is stopped, at the most.
        pauses: seconds between two troubles of a device, from and to.
        faults: of the links.
    """

    seconds: float
    silence: float
    seed: int = 0
    stops: float = 6.0
    pauses: tuple[float, float] = (3.0, 8.0)
    faults: Faults = BAD


class Urls(NamedTuple):
    """Where a device serves, and where its callers find it."""

    device: str
    callers: str


Link = Callable[[Weather, Path], AbstractAsyncContextManager[Urls]]


class Row(Struct, frozen=True, kw_only=True):
    """One kind of link.

    Args:
        link: makes it.
        options: how it is called.
        faults: of the link, where not those of the plan: on slow ones a loss costs seconds.
        may_be_killed: its callers go on when the device is killed.
        is_spoilt_by_callers: what goes wrong is done to whole messages, by the callers' process.
        callers_lives: how many processes call, one after the other; all but the last are killed.
        hostile: how often somebody on the way sends something of their own, for each packet.
    """

    link: Link
    options: Options = Options(url="")
    faults: Faults | None = None
    may_be_killed: bool = True
    is_spoilt_by_callers: bool = False
    callers_lives: int = 1
    hostile: float = 0.0


async def run_row(name: str, row: Row, plan: Plan, folder: Path) -> Tally:
    """Call over one kind of link, and count."""
    executions, calls = folder / "device", folder / "callers"
    executions.touch()
    faults = row.faults or plan.faults
    weather = Weather(faults, f"{plan.seed} {name}", row.hostile)
    silence = plan.silence and plan.silence + Limits().linger_seconds
    options = structs.replace(row.options, seconds=plan.seconds, seed=plan.seed, silence=silence)
    if row.is_spoilt_by_callers:
        options = structs.replace(options, link=faults)
    async with row.link(weather, folder) as urls:
        if not urls.callers:
            options = structs.replace(options, device_log=str(executions))
            await _run_callers(calls, options)
            return count(name, executions, calls, {}, {})
        device = Program(DEVICE, str(executions), urls.device)
        try:
            await device.start()
            async with anyio.create_task_group() as tasks:

                async def trouble() -> None:
                    dice = random.Random(f"{plan.seed} trouble")
                    stops, pauses = plan.stops, plan.pauses
                    while True:
                        await anyio.sleep(dice.uniform(*pauses))
                        is_first = not device.restarts
                        if row.may_be_killed and (is_first or dice.random() < 0.5):
                            await device.restart(weather.note_restart)
                        else:
                            await device.stop_for(dice.uniform(1, stops))

                tasks.start_soon(trouble)
                options = structs.replace(options, url=urls.callers)
                await _live(calls, options, row.callers_lives)
                tasks.cancel_scope.cancel()
            held: dict[str, int] = {}
            if silence:
                await _wait_for_silence(weather, silence)
                held = await device.held()
        finally:
            with anyio.CancelScope(shield=True):
                await device.end()
    tally = count(name, executions, calls, weather.untold, held, device.restarts)
    tally.sessions = len(weather.hellos)
    return tally


async def _wait_for_silence(weather: Weather, seconds: float) -> None:
    """Wait until nothing has come to the device for so long."""
    since = time.monotonic()
    while (left := max(since, weather.arrived_at) + seconds - time.monotonic()) > 0:  # noqa: ASYNC110
        await anyio.sleep(left)


async def _live(log: Path, options: Options, lives: int) -> None:
    """Have calls made by processes that are killed with calls open, and by a last one."""
    seconds = options.seconds / lives
    for life in range(lives - 1):
        endless = structs.replace(options, life=life, seconds=_ENDLESS)
        await _run_callers(log, endless, kill_after=seconds)
        with log.open("a") as lines:
            lines.write('{"killed": true}\n')
    await _run_callers(log, structs.replace(options, life=lives - 1, seconds=seconds))


async def _run_callers(log: Path, options: Options, *, kill_after: float = 0.0) -> None:
    """Have calls made until they end; those that never do are left behind.

    Args:
        log: gets the calls.
        options: what is called.
        kill_after: seconds of calls, after which the process is killed; 0 lets it end.
    """
    log.touch()
    text = msgspec.json.encode(options).decode()
    process = await open_python(CALLERS, str(log), text)
    most = 2 * START_SECONDS + options.seconds + 20 * max(options.timeouts)
    try:
        if kill_after:
            assert process.stdout is not None
            with anyio.fail_after(START_SECONDS):
                await process.stdout.receive()
            await anyio.sleep(kill_after)
        else:
            with anyio.move_on_after(most):
                await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.wait()
            await process.aclose()


# The links


def _udp(options: str = "", move_seconds: float = 0.0) -> Link:
    @asynccontextmanager
    async def link(weather: Weather, _: Path) -> AsyncIterator[Urls]:
        port = free_port(socket.SOCK_DGRAM)
        async with udp_proxy(weather, port, move_seconds) as proxy:
            yield Urls(f"udp://127.0.0.1:{port}{options}", f"udp://127.0.0.1:{proxy}{options}")

    return link


def _line(
    scheme: str, for_device: str = "", for_callers: str = "", baudrate: int = 115_200
) -> Link:
    @asynccontextmanager
    async def link(weather: Weather, folder: Path) -> AsyncIterator[Urls]:
        paths = folder / "of-device", folder / "of-callers"
        lines = [open_pty(str(path))[0] for path in paths]
        async with lines[0], lines[1], anyio.create_task_group() as tasks:
            join_lines(weather, lines[0], lines[1], 10 / baudrate, tasks)
            yield Urls(f"{scheme}://{paths[0]}{for_device}", f"{scheme}://{paths[1]}{for_callers}")
            tasks.cancel_scope.cancel()

    return link


@asynccontextmanager
async def _gatt(_: Weather, __: Path) -> AsyncIterator[Urls]:
    async with virtual_radio() as radio:
        yield Urls(radio.url("lamp"), radio.url("lamp", write="command"))


@asynccontextmanager
async def _mqtt(_: Weather, __: Path) -> AsyncIterator[Urls]:
    broker = new_mosquitto()
    try:
        url = broker.url("?qos=0", topic="/chaos/rpc")
        yield Urls(url, url)
    finally:
        broker.stop()


def _sealed(link: Link) -> Link:
    """The same link, whose ends have a key in common."""

    @asynccontextmanager
    async def sealed_link(weather: Weather, folder: Path) -> AsyncIterator[Urls]:
        key = folder / "key"
        key.write_text(b64encode(os.urandom(32)).decode())
        async with link(weather, folder) as urls:
            yield Urls(*(f"{url}{'&' if '?' in url else '?'}psk=file:{key}" for url in urls))

    return sealed_link


@asynccontextmanager
async def _memory(_: Weather, __: Path) -> AsyncIterator[Urls]:
    yield Urls("", "")


_SLOW = Options(url="", pause=1.0, wait=0.5, timeouts=(4.0, 8.0, 15.0))

ROWS = {
    "memory": Row(link=_memory, is_spoilt_by_callers=True),
    "udp": Row(link=_udp()),
    "udp segments": Row(link=_udp("?segment=1"), options=Options(url="", pad=4000)),
    "uart": Row(link=_line("uart"), options=_SLOW),
    "tuya-dp": Row(
        link=_line("tuya-dp", "?role=mcu&gap=0.02", "?gap=0.02"),
        options=structs.replace(_SLOW, pause=5.0, wait=0.1, timeouts=(15.0, 30.0)),
        faults=structs.replace(BAD, drop=0.02, delay=0.02),
    ),
    "udp unknown": Row(link=_udp(), options=Options(url="", extensions=None)),
    "gatt": Row(link=_gatt, options=_SLOW, may_be_killed=False, is_spoilt_by_callers=True),
    # A broker keeps order and holds nothing for long, so a copy is gone before the repeat is sent.
    "mqtt": Row(
        link=_mqtt, faults=structs.replace(BAD, delay_seconds=0.3), is_spoilt_by_callers=True
    ),
    # A packet of a session that is over opens nowhere, so no copy can come too late.
    "sealed udp": Row(
        link=_sealed(_udp(move_seconds=1.0)),
        options=Options(url="", renew_packets=200),
        callers_lives=3,
        hostile=0.3,
    ),
    "sealed segments": Row(
        link=_sealed(_udp("?segment=1", move_seconds=3.0)),
        options=Options(url="", pad=4000, renew_packets=500),
        callers_lives=2,
        hostile=0.1,
    ),
    "sealed uart": Row(
        link=_sealed(_line("uart")),
        options=structs.replace(_SLOW, renew_packets=50),
        callers_lives=2,
        hostile=0.05,
    ),
    "sealed gatt": Row(
        link=_sealed(_gatt),
        options=structs.replace(_SLOW, renew_packets=50),
        may_be_killed=False,
        is_spoilt_by_callers=True,
    ),
    "sealed mqtt": Row(
        link=_sealed(_mqtt),
        options=Options(url="", renew_packets=200),
        is_spoilt_by_callers=True,
        callers_lives=2,
    ),
}
