"""The characteristics of some service of a Bluetooth LE device, for other protocols than ours."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from ...channel.changes import Change
from ...channel.url import Url
from ...errors import ChannelClosed, ConnectFailed
from . import _require_bleak, _require_bumble, require_asyncio
from ._options import ConnectOptions, read_options

if TYPE_CHECKING:
    from bleak import BleakClient

    from ._scan import Backend


class Attributes:
    """The characteristics of a device that is connected; `open_attributes` finds it.

    Args:
        client: bleak's.
        name: of the device, in errors.
    """

    def __init__(self, client: "BleakClient", name: str) -> None:
        self._client = client
        self._name = name
        self._news = Change()
        self._is_lost = False

    def lose(self) -> None:
        """The link is gone."""
        self._is_lost = True
        self._news.notify()

    async def read(self, uuid: str) -> bytes:
        """The value of a characteristic.

        Raises:
            ChannelClosed: the link is gone, or the device has no such.
        """
        with _failing(self._name):
            return bytes(await self._client.read_gatt_char(uuid))

    async def write(self, uuid: str, value: bytes) -> None:
        """Write a characteristic, and wait until the device has it; raises as `read` does."""
        with _failing(self._name):
            await self._client.write_gatt_char(uuid, value, response=True)

    async def hear(self, uuid: str, take: Callable[[bytes], object]) -> None:
        """Have each new value of a characteristic told; raises as `read` does.

        Args:
            uuid: of the characteristic.
            take: must not wait.
        """

        def notified(_: object, value: bytearray) -> None:
            take(bytes(value))
            self._news.notify()

        with _failing(self._name):
            await self._client.start_notify(uuid, notified)

    async def news(self) -> None:
        """Wait until a value was told; raises `ChannelClosed` once the link is gone."""
        if not self._is_lost:
            await self._news.wait()
        if self._is_lost:
            raise ChannelClosed(f"{self._name}: the link is gone")


@asynccontextmanager
async def open_attributes(url: Url, service: str) -> AsyncIterator[Attributes]:
    """Connect to a device with some service, while the block runs.

    Args:
        url: `gatt://NAME-OR-ADDRESS` or `gatt+bumble://TRANSPORT?name=NAME`.
        service: its UUID.

    Raises:
        ConnectFailed: there is no such device, or no Bluetooth.
        InvalidUrl: the URL makes no sense.
        MissingExtra: bleak or bumble is not installed.
        UsageError: this is not asyncio.
    """
    require_asyncio(url)
    options = read_options(url, ConnectOptions)
    if not (options.name or options.address or (url.scheme == "gatt" and url.host)):
        raise url.error("say which device: gatt://NAME or gatt://ADDRESS")
    async with AsyncExitStack() as stack:
        if url.scheme == "gatt+bumble":
            _require_bumble(url)
            from .bumble.backend import backend_on
            from .bumble.radio import open_radio

            radio = await stack.enter_async_context(open_radio(url, "central", "", ConnectFailed))
            yield await _connect(url, "", service, options, backend_on(radio), stack)
        else:
            _require_bleak(url)
            from ._scan import Backend

            backend = Backend(None, None, options.adapter)
            yield await _connect(url, url.host, service, options, backend, stack)


async def _connect(
    url: Url,
    host: str,
    service: str,
    options: ConnectOptions,
    backend: "Backend",
    stack: AsyncExitStack,
) -> Attributes:
    from bleak import BleakClient

    from ._central import disconnect
    from ._scan import FAILURES, Wanted, find, one_cancellation, text

    wanted = Wanted(options.address or host, options.name or host, service)
    device = await find(wanted, backend, url)
    found: list[Attributes] = []

    def lose(_: BleakClient) -> None:
        for each in found:
            each.lose()

    client = BleakClient(device, lose, backend=backend.client)
    try:
        await one_cancellation(client.connect())
    except (*FAILURES, TimeoutError) as error:
        raise ConnectFailed(f"{url}: cannot connect: {text(error)}") from error
    stack.push_async_callback(disconnect, client)
    found.append(Attributes(client, str(url)))
    return found[0]


@contextmanager
def _failing(name: str) -> Iterator[None]:
    """Say in our words that the link is gone, or the device refuses."""
    from ._scan import FAILURES, text

    try:
        yield
    except FAILURES as error:
        raise ChannelClosed(f"{name}: {text(error)}") from error
