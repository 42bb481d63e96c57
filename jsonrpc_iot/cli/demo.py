"""`demo`: a virtual device on every transport that needs no hardware, called over each.

To show one more transport, add its line to `STAGES`. In the end a gateway has a lamp behind it.
"""

import os
import shutil
import socket
import sys
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from shlex import quote as quote_word
from typing import Annotated, Any, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import anyio
import msgspec

from jsonrpc_iot import (
    Client,
    Dispatcher,
    JsonRpcIotError,
    Keyring,
    MethodNotFound,
    MissingExtra,
    TooLarge,
    UsageError,
    connect,
)
from jsonrpc_iot import serve as serve_at
from jsonrpc_iot.channel.url import with_option
from jsonrpc_iot.protocol.text import escape

from ._broker import has_broker, local_broker
from ._options import JsonOption
from ._output import explain, print_json, print_text, progress
from ._run import FAILED_THERE
from ._statistics import RoundTrips, show_milliseconds
from .command.declare import Option
from .serve import virtual_device

_NAME = "demo-device"
_KEY_FILE = "demo.key"
_MAX_CALLS = 500
_MAX_SECONDS = 0.5

Networks = list[dict[str, Any]]
Call = Callable[[Client, int], Awaitable[tuple[object, object]]]
"""Makes one call of several; gives what is right, and the answer."""


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _has_modules(*names: str) -> bool:
    return all(map(find_spec, names))


def _has_ptys() -> bool:
    return hasattr(os, "openpty") and _has_modules("serial_asyncio_fast")


_has_http = partial(_has_modules, "uvicorn", "httpx2", "websockets")
_has_radio = partial(_has_modules, "bleak", "bumble")
_can_seal = partial(_has_modules, "cryptography", "tomlkit")


@asynccontextmanager
async def _virtual_radio(folder: str) -> AsyncIterator[str]:
    from jsonrpc_iot.testing import virtual_radio

    async with virtual_radio() as radio:
        yield radio.url("demo")


class Stage(NamedTuple):
    """One way to reach the device.

    Args:
        name: what the table calls it.
        url: where to serve; `{folder}` is a folder that lasts as long as the demo, `{place}` the
            URL of what is started for it.
        is_here: whether this machine has it.
        sealed: sealed with a key, where the library for that is installed.
        start: given the folder, starts what the transport needs, and gives the place there.
    """

    name: str
    url: str
    is_here: Callable[[], bool] = lambda: True
    sealed: bool = False
    start: Callable[[str], AbstractAsyncContextManager[str]] | None = None


STAGES = (
    Stage("memory", "memory://demo"),
    Stage("pipe", "pipe://demo?dir={folder}", lambda: hasattr(socket, "AF_UNIX")),
    Stage("tcp", "tcp://127.0.0.1:0"),
    Stage("tcp (IPv6)", "tcp://[::1]:0", _has_ipv6),
    Stage("udp", "udp://127.0.0.1:0", sealed=True),
    Stage("http", "http://127.0.0.1:0/rpc", _has_http),
    Stage("websocket", "ws://127.0.0.1:0/rpc", _has_http),
    Stage("uart", "uart+pty://", _has_ptys, sealed=True),
    Stage("tuya-dp", "tuya-dp+pty://?role=mcu&gap=0", _has_ptys, sealed=True),
    Stage("mqtt", "{place}", has_broker, sealed=True, start=local_broker),
    Stage("gatt", "{place}", _has_radio, sealed=True, start=_virtual_radio),
)

LAMP_STAGES = (
    Stage("http", "http://127.0.0.1:0/rpc", lambda: _has_ptys() and _has_http()),
    Stage("mqtt", "{place}", lambda: _has_ptys() and has_broker(), start=local_broker),
)
"""Where the gateway of a lamp on a pseudo-terminal is served."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How the calls over one transport went.

    Args:
        transport: its name.
        url: where the device was called.
        calls: round trips that were measured.
        median: milliseconds.
        p99: milliseconds.
        limit: bytes of the largest message, `None` for any size.
        sealed: the link is sealed with a key, so that nobody reads along and strangers do nothing.
        error: what went wrong, `None` when all calls were right.
    """

    transport: str
    url: str
    calls: int = 0
    median: float | None = None
    p99: float | None = None
    limit: int | None = None
    sealed: bool = False
    error: str | None = None


