"""Calls over GATT on a virtual radio, and how long connecting takes.

Held against the least that a call can be: one write of bare bleak, with response, and one
notification from a bare bumble device, of the same sizes on the same radio. Both ends and the radio
are in this process, since their work is what a call costs; real radios are slower.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any

from bleak import BleakClient
from bumble.core import AdvertisingData
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service

from jsonrpc_iot import ConnectFailed, Dispatcher, connect, serve
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.testing import VirtualRadio, virtual_radio
from jsonrpc_iot.transports.gatt import RX, SERVICE, TX
from jsonrpc_iot.transports.gatt._scan import Wanted, find
from jsonrpc_iot.transports.gatt.bumble.backend import backend_on
from jsonrpc_iot.transports.gatt.bumble.radio import open_radio

from ._harness import Options, Report, async_loop, equals, measure

CALL = "call, write with response"
COMMAND = "call, write without response"
BARE = "bare bleak, write and notification"
CONNECT = "connect to first reply"

PARAM = "x" * 150
REQUEST = b'{"id":1000,"method":"echo","params":["%s"]}' % PARAM.encode()
REPLY = b'{"id":1000,"result":"%s"}' % PARAM.encode()


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(
        "gatt",
        [f"request of {len(REQUEST)} bytes, reply of {len(REPLY)}; one virtual radio, asyncio"],
    )
    with asyncio.Runner() as runner:
        operations, url, finish = runner.run(_prepare())
        checks: dict[str, object] = {CALL: PARAM, COMMAND: PARAM, BARE: REPLY}
        load = {
            name: async_loop(runner, operation, equals(checks[name]))
            for name, operation in operations.items()
        }
        samples = measure(load, rounds=options.rounds(9), seconds=options.seconds(0.5))
        connecting = [runner.run(_connect(url)) for _ in range(options.rounds(9))]
        runner.run(finish())

    for name, seconds in samples.items():
        report.add(name, "us", [1e6 * each for each in seconds])
    report.add(CONNECT, "us", [1e6 * each for each in connecting])
    report.compare("time of a call / bare bleak", samples[CALL], samples[BARE], "<=", 1.3)
    report.compare("without response / bare bleak", samples[COMMAND], samples[BARE])
    report.compare("connect to first reply / 1 s", connecting, [1.0] * len(connecting), "<=", 1.0)
    return report


Operations = dict[str, Callable[[], Awaitable[object]]]


async def _prepare() -> tuple[Operations, str, Callable[[], Coroutine[None, None, None]]]:
    """What to measure, where the device is, and how to end it all; one task holds it open."""
    ready: asyncio.Future[tuple[Operations, str]] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        async with AsyncExitStack() as stack:
            radio = await stack.enter_async_context(virtual_radio())
            url = radio.url("lamp")
            await stack.enter_async_context(serve(_device(), url, grace=0))
            acknowledged = await stack.enter_async_context(connect(url))
            command = await stack.enter_async_context(connect(f"{url}&write=command"))
            operations: Operations = {
                CALL: lambda: acknowledged.call("echo", [PARAM]),
                COMMAND: lambda: command.call("echo", [PARAM]),
                BARE: await stack.enter_async_context(_bare(radio)),
            }
            ready.set_result((operations, url))
            await over.wait()

    holding = asyncio.create_task(hold())

    async def finish() -> None:
        over.set()
        await holding

    waiting: list[asyncio.Future[Any]] = [holding, ready]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if holding.done():
        holding.result()
    operations, url = ready.result()
    return operations, url, finish


def _device() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    def echo(value: str) -> str:
        return value

    return dispatcher


async def _connect(url: str) -> float:
    start = perf_counter()
    async with connect(url) as client:
        await client.call("echo", [PARAM])
        return perf_counter() - start


@asynccontextmanager
async def _bare(radio: VirtualRadio) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """A device that answers each write with a notification, and a central that writes."""
    url = Url.parse(radio.url())
    async with (
        open_radio(url, "bare", "", ConnectFailed) as device,
        open_radio(url, "central", "", ConnectFailed) as central,
    ):
        running: set[asyncio.Task[None]] = set()

        def write(connection: Connection, value: bytes) -> None:
            reply = device.notify_subscriber(connection, rx, REPLY)
            task = asyncio.get_running_loop().create_task(reply)
            running.add(task)
            task.add_done_callback(running.discard)

        rx = Characteristic(
            RX, Characteristic.Properties.NOTIFY, Characteristic.Permissions(0), b""
        )
        tx: Characteristic[bytes] = Characteristic(
            TX,
            Characteristic.Properties.WRITE,
            Characteristic.Permissions.WRITEABLE,
            CharacteristicValue(write=write),
        )
        device.add_service(Service(SERVICE, [tx, rx]))
        name = AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, b"bare")])
        await device.start_advertising(
            advertising_data=bytes(name), advertising_interval_min=20, advertising_interval_max=20
        )
        backend = backend_on(central)
        found = await find(Wanted("", "bare", SERVICE), backend, "bare")
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        async with BleakClient(found, backend=backend.client) as client:
            await client.start_notify(RX, lambda _, value: heard.put_nowait(bytes(value)))

            async def exchange() -> bytes:
                await client.write_gatt_char(TX, REQUEST, response=True)
                return await heard.get()

            yield exchange
