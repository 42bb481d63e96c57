"""A device that is told of networks, whichever way its clients come.

Here are its state and its one attempt to join a network; what a link makes of that is for `line`.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Self

import anyio
import msgspec

from jsonrpc_iot import RpcError
from jsonrpc_iot.protocol.improv.messages import (
    DeviceInfo,
    ErrorState,
    NetworkFlags,
    State,
    WifiSettings,
)

from ..wifi import AccessPoint, NoWifiHardware, Wifi, WifiBusy, WifiState, WifiStatus
from .authorization import AUTHORIZED_SECONDS, Authorization
from .errors import ImprovError
from .names import Names

logger = logging.getLogger("jsonrpc_iot.wifi")

CONNECT_SECONDS = 25.0
"""After which an attempt has failed; apps in the field give up after 30 s."""


class _Attempt:
    """A running attempt, for all who wait for it."""

    def __init__(self, settings: WifiSettings) -> None:
        self.settings = settings
        self.error = ErrorState.UNKNOWN  # until it is known to be something else
        self.ended = anyio.Event()


class Improv:
    """Provisioning over a `Wifi`: `async with Improv(wifi, info) as improv:`.

    Clients on several links may come at once. All see the same state; while one has the device
    join a network, another is refused, unless it says the same. An attempt goes on if the one who
    asked is gone.

    Args:
        wifi: joins the networks.
        info: what the device says of itself.
        urls: gives the URLs of the device once it is on the network, the one for people first; they
            are told to whoever has provisioned it.
        identify: shows people which device it is, such as by its light; it must not wait. `None`
            where there is no way.
        names: where clients may change them.
        wants_button: whether those who come over Bluetooth may have it join a network only after
            `authorize`.
        authorized_seconds: how long that counts.
        connect_seconds: after which an attempt has failed.

    Attributes:
        authorization: whether `authorize` was called lately.
        can_identify: whether there is a way.
        names: as above.
        wants_button: as above.
    """

    def __init__(
        self,
        wifi: Wifi,
        info: DeviceInfo,
        urls: Callable[[], Sequence[str]] = tuple,
        *,
        identify: Callable[[], object] | None = None,
        names: Names | None = None,
        wants_button: bool = False,
        authorized_seconds: float = AUTHORIZED_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.authorization = Authorization(authorized_seconds)
        self.can_identify = identify is not None
        self.names = names
        self.wants_button = wants_button
        self._info = info
        self._identify = identify
        self._wifi = wifi
        self._urls = urls
        self._connect_seconds = connect_seconds
        self._is_online = False
        self._attempt: _Attempt | None = None
        self._joined: WifiSettings | None = None
        self._told = State.AUTHORIZED
        self._watchers: list[Callable[[State], object]] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._tasks.cancel_scope.cancel)
            stack.callback(self._wifi.status_changed.subscribe(self._follow))
            try:
                self._follow(await self._wifi.status())
            except NoWifiHardware as error:
                logger.warning("a device without Wi-Fi cannot be provisioned: %s", error)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def info(self) -> DeviceInfo:
        """What the device says of itself."""
        if self.names is None:
            return self._info
        return msgspec.structs.replace(self._info, name=self.names.name)

    @property
    def state(self) -> State:
        """How far the device is."""
        if self._attempt is not None:
            return State.PROVISIONING
        return State.PROVISIONED if self._is_online else State.AUTHORIZED

    def authorize(self) -> None:
        """Somebody has pressed the button: a network is taken over Bluetooth, for a while."""
        self.authorization.give(self._tasks)

    def prolong(self) -> None:
        """Let the press of the button count longer, for another try; five times as long at most."""
        self.authorization.prolong(self._tasks)

    def identify(self) -> None:
        """Show people which device it is.

        Raises:
            ImprovError: there is no way, or that failed.
        """
        if self._identify is None:
            raise ImprovError(ErrorState.UNKNOWN_COMMAND)
        try:
            self._identify()
        except Exception:
            logger.exception("Improv: identifying the device failed")
            raise ImprovError(ErrorState.UNKNOWN) from None

    def watch(self, watcher: Callable[[State], object]) -> Callable[[], None]:
        """Have each new state told.

        Args:
            watcher: must not wait.

        Returns:
            What ends that.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def is_on(self, settings: WifiSettings) -> bool:
        """Whether it was told of that network, with that key, and is on it."""
        return self._is_online and settings == self._joined

    def urls(self) -> list[str]:
        """Where the device is reached; nothing while it is on no network."""
        return list(self._urls()) if self._is_online else []

    async def join(self, settings: WifiSettings) -> list[str]:
        """Join a network.

        Returns:
            The device's URLs.

        Raises:
            ImprovError: that failed, or a client has the device join another network just now.
        """
        attempt = self._attempt
        if attempt is None:
            attempt = self._attempt = _Attempt(settings)
            self._tell()
            self._tasks.start_soon(self._run, attempt)
        elif attempt.settings != settings:
            raise ImprovError(ErrorState.UNKNOWN)
        await attempt.ended.wait()
        if attempt.error is not ErrorState.NONE:
            raise ImprovError(attempt.error)
        return self.urls()

    async def networks(self) -> list[AccessPoint]:
        """The networks in range, each name once, strongest first.

        Raises:
            ImprovError: the radio is busy, or there is none.
        """
        try:
            found = await self._wifi.scan()
        except RpcError as error:
            logger.info("no scan for Improv: %s", error)
            raise ImprovError(ErrorState.UNKNOWN) from None
        by_name: dict[str, AccessPoint] = {}
        for point in found:
            if point.ssid.strip("\0"):
                by_name.setdefault(point.ssid, point)
        return list(by_name.values())

    def network_state(self) -> list[str]:
        """The answer to `Command.NETWORK_STATE`."""
        flags = NetworkFlags.WIFI
        if self._is_online:
            flags |= NetworkFlags.ONLINE
        return [str(flags.value), *self.urls()]

    async def _run(self, attempt: _Attempt) -> None:
        settings = attempt.settings
        try:
            with anyio.fail_after(self._connect_seconds):
                await self._wifi.connect(settings.ssid, settings.key)
        except WifiBusy as error:
            logger.info("Improv: no connection to %r: %s", settings.ssid, error)
        except (RpcError, TimeoutError) as error:
            attempt.error = ErrorState.UNABLE_TO_CONNECT
            reason = str(error) or "the time ran out"
            logger.info("Improv: no connection to %r: %s", settings.ssid, reason)
        except Exception:
            logger.exception("Improv: connecting to %r failed", settings.ssid)
        else:
            attempt.error = ErrorState.NONE
            self._is_online = True
            self._joined = settings
        finally:
            self._attempt = None
            self._tell()
            attempt.ended.set()

    def _follow(self, status: WifiStatus) -> None:
        self._is_online = status.state is WifiState.CONNECTED
        if self._joined is not None and status.ssid != self._joined.ssid:
            self._joined = None
        self._tell()

    def _tell(self) -> None:
        if self.state is not self._told:
            self._told = self.state
            for watcher in tuple(self._watchers):
                watcher(self._told)
