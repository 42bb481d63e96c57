"""An adapter that advertises while it is there, and is opened again when it comes back."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import anyio
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device

from ....channel.url import Url
from ....errors import BindFailed
from ....protocol.about import about
from .._served import SHARED_RADIOS
from .radio import FAILURES, finish, open_radio, spec, text

logger = logging.getLogger("jsonrpc_iot.transports")

Fields = Sequence[tuple[int, bytes]]
"""Types and values of what is advertised."""

_ADVERTISING_MILLISECONDS = 20.0  # the shortest; with bumble's usual 1 s, so long takes connecting
_AGAIN_SECONDS = 1.0


class Application(ABC):
    """Who is served at an adapter."""

    @abstractmethod
    def equip(self, device: Device) -> None:
        """Give an adapter that was opened its services."""

    @abstractmethod
    def connected(self, connection: Connection) -> None:
        """A central has connected."""

    @abstractmethod
    def disconnected(self, connection: Connection) -> None:
        """It is gone."""

    @abstractmethod
    def do_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run that beside all else."""

    @property
    @abstractmethod
    def advertised(self) -> Fields:
        """What is advertised, besides flags and the name, which a scan response has."""

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether one more central may connect."""


class Adapter:
    """An adapter for as long as a program serves.

    Args:
        url: names it.
        name: is advertised.
        address: its Bluetooth address; a random one where there is none.
        application: who is served.
    """

    def __init__(self, url: Url, name: str, address: str, application: Application) -> None:
        self._url = url
        self._name = name
        self._address = address
        self._application = application
        self._stack = AsyncExitStack()
        self._device: Device | None = None
        self._advertising = anyio.Lock()

    async def start(self) -> None:
        """Open it and advertise.

        Raises:
            BindFailed: it is not to be had.
        """
        async with AsyncExitStack() as stack:
            radio = open_radio(self._url, self._name, self._address, BindFailed)
            device = await stack.enter_async_context(radio)
            self._application.equip(device)
            device.on(Device.EVENT_CONNECTION, self._connected)
            device.on(Device.EVENT_FLUSH, self._unplugged)
            try:
                await self._start_advertising(device)
            except FAILURES as error:
                raise BindFailed(f"{self._url}: cannot advertise: {text(error)}") from error
            self._device = device
            self._stack = stack.pop_all()

    def let_go(self) -> None:
        """Advertise no more, and do not open it again."""
        self._device = None

    async def aclose(self) -> None:
        """Give it back."""
        self.let_go()
        with anyio.CancelScope(shield=True):
            async with self._advertising:
                await self._stack.aclose()

    async def advertise(self, *, is_stale: bool = False) -> None:
        """Advertise for the next central, where that is not done; or what has changed."""
        async with self._advertising:
            while (device := self._device) is not None and (is_stale or not device.is_advertising):
                if not self._application.has_room:
                    return  # whoever leaves makes room
                try:
                    await finish(self._start_advertising(device))
                    is_stale = False
                except FAILURES as error:
                    logger.info(
                        "%s: cannot advertise: %s; trying again",
                        self._url,
                        text(error),
                        extra=about(self._url),
                    )
                    await anyio.sleep(_AGAIN_SECONDS)

    def _connected(self, connection: Connection) -> None:
        self._application.connected(connection)

        def disconnected(_: int) -> None:
            self._application.disconnected(connection)
            self._application.do_soon(self.advertise)

        connection.on(Connection.EVENT_DISCONNECTION, disconnected)
        self._application.do_soon(self.advertise)

    async def _start_advertising(self, device: Device) -> None:
        flags = (AdvertisingData.FLAGS, b"\x06")  # general discoverable, no BR/EDR
        name = (AdvertisingData.COMPLETE_LOCAL_NAME, self._name.encode())
        await device.start_advertising(
            advertising_data=bytes(AdvertisingData([flags, *self._application.advertised])),
            scan_response_data=bytes(AdvertisingData([name])),
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
            self._application.do_soon(self._open_again)

    async def _open_again(self) -> None:
        while True:
            await self._stack.aclose()
            try:
                return await self.start()
            except BindFailed as error:
                logger.info("%s; trying again", error)
                await anyio.sleep(_AGAIN_SECONDS)


def service_field(uuid: str) -> tuple[int, bytes]:
    """Advertises a service."""
    uuids = AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
    return uuids, UUID(uuid).to_bytes()


def is_shared(url: Url) -> bool:
    """Whether clients may come by the same URL, since the radio is behind a socket."""
    return spec(url).startswith(SHARED_RADIOS)


def root(url: Url) -> str:
    """The URL of the adapter, without options."""
    return f"{url.scheme}://{quote(spec(url), safe='/:@,=!')}"
