"""Ends of GATT links that are not ours: devices on bumble, and centrals on bleak."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from bleak import BleakClient
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bumble.core import AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service

from jsonrpc_iot import Channel, ConnectFailed, Dispatcher
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.testing import VirtualRadio
from jsonrpc_iot.transports.gatt import RX, SERVICE, TX, ConnectOptions, open_gatt
from jsonrpc_iot.transports.gatt._scan import Backend, Wanted, find
from jsonrpc_iot.transports.gatt.bumble.backend import backend_on
from jsonrpc_iot.transports.gatt.bumble.radio import open_radio
from tests.rig import big, echo
from tests.waiting import SECONDS

DEFAULTS = ConnectOptions()
WRITE = Characteristic.Properties.WRITE
COMMAND = Characteristic.Properties.WRITE_WITHOUT_RESPONSE
NOTIFY = Characteristic.Properties.NOTIFY


def device() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method(echo)
    dispatcher.method(big)
    dispatcher.method("wait")(anyio.sleep_forever)
    return dispatcher


@asynccontextmanager
async def adapter(
    radio: VirtualRadio, name: str = "central", address: str = ""
) -> AsyncIterator[Device]:
    """One more adapter on the radio."""
    async with open_radio(Url.parse(radio.url()), name, address, ConnectFailed) as made:
        yield made


@asynccontextmanager
async def channel_to(
    radio: VirtualRadio,
    name: str = "lamp",
    *,
    mtu: int = 517,
    options: ConnectOptions = DEFAULTS,
    change: Callable[[Backend], Backend] = lambda backend: backend,
) -> AsyncIterator[Channel]:
    """A channel to a device, over a link with that MTU."""
    async with adapter(radio) as central:
        using = change(backend_on(central, mtu))
        channel = await open_gatt(
            name, backend=using.client, scanner=using.scanner, options=options
        )
        async with channel:
            yield channel


class RawCentral(NamedTuple):
    """A central on bleak alone; the notifications that it hears come out of `heard`."""

    client: BleakClient
    heard: MemoryObjectReceiveStream[bytes]
    gone: anyio.Event

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        device: BLEDevice,
        *,
        backend: type[BaseBleakClient] | None = None,
        subscribe: bool = True,
    ) -> AsyncIterator[Self]:
        gone = anyio.Event()
        send, heard = anyio.create_memory_object_stream[bytes](10_000)
        with send, heard:
            async with BleakClient(
                device, lambda _: gone.set(), timeout=SECONDS, backend=backend
            ) as client:
                if subscribe:
                    await client.start_notify(RX, lambda _, value: send.send_nowait(bytes(value)))
                yield cls(client, heard, gone)

    async def write(self, data: bytes, *, response: bool = True) -> None:
        await self.client.write_gatt_char(TX, data, response)

    async def call(self, data: bytes) -> bytes:
        await self.write(data)
        return await self.heard.receive()


@asynccontextmanager
async def raw_central(
    radio: VirtualRadio, name: str = "lamp", *, mtu: int = 517, subscribe: bool = True
) -> AsyncIterator[RawCentral]:
    async with adapter(radio) as central:
        using = backend_on(central, mtu)
        found = await find(Wanted("", name, SERVICE), using, name)
        async with RawCentral.connected(
            found, backend=using.client, subscribe=subscribe
        ) as connected:
            yield connected


class Foreign(NamedTuple):
    """A device on bumble alone."""

    device: Device
    characteristics: dict[str, Characteristic[bytes]]

    async def notify(self, uuid: str, value: bytes) -> None:
        await self.device.notify_subscribers(self.characteristics[uuid], value)

    async def notify_uncalled(self, characteristic: Characteristic[bytes], value: bytes) -> None:
        """Notify a central that has not subscribed to that."""
        await self.device.notify_subscribers(characteristic, value, force=True)


Part = tuple[str, Characteristic.Properties]
Write = Callable[[Connection, bytes], None]

USUAL: Sequence[Part] = ((TX, WRITE | COMMAND), (RX, NOTIFY))


@asynccontextmanager
async def foreign_device(
    radio: VirtualRadio,
    write: Write,
    parts: Sequence[Part] = USUAL,
    *,
    name: str = "lamp",
    service: str = SERVICE,
    also: Sequence[Service] = (),
) -> AsyncIterator[Foreign]:
    """A device whose characteristics are these; what is written to any goes to `write`."""
    async with adapter(radio, name) as made:
        value: CharacteristicValue[bytes] = CharacteristicValue(write=write)
        found: dict[str, Characteristic[bytes]] = {
            uuid: Characteristic(
                uuid,
                properties,
                Characteristic.Permissions.READABLE | Characteristic.Permissions.WRITEABLE,
                value,
            )
            for uuid, properties in parts
        }
        made.add_services([*also, Service(service, list(found.values()))])
        await made.start_advertising(
            auto_restart=True,
            advertising_data=bytes(
                AdvertisingData(
                    [
                        (AdvertisingData.FLAGS, b"\x06"),
                        (AdvertisingData.COMPLETE_LOCAL_NAME, name.encode()),
                    ]
                )
            ),
            advertising_interval_min=20,
            advertising_interval_max=20,
        )
        yield Foreign(made, found)