def _program() -> str:
    """This program as a shell runs it: by name where that is on the path, else by its place."""
    called = Path(sys.argv[0])
    if called.suffix == ".py":
        return f"{quote_word(sys.executable)} -m jsonrpc_iot"
    found = shutil.which(called.name)
    return called.name if found and Path(found).samefile(called) else quote_word(str(called))


StayOption: TypeAlias = Annotated[
    bool, Option("--stay", help="Keep the device there afterwards, with a page for a browser.")
]


class WrongAnswer(Exception):
    """The device answered, but not what it should have."""


def demo(*, json: JsonOption = False, stay: StayOption = False) -> int:
    """Run a virtual device on every transport at once and call it over each.

    Needs no hardware and takes a few seconds. Shows the round-trip times, the size of the largest
    message, a Tuya lamp behind a gateway, and what the device's simulated Wi-Fi radio sees.
    With --stay it goes on until SIGINT or SIGTERM, and prints "console URL".
    """
    if stay and json:
        raise UsageError("--json is for programs, and --stay for people")
    if stay and not _has_http():
        raise MissingExtra("--stay needs: pip install 'jsonrpc-iot[http]'")
    with tempfile.TemporaryDirectory(prefix="jsonrpc-iot-") as folder:
        rows, networks = anyio.run(_demo, quote(folder), not json)
        lamp = anyio.run(_demo_lamp, quote(folder), not json)
    if json:
        report = {"unit": "ms", "transports": rows, "gateway": lamp, "wifi.scan": networks}
        print_json(msgspec.json.encode(report))
    else:
        _print_networks(networks)
        if not stay:
            print_text(
                "\nYour turn, in two terminals:\n"
                f"  {_program()} simulate --bind tcp://127.0.0.1:8805\n"
                f"  {_program()} call tcp://127.0.0.1:8805 wifi.scan\n"
                "or in a browser:\n"
                f"  {_program()} demo --stay"
            )
    failed = [row.transport for row in (*rows, *lamp) if row.error]
    if failed:
        explain(f"not all calls were right: {', '.join(failed)}")
    if stay:
        from ._demo_stay import stay as stay_there

        anyio.run(stay_there, _NAME)
    return FAILED_THERE if failed else 0


async def _demo(folder: str, show: bool) -> tuple[list[Row], Networks]:
    device = virtual_device(_NAME)
    stages = [stage for stage in STAGES if stage.is_here()]
    rows = []
    networks: Networks = []
    keyring = _new_keyring(unquote(folder)) if _can_seal() else None
    async with AsyncExitStack() as stack:
        served = [await _serve(stack, device, stage, folder, keyring) for stage in stages]
        if show:
            _print_row("transport", "calls", "median", "p99", "limit")
        for stage, url in zip(stages, served, strict=True):
            if isinstance(url, Row):
                row = url
            else:
                with progress(f"calling over {stage.name}", show):
                    row = await _call_over(stage, url, networks)
            rows.append(row)
            if show:
                _show(row)
    return rows, networks


def _new_keyring(folder: str) -> Keyring:
    """A keyring with one key, which lies in a file beside it."""
    path = Path(folder) / "keys.toml"
    path.touch(mode=0o600)
    keyring = Keyring(path)
    key = keyring.add("demo", permissions=["*"])
    (Path(folder) / _KEY_FILE).write_text(b64encode(key).decode(), encoding="ascii")
    return keyring


async def _serve(
    stack: AsyncExitStack, device: Dispatcher, stage: Stage, folder: str, keyring: Keyring | None
) -> str | Row:
    """Serve a stage; gives the URL to call it at."""
    url = stage.url
    try:
        place = ""
        if stage.start is not None:
            place = await stack.enter_async_context(stage.start(unquote(folder)))
        url = url.format(folder=folder, place=place)
        if not stage.sealed or keyring is None:
            server = await stack.enter_async_context(serve_at(device, url))
            return server.urls[0]
        serving = serve_at(device, url, keyring=keyring, strangers=False)
        server = await stack.enter_async_context(serving)
    except (JsonRpcIotError, OSError) as error:
        return _failed(stage.name, url, error)
    (url,) = server.urls
    return with_option(url, f"psk=file:{folder}/{_KEY_FILE}")


