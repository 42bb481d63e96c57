"""The radio that NetworkManager drives: the `wifi` service on its D-Bus interface."""

import re
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Self

import anyio
from dbus_fast import Variant

from jsonrpc_iot import RpcError
from jsonrpc_iot.transports.requirements import require_asyncio

from ..interface import AccessPoint, NetworkNotFound, Wifi, WifiState, WifiStatus, WrongKey
from .adapters import find_adapter, need_adapter
from .joining import Attempt
from .manager import Manager, Refused
from .names import (
    ACTIVATED,
    ACTIVE,
    DEVICE,
    IP_CONFIG,
    PREPARE,
    WIRELESS,
)
from .points import OPEN, PERSONAL, Point, nameless, point_at, points_of
from .profiles import Profile, has_key, known_profiles, new_settings

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SCAN_SECONDS = 8.0
_FIND_SECONDS = 12.0
_LOOKS, _MOST_LOOKS = 2, 4  # without and with access points around that hide their names
_JOIN_SECONDS = 19.5  # so that this class says what is the matter, before the interface's limit
_LEAVE_SECONDS = 5.0


class NetworkManagerWifi(Wifi):
    """Wi-Fi by NetworkManager, in an `async with` block, on asyncio.

    NetworkManager may come, end and be upgraded meanwhile. What it does by itself or for others is
    told too: it may return to a network that it knows after an attempt has failed.

    Args:
        adapter: the interface of the Wi-Fi adapter, such as `wlan0`; by default the first by name.

    Raises:
        UsageError: the block is entered on an event loop that is not asyncio's.
    """

    def __init__(self, adapter: str = "") -> None:
        self._adapter = adapter
        self._manager = Manager(self._update)
        self._mirror = self._manager.mirror
        self._is_trying = False
        self._has_failed = False
        self._failed_active = ""  # what the attempt that failed was, and may be for a moment still
        self._told = (WifiState.DISCONNECTED, "")

    async def __aenter__(self) -> Self:
        require_asyncio("wifi", "NetworkManager is spoken to")
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            has_looked = anyio.Event()
            tasks.start_soon(self._manager.run, has_looked.set)
            await has_looked.wait()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _scan(self) -> list[AccessPoint]:
        device = need_adapter(self._manager, self._adapter)
        await self._look_around(device)
        need_adapter(self._manager, self._adapter)  # it may be gone meanwhile
        return [point.shown() for point in points_of(self._mirror, device)]

    async def _join(self, ssid: str, psk: str) -> None:
        device = need_adapter(self._manager, self._adapter)
        self._is_trying, self._has_failed, self._failed_active = True, False, ""
        self._update()
        try:
            await self._try(device, ssid, psk)
        except RpcError:
            self._has_failed = True
            raise
        finally:
            self._is_trying = False
            self._update()

    async def _leave(self) -> None:
        device = need_adapter(self._manager, self._adapter)
        self._has_failed = False
        self._update()
        if not self._is_busy(device):
            return
        with suppress(Refused):  # it has left already
            await self._manager.call(device, DEVICE, "Disconnect")
        with anyio.move_on_after(_LEAVE_SECONDS):
            await self._manager.until(lambda: not self._is_busy(device))

    async def _report(self) -> WifiStatus:
        need_adapter(self._manager, self._adapter)
        return self._present_status()

    async def _try(self, device: str, ssid: str, psk: str) -> None:
        """Join a network. All that can be refused is refused before the present one is left."""
        deadline = anyio.current_time() + _JOIN_SECONDS
        point = await self._find(device, ssid)
        _check_key(point, psk)
        name = self._mirror.text(device, DEVICE, "Interface")
        known = await known_profiles(self._manager, point.raw_ssid, name)
        if await self._is_on(device, point, psk, known):
            return
        like = known[0].settings if known else None
        settings = new_settings(
            point,
            psk,
            is_hidden=point.bssid in nameless(self._mirror, device),
            adapter=self._adapter,
            like=like,
        )
        attempt = Attempt(self._manager, device, point, has_key=bool(psk))
        try:
            await attempt.run(settings, known, deadline)
        except RpcError:
            if not attempt.is_accepted:
                self._failed_active = attempt.active
            raise

    async def _find(self, device: str, ssid: str) -> Point:
        """The strongest access point of a network; answers to a radio that asks may get lost."""
        name = ssid.encode(errors="surrogatepass")

        def found() -> list[Point]:
            return [each for each in points_of(self._mirror, device) if each.ssid == ssid]

        with anyio.move_on_after(_FIND_SECONDS):
            for look in range(_MOST_LOOKS):
                if found() or (look >= _LOOKS and not nameless(self._mirror, device)):
                    break
                await self._look_around(device, name, found)
        if points := found():
            return max(points, key=lambda point: point.rssi)
        need_adapter(self._manager, self._adapter)
        raise NetworkNotFound

    async def _is_on(self, device: str, point: Point, psk: str, known: list[Profile]) -> bool:
        """Whether the adapter is on that network, with that key."""
        if self._mirror.number(device, DEVICE, "State") != ACTIVATED:
            return False
        here = point_at(self._mirror, self._mirror.text(device, WIRELESS, "ActiveAccessPoint"))
        active = self._mirror.text(device, DEVICE, "ActiveConnection")
        path = self._mirror.text(active, ACTIVE, "Connection")
        used = [each for each in known if each.path == path]
        if here is None or here.raw_ssid != point.raw_ssid or not used:
            return False
        return await has_key(self._manager, used[0], psk)

    async def _look_around(
        self, device: str, name: bytes = b"", found: Callable[[], object] = bool
    ) -> None:
        """Have the adapter scan, also for a network by its name, until that is found."""
        before = self._mirror.number(device, WIRELESS, "LastScan")
        options = {"ssids": Variant("aay", [name])} if name else {}
        try:
            await self._manager.call(device, WIRELESS, "RequestScan", "a{sv}", options)
        except Refused:  # it scans already, or joins a network, for which it has scanned
            if self._is_busy(device) and not self._is_connected(device):
                return
        with anyio.move_on_after(_SCAN_SECONDS):
            await self._manager.until(
                lambda: (
                    self._mirror.number(device, WIRELESS, "LastScan") != before
                    or not self._mirror.has(device, WIRELESS)
                    or found()
                )
            )

    def _is_busy(self, device: str) -> bool:
        """Whether the adapter joins a network, or is on one."""
        return PREPARE <= self._mirror.number(device, DEVICE, "State") <= ACTIVATED

    def _is_connected(self, device: str) -> bool:
        return self._mirror.number(device, DEVICE, "State") == ACTIVATED

    def _update(self) -> None:
        """Tell of a change, if there is one."""
        status = self._present_status()
        if (status.state, status.ssid) != self._told:
            self._told = status.state, status.ssid
            self.status_changed.emit(status)

    def _present_status(self) -> WifiStatus:
        device = find_adapter(self._mirror, self._adapter)
        state = self._state_of(device)
        if state not in {WifiState.ASSOCIATED, WifiState.CONNECTED}:
            return WifiStatus(state=state)
        point = point_at(self._mirror, self._mirror.text(device, WIRELESS, "ActiveAccessPoint"))
        if point is None:  # it roams
            return WifiStatus(state=state)
        shown = point.shown()
        return WifiStatus(
            ssid=shown.ssid,
            state=state,
            signal=shown.rssi,
            bssid=shown.bssid,
            channel=shown.channel,
            security=shown.security,
            ssid_hex=shown.ssid_hex,
        )

    def _state_of(self, device: str) -> WifiState:
        state = self._mirror.number(device, DEVICE, "State")
        active = self._mirror.text(device, DEVICE, "ActiveConnection")
        if self._is_busy(device) and not (self._has_failed and active == self._failed_active):
            if not self._is_trying:
                self._has_failed = False  # something else has begun
            if state < IP_CONFIG:
                return WifiState.CONNECTING
            return WifiState.ASSOCIATED if state < ACTIVATED else WifiState.CONNECTED
        if self._is_trying and device:
            return WifiState.CONNECTING
        return WifiState.FAILED if self._has_failed and device else WifiState.DISCONNECTED


def _check_key(point: Point, psk: str) -> None:
    """Refuse what no access point of that kind takes."""
    size = len(psk.encode(errors="surrogatepass"))
    if "\0" in psk or _LONE_SURROGATE.search(psk) or (size > 63 and not psk.isascii()):
        raise WrongKey("no network has a key with a NUL or a half character, or of over 63 bytes")
    if point.security in PERSONAL and not psk:
        raise WrongKey(f"{point.ssid!r} needs a key")
    if point.security in OPEN and psk:
        raise WrongKey(f"{point.ssid!r} takes no key")
    if point.security not in PERSONAL | OPEN:
        raise WrongKey(
            f"{point.ssid!r} needs more than a key ({point.security}): nmcli may join it"
        )
