"""What a device is that serves another service than ours, whichever Bluetooth carries it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Annotated, Literal

import anyio
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Meta, Struct

from ...errors import JsonRpcIotError
from ._options import DEFAULT_NAME

Flag = Literal["read", "write", "write-without-response", "notify"]

SHARED_RADIOS = ("unix:", "unix-client:", "tcp-client:", "ws-client:")
"""What bumble's transports begin with whose radio is behind a socket, where others may be too."""

_SILENCE_SECONDS = 60.0  # after which a central gives way to another


class ServedOptions(Struct, frozen=True):
    """Options of a URL to serve such a service.

    Args:
        name: what the device advertises.
        adapter: the Bluetooth adapter, as BlueZ calls it.
        address: the adapter's Bluetooth address, where bumble drives it; a random one by default.
        centrals: how many are served at once.
    """

    name: str = DEFAULT_NAME
    adapter: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_]+$(?!\n)")] = "hci0"
    address: str = ""
    centrals: Annotated[int, Meta(gt=0)] = 1


class ServedService(ABC):
    """What the service is. No method may wait or raise.

    Attributes:
        uuid: of the service.
        characteristics: what may be done with them, by their UUIDs.
    """

    uuid: str
    characteristics: Mapping[str, Sequence[Flag]]

    @property
    @abstractmethod
    def advertised(self) -> tuple[str, bytes]:
        """A UUID, of 16 bits but whole, and data that are advertised under it."""

    @abstractmethod
    def start(self, tasks: TaskGroup) -> Callable[[], None]:
        """Begin to take what centrals write.

        Args:
            tasks: for what takes time.

        Returns:
            What ends that.
        """

    @abstractmethod
    def read(self, uuid: str, central: Hashable) -> bytes:
        """The value of a characteristic, for a central."""

    @abstractmethod
    def write(self, uuid: str, central: Hashable, value: bytes) -> None:
        """Take what a central wrote."""

    @abstractmethod
    def left(self, central: Hashable) -> None:
        """A central that had written is gone."""


class AttributeServer(ABC):
    """Serves such a service; `attribute_server` makes the one for a URL.

    Whoever writes is served until it leaves. While there are as many as may be, others are
    disconnected when they write, unless one has been silent for a minute and gives way.

    Args:
        max_centrals: those that are served at once.

    Attributes:
        is_serving: until then, and from the end on, nobody is notified.
        refused: centrals that were too many.
    """

    def __init__(self, max_centrals: int) -> None:
        self.is_serving = False
        self.refused = 0
        self._max_centrals = max_centrals
        self._heard: dict[Hashable, float] = {}

    _service: ServedService
    _tasks: TaskGroup

    async def serve(
        self, service: ServedService, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; `task_group.start` gives the URL for clients.

        Raises:
            BindFailed: there is no such Bluetooth; the text says what to do.
            InvalidUrl: the URL makes no sense.
        """
        self._service = service
        failure: JsonRpcIotError | None = None
        async with anyio.create_task_group() as self._tasks:
            end = service.start(self._tasks)
            try:
                address = await self._start()
                self.is_serving = True
                task_status.started(address)
                await self._keep()
            except JsonRpcIotError as error:  # by itself, and not as one of a group
                failure = error
            finally:
                self.is_serving = False
                end()
                await self._stop()
        if failure is not None:
            raise failure

    @abstractmethod
    def publish(self, uuid: str, value: bytes, central: Hashable | None) -> None:
        """Notify of a value, as far as a packet carries it; it may be read too.

        Args:
            uuid: of the characteristic.
            value: what is read from now on.
            central: whom; all where it is `None`, and where Bluetooth cannot tell them apart.
        """

    @abstractmethod
    def advertise(self) -> None:
        """Advertise what `ServedService.advertised` says now."""

    @abstractmethod
    async def _start(self) -> str:
        """Begin to serve; gives the URL for clients, or raises `BindFailed`."""

    @abstractmethod
    async def _keep(self) -> None:
        """Begin anew whenever Bluetooth was gone, until cancelled."""

    @abstractmethod
    async def _stop(self) -> None:
        """End all that has begun."""

    @abstractmethod
    def _disconnect(self, central: Hashable) -> None:
        """End a link soon."""

    def _admits(self, central: Hashable) -> bool:
        """Whether to take what a central writes; one that is too many is disconnected."""
        now = anyio.current_time()
        if central not in self._heard and len(self._heard) >= self._max_centrals:
            quietest = min(self._heard, key=self._heard.__getitem__)
            if now < self._heard[quietest] + _SILENCE_SECONDS:
                self.refused += 1
                self._disconnect(central)
                return False
            self._disconnect(quietest)
            self._has_left(quietest)
        self._heard[central] = now
        return True

    def _has_left(self, central: Hashable) -> None:
        if self._heard.pop(central, None) is not None:
            self._service.left(central)