async def _call_over(stage: Stage, url: str, networks: Networks) -> Row:
    try:
        async with connect(url) as client:
            networks[:] = await _check(client)
            return await _measure(stage.name, url, client, _echo)
    except (JsonRpcIotError, WrongAnswer) as error:
        return _failed(stage.name, url, error)


async def _demo_lamp(folder: str, show: bool) -> list[Row]:
    """Call a lamp behind a gateway, over all that this machine has for that."""
    from ._demo_lamp import lamp_behind_gateway

    stages = [stage for stage in LAMP_STAGES if stage.is_here()]
    if not stages:
        return []
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        if show:
            print_text("\na Tuya lamp on a serial line, behind a gateway")
        try:
            gateway = await stack.enter_async_context(lamp_behind_gateway())
        except (JsonRpcIotError, OSError) as error:
            served: list[str | Row] = [_failed(stage.name, stage.url, error) for stage in stages]
        else:
            served = [await _serve(stack, gateway, stage, folder, None) for stage in stages]
        for stage, url in zip(stages, served, strict=True):
            if isinstance(url, Row):
                rows.append(url)
            else:
                with progress(f"switching the lamp over {stage.name}", show):
                    rows.append(await _switch_over(stage.name, url))
            if show:
                _show(rows[-1])
    return rows


async def _switch_over(name: str, url: str) -> Row:
    from ._demo_lamp import switch_lamp

    try:
        async with connect(url) as client:
            return await _measure(name, url, client, switch_lamp)
    except (JsonRpcIotError, WrongAnswer) as error:
        return _failed(name, url, error)


def _failed(name: str, url: str, error: Exception) -> Row:
    return Row(transport=name, url=url, error=str(error))


async def _check(client: Client) -> Networks:
    """Call each service once; returns what the radio sees."""
    _expect(True, await client.call("rpc.ping"))
    _expect(_NAME, (await client.call("sys.info", result=dict[str, Any]))["name"])
    networks = await _scan(client)
    _expect(True, all(network["rssi"] < 0 for network in networks) and bool(networks))
    try:
        await client.call("no.such.method")
    except MethodNotFound:
        return networks
    raise WrongAnswer("a method that is not there was answered")


async def _scan(client: Client) -> Networks:
    """What the radio sees, network by network where all do not fit a message."""
    try:
        return await client.call("wifi.scan", result=Networks)
    except TooLarge:
        return [each async for each in client.stream("wifi.scan", item=dict[str, Any])]


async def _measure(name: str, url: str, client: Client, call: Call) -> Row:
    """Make many calls, one after the other."""
    seconds: list[float] = []
    end = anyio.current_time() + _MAX_SECONDS
    while len(seconds) < _MAX_CALLS and (not seconds or anyio.current_time() < end):
        started = anyio.current_time()
        expected, answer = await call(client, len(seconds))
        seconds.append(anyio.current_time() - started)
        _expect(expected, answer)
    times = RoundTrips.of(seconds)
    return Row(
        transport=name,
        url=url,
        calls=len(seconds),
        median=times.median,
        p99=times.p99,
        limit=client.info.max_message,
        sealed=client.info.is_sealed,
    )


async def _echo(client: Client, number: int) -> tuple[object, object]:
    """Have a value sent back; gives what is right, and what came."""
    value = {"number": number, "text": "gr\u00fc\u00df dich"}
    answer: object = await client.call("echo", {"value": value})
    return value, answer


def _expect(expected: object, answer: object) -> None:
    if answer != expected:
        raise WrongAnswer(f"expected {expected!r}, got {answer!r}")


def _show(row: Row) -> None:
    if row.error:
        print_text(f"{row.transport:12} failed: {escape(row.error)}")
    else:
        limit = "none" if row.limit is None else f"{row.limit} bytes"
        median, p99 = show_milliseconds(row.median), show_milliseconds(row.p99)
        seal = "  sealed" if row.sealed else ""
        _print_row(row.transport, str(row.calls), median, p99, limit, end=seal)


def _print_row(transport: str, *numbers: str, end: str = "") -> None:
    print_text(f"{transport:12}" + "".join(f"{number:>15}" for number in numbers) + end)


def _print_networks(networks: Sequence[dict[str, Any]]) -> None:
    if networks:
        print_text("\nwifi.scan")
    for network in networks:
        ssid = escape(network["ssid"])
        print_text(f"  {network['rssi']:4} dBm  {network.get('security', ''):6} {ssid}")
