"""`gatt+bumble://TRANSPORT`: GATT on an adapter that bumble drives, or on a virtual radio.

`TRANSPORT` is one of bumble's: `usb:0`, `unix:/run/radio.sock`, `tcp-client:127.0.0.1:9100`.
bumble takes the adapter over from the system.
"""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from urllib.parse import quote

import anyio
from bumble.att import ATT_Error, ATT_Write_Command, Bearer, ErrorCode, is_enhanced_bearer
from bumble.core import AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.gatt_server import Server
from msgspec import structs

from ....channel.contract import Channel, Listener
from ....channel.url import Url
from ....errors import ConnectFailed
from ....protocol.limits import Limits
from .._central import open_link
from .._options import (
    HEADER_BYTES,
    ConnectOptions,
    GattOptions,
    HeardDevice,
    named,
    read_options,
)
from .._peripheral import Central, PeripheralListener
from .._scan import Wanted, find, listen_for
from .adapter import Adapter, Application, Fields, is_shared, root, service_field
from .backend import backend_on
from .radio import FAILURES, drain, finish, open_radio, spec, text

logger = logging.getLogger("jsonrpc_iot.transports")

_SHORT_NAME = 8


async def connect(url: Url, limits: Limits) -> Channel:
    """Open the adapter, find the device and connect to it."""
    options = read_options(url, ConnectOptions)
    if not options.name and not options.address:
        raise url.error("say which device: ?name=NAME or ?address=ADDRESS")
    if options.adapter:
        raise url.error("the transport says which adapter; there is no option adapter")
    wanted = Wanted(options.address, options.name, options.service)
    async with AsyncExitStack() as stack:
        radio = await stack.enter_async_context(open_radio(url, "central", "", ConnectFailed))
        backend = backend_on(radio)
        device = await find(wanted, backend, url)
        channel = await open_link(
            device,
            options,
            backend,
            transport=url.scheme,
            local=f"{root(url)}?address={radio.random_address.to_string(False)}",
            peer=f"{root(url)}?address={device.address}",
        )
        channel.owns(stack.pop_all())
    return channel


async def scan(url: Url, report: Callable[[HeardDevice], object]) -> None:
    """Report devices with the service, until cancelled."""
    options = read_options(url, GattOptions)
    async with open_radio(url, "central", "", ConnectFailed) as radio:
        await listen_for(options, backend_on(radio), url, report)


async def listen(url: Url, limits: Limits) -> Listener:
    """Open the adapter and advertise the service."""
    options = named(url, read_options(url, GattOptions))
    if is_shared(url):
        address = options.reached_at(root(url))
    else:
        unnamed = structs.replace(options, name="", address="")
        address = unnamed.reached_at(f"gatt://{quote(options.address or options.name)}")
    listener = BumbleListener(url, options, address, limits.peers)
    await listener.start()
    return listener


class BumbleCentral(Central):
    """A central that is connected to our adapter.

    Args:
        connection: bumble's.
        server: serves it.
        rx: notifies it.
    """

    def __init__(self, connection: Connection, server: Server, rx: Characteristic[bytes]) -> None:
        super().__init__(connection.peer_address.to_string(False))
        self._connection = connection
        self._server = server
        self._rx = rx
        self.hears = False

    @property
    def largest(self) -> int:
        """ATT MTU of the link."""
        return self._connection.att_mtu - HEADER_BYTES

    @property
    def is_subscribed(self) -> bool:
        """Whether it hears notifications."""
        return self.hears

    async def notify(self, message: bytes) -> None:
        """Send one notification; see `Central.notify`."""
        if not self.is_there:
            raise anyio.BrokenResourceError
        try:
            await self._server.notify_subscriber(self._connection, self._rx, message)
            await drain(self._connection)
        except FAILURES as error:
            logger.info("gatt://%s: not notified: %s", self.address, text(error))
            raise anyio.BrokenResourceError from error

    async def disconnect(self) -> None:
        """End the link, if it is still there."""
        if self.is_there:
            try:
                await finish(self._connection.disconnect())
            except FAILURES as error:
                logger.debug("gatt://%s: not disconnected: %s", self.address, text(error))


