"""`discover`: all ways of finding devices as one iterator."""

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, suppress

import anyio

from ...channel.tasks import task_group
from ...errors import MissingExtra, UsageError
from ...transports.mdns.link import require as require_mdns
from ...transports.serial.adapters import require as require_serial
from .ble import BleWay
from .found import Found, Via, Way
from .mdns import open_mdns
from .serial import SerialWay
from .udp import open_udp


async def discover(
    *via: Via,
    also: Sequence[Via] = (),
    targets: Sequence[str] = (),
    port: int = 8805,
    radio: str = "gatt://",
    interfaces: Sequence[str] = (),
) -> AsyncGenerator[Found, None]:
    """Find devices, until it is closed; each comes once, and again when its URL changes.

    Nothing is looked for while nobody waits for the next one, and no task is left behind. Who stops
    early closes it, with `contextlib.aclosing` around it or `await devices.aclose()`.

    Args:
        via: ways to look: `udp` asks whoever is near for `sys.info`, `mdns` hears of servers that
            announce themselves, `serial` lists this host's serial adapters, `ble` listens for
            devices that advertise. None given means `udp`, and `serial` and `mdns` where they
            work: where their extra is installed, and for `mdns` on asyncio.
        also: more ways, beside those or the usual ones.
        targets: hosts to ask over UDP instead of whoever is near, each with a port or without.
        port: the one that is asked over UDP.
        radio: what to listen on for BLE: `gatt://` for the system's Bluetooth, or
            `gatt+bumble://TRANSPORT`.
        interfaces: addresses of those to speak mDNS on, all by default.

    Raises:
        ConnectFailed: there is no Bluetooth to listen with, a target's name is not known, or mDNS
            is the only way and there is no network for it. Beside others it is left out then.
        InvalidUrl: a target or the radio is none.
        MissingExtra: a way that was given needs packages that are not installed.
        UsageError: there is no such way, or one that was given works on asyncio only.
    """
    wanted = dict.fromkeys((*(via or usual_ways()), *also))
    async with AsyncExitStack() as stack:
        ways: list[Way] = []
        for name in wanted:
            match name:
                case "udp":
                    ways.append(await stack.enter_async_context(open_udp(targets, port)))
                case "serial":
                    require_serial("discover")
                    ways.append(SerialWay())
                case "ble":
                    ways.append(BleWay(radio))
                case "mdns":
                    is_alone = len(wanted) == 1
                    opening = open_mdns(interfaces, is_alone=is_alone)
                    ways.append(await stack.enter_async_context(opening))
                case _:
                    raise UsageError(f"{name!r} is no way to look: udp, serial, ble or mdns")
        news: deque[Found] = deque()
        while True:
            await _look(ways, news)
            while news:
                yield news.popleft()


def usual_ways() -> tuple[Via, ...]:
    """The ways to look that cost nothing and work here."""
    ways: list[Via] = ["udp"]
    with suppress(MissingExtra):
        require_serial("discover")
        ways.append("serial")
    with suppress(MissingExtra, UsageError):
        require_mdns("discover")
        ways.append("mdns")
    return tuple(ways)


async def _look(ways: Sequence[Way], news: "deque[Found]") -> None:
    """Look in all ways at once until there is something."""
    heard = anyio.Event()

    def report(found: Found) -> None:
        news.append(found)
        heard.set()

    async with task_group() as tasks:
        for way in ways:
            tasks.start_soon(way.look, report)
        await heard.wait()
        tasks.cancel_scope.cancel()
