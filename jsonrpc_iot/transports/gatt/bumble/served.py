"""A service for other protocols than ours, on an adapter that bumble drives."""

import logging
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any
from urllib.parse import quote

import anyio
from bumble.att import ATT_Error, ErrorCode
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service

from ....channel.url import Url
from .._served import AttributeServer, Flag, ServedOptions
from .adapter import Adapter, Application, Fields, is_shared, root, service_field
from .radio import FAILURES, finish, is_busy, text

logger = logging.getLogger("jsonrpc_iot.transports")

_ONLOOKERS = 3  # that may be connected without being served

_PROPERTIES: dict[Flag, Characteristic.Properties] = {
    "read": Characteristic.Properties.READ,
    "write": Characteristic.Properties.WRITE,
    "write-without-response": Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
    "notify": Characteristic.Properties.NOTIFY,
}


class BumbleAttributes(AttributeServer, Application):
    """Serves the centrals of an adapter, each by its connection.

    Args:
        url: names the adapter.
        options: of the URL.
    """

    def __init__(self, url: Url, options: ServedOptions) -> None:
        super().__init__(options.centrals)
        self._url = url
        self._options = options
        self._connections: set[Connection] = set()
        self._adapter = Adapter(url, options.name, options.address, self)
        self._characteristics: dict[str, Characteristic[bytes]] = {}

    def publish(self, uuid: str, value: bytes, central: Hashable | None) -> None:
        """See `AttributeServer.publish`."""
        if self.is_serving:
            for each in self._connections:
                if central is None or each is central:
                    self.do_soon(partial(self._notify, each, self._characteristics[uuid], value))

    def advertise(self) -> None:
        """See `AttributeServer.advertise`."""
        if self.is_serving:
            self.do_soon(partial(self._adapter.advertise, is_stale=True))

    @property
    def advertised(self) -> Fields:
        """See `Application.advertised`."""
        uuid, data = self._service.advertised
        short = UUID.from_16_bits(int(uuid[4:8], 16)).to_bytes()
        data_field = (AdvertisingData.SERVICE_DATA_16_BIT_UUID, short + data)
        return [service_field(self._service.uuid), data_field]

    @property
    def has_room(self) -> bool:
        """See `Application.has_room`."""
        return len(self._connections) < self._max_centrals + _ONLOOKERS

    def do_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Application.do_soon`."""
        self._tasks.start_soon(work)

    def equip(self, device: Device) -> None:
        """See `Application.equip`."""
        self._device = device
        for uuid, flags in self._service.characteristics.items():
            properties = Characteristic.Properties(0)
            for flag in flags:
                properties |= _PROPERTIES[flag]
            permissions = Characteristic.Permissions(0)
            if "read" in flags:
                permissions |= Characteristic.Permissions.READABLE
            if "write" in flags:
                permissions |= Characteristic.Permissions.WRITEABLE
            value = CharacteristicValue(partial(self._read, uuid), partial(self._written, uuid))
            self._characteristics[uuid] = Characteristic(uuid, properties, permissions, value)
        device.add_service(Service(self._service.uuid, list(self._characteristics.values())))

    def connected(self, connection: Connection) -> None:
        """See `Application.connected`."""
        self._connections.add(connection)

    def disconnected(self, connection: Connection) -> None:
        """See `Application.disconnected`."""
        self._connections.discard(connection)
        self._has_left(connection)

    async def _start(self) -> str:
        await self._adapter.start()
        name = quote(self._options.name, safe="")
        return f"{root(self._url)}?name={name}" if is_shared(self._url) else f"gatt://{name}"

    async def _keep(self) -> None:
        await anyio.sleep_forever()  # the adapter does it

    async def _stop(self) -> None:
        await self._adapter.aclose()

    def _read(self, uuid: str, connection: Connection) -> bytes:
        return self._service.read(uuid, connection)

    def _written(self, uuid: str, connection: Connection, value: bytes) -> None:
        if not self._admits(connection):
            raise ATT_Error(ErrorCode.INSUFFICIENT_RESOURCES)
        self._service.write(uuid, connection, bytes(value))

    async def _notify(
        self, connection: Connection, characteristic: Characteristic[bytes], value: bytes
    ) -> None:
        if connection not in self._connections or is_busy(connection):
            return  # it may read the value
        try:
            await self._device.gatt_server.notify_subscriber(connection, characteristic, value)
        except FAILURES as error:
            logger.info("%s: not notified: %s", self._url, text(error))

    def _disconnect(self, central: Hashable) -> None:
        for each in self._connections:
            if each is central:
                self.do_soon(partial(self._part, each))

    async def _part(self, connection: Connection) -> None:
        try:
            await finish(connection.disconnect())
        except FAILURES as error:
            logger.debug("%s: not disconnected: %s", self._url, text(error))
