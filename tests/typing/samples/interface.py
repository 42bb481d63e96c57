"""The service that the samples call."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from msgspec import Struct

from jsonrpc_iot import Event, Stream, method, notification, service
from jsonrpc_iot.blocking import BlockingEvent, BlockingStream


class AccessPoint(Struct):
    ssid: str
    rssi: int


class Status(Struct):
    state: int


@service("wifi")
class Wifi(ABC):
    changed = Event[Status]("status")

    @method
    @abstractmethod
    async def scan(self) -> list[AccessPoint]: ...

    @method(timeout=20.0)
    @abstractmethod
    async def connect(self, ssid: str, psk: str = "", *, hidden: bool = False) -> None: ...

    @method
    @abstractmethod
    def watch(self, seconds: float) -> AsyncIterator[AccessPoint]: ...

    @method
    @abstractmethod
    def listen(self, channel: int = 1) -> Stream[AccessPoint]: ...

    @method
    def name(self) -> str:
        return "wlan0"

    @notification
    @abstractmethod
    async def blink(self, times: int) -> None: ...


class BlockingWifi(Protocol):
    changed: BlockingEvent[Status]

    def scan(self) -> list[AccessPoint]: ...

    def connect(self, ssid: str, psk: str = "", *, hidden: bool = False) -> None: ...

    def watch(self, seconds: float) -> Iterator[AccessPoint]: ...

    def listen(self, channel: int = 1) -> BlockingStream[AccessPoint]: ...

    def name(self) -> str: ...

    def blink(self, times: int) -> None: ...
