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
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.gatt_server import Server
from msgspec import structs

from ....channel.contract import Channel, Listener
from ....channel.url import Url
from ....errors import BindFailed, ConnectFailed
from ....protocol.about import about
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
from .backend import backend_on
from .radio import FAILURES, drain, open_radio, spec, text

logger = logging.getLogger("jsonrpc_iot.transports")

_ADVERTISING_MILLISECONDS = 20.0  # the shortest; with bumble's usual 1 s, so long takes connecting
_AGAIN_SECONDS = 1.0
_SHORT_NAME = 8
_SHARED = ("unix:", "unix-client:", "tcp-client:", "ws-client:")
"""Transports of radios where a client may be as well."""


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
            local=f"{_root(url)}?address={radio.random_address.to_string(False)}",
            peer=f"{_root(url)}?address={device.address}",
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
    if spec(url).startswith(_SHARED):
        address = options.reached_at(_root(url))
    else:
        unnamed = structs.replace(options, name="", address="")
        address = unnamed.reached_at(f"gatt://{quote(options.address or options.name)}")
    listener = BumbleListener(url, options, address, limits.peers)
    await listener.start()
    return listener


def _root(url: Url) -> str:
    return f"{url.scheme}://{quote(spec(url), safe='/:@,=!')}"


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
                await self._connection.disconnect()
            except FAILURES as error:
                logger.debug("gatt://%s: not disconnected: %s", self.address, text(error))


class BumbleListener(PeripheralListener):
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
        self._url = url
        self._stack = AsyncExitStack()
        self._device: Device | None = None
        self._centrals: dict[Connection, BumbleCentral] = {}
        self._advertising = anyio.Lock()

    async def start(self) -> None:
        """Open the adapter and advertise.

        Raises:
            BindFailed: it is not to be had.
        """
        async with AsyncExitStack() as stack:
            radio = open_radio(self._url, self._options.name, self._options.address, BindFailed)
            device = await stack.enter_async_context(radio)
            self._add_service(device)
            device.on(Device.EVENT_CONNECTION, self._connected)
            device.on(Device.EVENT_FLUSH, self._unplugged)
            try:
                await self._start_advertising(device)
            except FAILURES as error:
                raise BindFailed(f"{self._url}: cannot advertise: {text(error)}") from error
            self._device = device
            self._stack = stack.pop_all()

    async def aclose(self) -> None:
        """End all links, and give the adapter back."""
        self._device = None
        await super().aclose()
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    def _add_service(self, device: Device) -> None:
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

    def _central(self, bearer: Bearer) -> BumbleCentral:
        connection = bearer.connection if is_enhanced_bearer(bearer) else bearer
        central = self._centrals.get(connection)
        if central is None:
            central = BumbleCentral(connection, self._server, self._rx)
            self._centrals[connection] = central
        return central

    def _connected(self, connection: Connection) -> None:
        central = self._central(connection)

        def disconnected(_: int) -> None:
            central.is_there = False
            self._centrals.pop(connection, None)
            self.left(central)
            self.do_soon(self._advertise)

        def mtu_changed() -> None:
            self.mtu_changed(central)

        connection.on(Connection.EVENT_DISCONNECTION, disconnected)
        connection.on(Connection.EVENT_CONNECTION_ATT_MTU_UPDATE, mtu_changed)
        self.do_soon(self._advertise)

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

    async def _advertise(self) -> None:
        """Advertise again, for the next central."""
        async with self._advertising:
            while (device := self._device) is not None and not device.is_advertising:
                if len(self._centrals) >= self._max_centrals:
                    return  # whoever leaves makes room
                try:
                    await self._start_advertising(device)
                except FAILURES as error:
                    logger.info(
                        "%s: cannot advertise: %s; trying again",
                        self._url,
                        text(error),
                        extra=about(self._url),
                    )
                    await anyio.sleep(_AGAIN_SECONDS)

    async def _start_advertising(self, device: Device) -> None:
        name = self._options.name.encode()
        service = UUID(self._options.service).to_bytes()
        answer = AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, name)])
        await device.start_advertising(
            advertising_data=bytes(
                AdvertisingData(
                    [
                        (AdvertisingData.FLAGS, b"\x06"),  # general discoverable, no BR/EDR
                        (AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, service),
                        (AdvertisingData.SHORTENED_LOCAL_NAME, name[:_SHORT_NAME]),
                    ]
                )
            ),
            scan_response_data=bytes(answer),
            advertising_interval_min=_ADVERTISING_MILLISECONDS,
            advertising_interval_max=_ADVERTISING_MILLISECONDS,
        )

    def _unplugged(self) -> None:
        """The adapter is gone, and all links with it."""
        if self._device is not None:
            logger.warning(
                "%s: the adapter is gone; trying to open it again",
                self._url,
                extra=about(self._url),
            )
            self._device = None
            self.do_soon(self._open_again)

    async def _open_again(self) -> None:
        while True:
            await self._stack.aclose()
            try:
                return await self.start()
            except BindFailed as error:
                logger.info("%s; trying again", error)
                await anyio.sleep(_AGAIN_SECONDS)


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