class BumbleListener(PeripheralListener, Application):
    """Serves the centrals of an adapter; opens it again when it was unplugged and comes back.

    Args:
        url: names the adapter.
        options: of the URL.
        address: the URL that reaches the device.
        max_centrals: those that are served at once.
    """

    def __init__(self, url: Url, options: GattOptions, address: str, max_centrals: int) -> None:
        super().__init__(options, address, max_centrals)
        # A radio behind a socket of this host is virtual: nobody is near.
        self.is_exposed = not spec(url).startswith("unix")
        self._adapter = Adapter(url, options.name, options.address, self)
        self._centrals: dict[Connection, BumbleCentral] = {}

    async def start(self) -> None:
        """Open the adapter and advertise.

        Raises:
            BindFailed: it is not to be had.
        """
        await self._adapter.start()

    async def aclose(self) -> None:
        """End all links, and give the adapter back."""
        self._adapter.let_go()
        await super().aclose()
        await self._adapter.aclose()

    @property
    def advertised(self) -> Fields:
        """See `Application.advertised`."""
        short = self._options.name.encode()[:_SHORT_NAME]
        return [service_field(self._options.service), (AdvertisingData.SHORTENED_LOCAL_NAME, short)]

    @property
    def has_room(self) -> bool:
        """See `Application.has_room`."""
        return len(self._centrals) < self._max_centrals

    def equip(self, device: Device) -> None:
        """See `Application.equip`."""
        options = self._options
        rx = Characteristic(
            options.rx, Characteristic.Properties.NOTIFY, Characteristic.Permissions(0), b""
        )
        tx: Characteristic[bytes] = Characteristic(
            options.tx,
            Characteristic.Properties.WRITE | Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
            Characteristic.Permissions.WRITEABLE,
            CharacteristicValue(write=self._requested),
        )
        self._rx = rx
        self._server = _Server(device, tx, self._commanded)
        device.gatt_server = self._server
        device.add_default_services()
        device.add_service(Service(options.service, [tx, rx]))
        rx.on(Characteristic.EVENT_SUBSCRIPTION, self._subscribed)

    def connected(self, connection: Connection) -> None:
        """See `Application.connected`."""
        central = self._central(connection)
        connection.on(Connection.EVENT_CONNECTION_ATT_MTU_UPDATE, lambda: self.mtu_changed(central))

    def disconnected(self, connection: Connection) -> None:
        """See `Application.disconnected`."""
        central = self._centrals.pop(connection, None)
        if central is not None:
            central.is_there = False
            self.left(central)

    def _central(self, bearer: Bearer) -> BumbleCentral:
        connection = bearer.connection if is_enhanced_bearer(bearer) else bearer
        central = self._centrals.get(connection)
        if central is None:
            central = BumbleCentral(connection, self._server, self._rx)
            self._centrals[connection] = central
        return central

    def _requested(self, connection: Connection, value: bytes) -> None:
        """Take a write that is acknowledged, when this returns; it must never raise else."""
        if not self.written(self._central(connection), bytes(value), acknowledged=True):
            raise ATT_Error(ErrorCode.INSUFFICIENT_RESOURCES)

    def _commanded(self, bearer: Bearer, value: bytes) -> None:
        self.written(self._central(bearer), value, acknowledged=False)

    def _subscribed(self, bearer: Bearer, notifies: bool, indicates: bool) -> None:
        central = self._central(bearer)
        central.hears = notifies
        if notifies:
            self.subscribed(central)


class _Server(Server):
    """Tells writes without response from those with one, as bumble's characteristics do not.

    Args:
        device: serves.
        tx: the characteristic whose writes without response are taken.
        take: takes them.
    """

    def __init__(
        self,
        device: Device,
        tx: Characteristic[bytes],
        take: Callable[[Bearer, bytes], None],
    ) -> None:
        super().__init__(device)
        self._tx = tx
        self._take = take

    def on_att_write_command(self, bearer: Bearer, request: ATT_Write_Command) -> None:
        """Take a write without response."""
        if request.attribute_handle == self._tx.handle:
            self._take(bearer, bytes(request.attribute_value))
        else:
            super().on_att_write_command(bearer, request)
