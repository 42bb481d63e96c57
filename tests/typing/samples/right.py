"""What a type checker accepts."""

from collections.abc import AsyncIterator, Callable
from typing import Any, assert_type

from anyio.streams.memory import MemoryObjectReceiveStream

from jsonrpc_iot import BlockingClient, BoundEvent, Client, Dispatcher, Event, Stream, stream
from jsonrpc_iot.blocking import BlockingFeed

from .interface import AccessPoint, BlockingWifi, Status, Wifi


class Device(Wifi):
    async def scan(self) -> list[AccessPoint]:
        return []

    async def connect(self, ssid: str, psk: str = "", *, hidden: bool = False) -> None:
        self.changed.emit(Status(1))

    async def watch(self, seconds: float) -> AsyncIterator[AccessPoint]:
        yield AccessPoint("home", -50)

    @stream
    async def listen(self, channel: int = 1) -> AsyncIterator[AccessPoint]:
        yield AccessPoint("home", -50)

    async def blink(self, times: int) -> None: ...


async def proxies(client: Client) -> None:
    wifi = client.proxy(Wifi)
    assert_type(wifi, Wifi)
    assert_type(client.proxy(Device, prefix="left", timeout=None), Device)
    assert_type(await wifi.scan(), list[AccessPoint])
    await wifi.connect("home")
    await wifi.connect("home", psk="secret", hidden=True)
    await wifi.connect(ssid="home")
    async for found in wifi.watch(1.5):
        assert_type(found, AccessPoint)
    async with wifi.listen(channel=6) as heard:
        assert_type(heard, Stream[AccessPoint])
        async for found in heard:
            assert_type(found, AccessPoint)
    await wifi.blink(3)


async def events(client: Client) -> None:
    wifi = client.proxy(Wifi)
    assert_type(wifi.changed, BoundEvent[Status])
    assert_type(Wifi.changed, Event[Status])

    def note(status: Status) -> None: ...

    assert_type(wifi.changed.subscribe(note), Callable[[], None])
    wifi.changed.subscribe(lambda status: status.state)
    wifi.changed.subscribe(print)
    async with wifi.changed.values() as values:
        assert_type(values, MemoryObjectReceiveStream[Status])
        async for status in values:
            assert_type(status, Status)
    assert_type(wifi.changed.missed + wifi.changed.malformed, int)


async def calls(client: Client) -> None:
    assert_type(await client.call("wifi.scan", result=list[AccessPoint]), list[AccessPoint])
    assert_type(await client.call("wifi.status", timeout=1, result=Status), Status)
    assert_type(await client.call("rpc.ping", result=bool), bool)
    items = client.stream("wifi.watch", {"seconds": 1}, item=AccessPoint)
    assert_type(items, Stream[AccessPoint])
    async for found in items:
        assert_type(found.rssi, int)


def devices(dispatcher: Dispatcher) -> None:
    device = Device()
    dispatcher.include(device, prefix="left")
    device.changed.emit(Status(1))
    assert_type(device.listen(6), Stream[AccessPoint])


def blocking_proxies(client: BlockingClient) -> None:
    wifi = client.proxy(Wifi, BlockingWifi)
    assert_type(wifi, BlockingWifi)
    assert_type(client.proxy(Device, BlockingWifi, prefix="left", timeout=None), BlockingWifi)
    assert_type(wifi.scan(), list[AccessPoint])
    assert_type(wifi.name(), str)
    wifi.connect("home", psk="secret", hidden=True)
    for found in wifi.watch(1.5):
        assert_type(found, AccessPoint)
    with wifi.listen(channel=6) as heard:
        assert_type(next(heard), AccessPoint)
    wifi.blink(3)
    wifi.changed.subscribe(lambda status: status.state)
    with wifi.changed.values(timeout=1.0) as values:
        assert_type(values, BlockingFeed[Status])
        assert_type(values.receive(), Status)
    assert_type(client.proxy(Wifi), Any)
