"""The service that the samples call."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from msgspec import Struct

from jsonrpc_iot import Event, method, notification, service


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
    def name(self) -> str:
        return "wlan0"

    @notification
    @abstractmethod
    async def blink(self, times: int) -> None: ...
