"""What the `wifi` service promises, whichever radio is behind it.

The RPC protocol, "Built-in services", gives the methods, the states and the error codes. `Wifi`
holds everything that must be the same for every backend: names, types, the rules for an SSID and a
key, one attempt to connect at a time, and the order of a scan. How a radio scans and joins is left
to the backends, which fill in four hooks and emit `status_changed`.

WifiError           an error of this service
├── NetworkNotFound 1001
├── WrongKey        1002
├── NoWifiHardware  1003
└── WifiBusy        1004
"""

import abc
import enum
import string
from typing import Annotated

import anyio
import msgspec
from msgspec import UNSET, Meta, UnsetType

from jsonrpc_iot import Cancelled, Event, Example, InvalidParams, RpcError, method, service

CONNECT_TIMEOUT = 20.0
"""Seconds after which `wifi.connect` answers at the latest."""

MAX_SSID_BYTES = 32


class WifiError(RpcError):
    """An error of the Wi-Fi service."""

    message = "Wi-Fi error"


class NetworkNotFound(WifiError):
    """No network with that SSID is in range."""

    code = 1001
    message = "Network not found"


class WrongKey(WifiError):
    """The network does not accept the key."""

    code = 1002
    message = "Wrong key"


class NoWifiHardware(WifiError):
    """The device has no radio, or it is switched off."""

    code = 1003
    message = "No Wi-Fi hardware"


class WifiBusy(WifiError):
    """The radio is occupied by another call."""

    code = 1004
    message = "Wi-Fi busy"


class WifiState(enum.IntEnum):
    """How far the link is."""

    DISCONNECTED = 0
    CONNECTING = 1
    ASSOCIATED = 2
    """Connected, without an address."""
    CONNECTED = 3
    """Connected, with an address."""
    FAILED = 4
    """The last attempt failed. Stays until the next `connect` or `disconnect`."""


class AccessPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a scan. Only `ssid` and `rssi` are always there.

    Args:
        ssid: the network's name, with U+FFFD where it is no UTF-8.
        rssi: signal strength in dBm, a negative integer.
        bssid: the access point's address, such as `02:00:5e:10:00:01`.
        channel: the channel's number.
        security: `open`, `wep`, `wpa`, `wpa2`, `wpa3`, `enterprise`, or a backend's own word.
        ssid_hex: the name's bytes in hexadecimal when it is no UTF-8.
    """

    ssid: str
    rssi: int
    bssid: str | UnsetType = UNSET
    channel: int | UnsetType = UNSET
    security: str | UnsetType = UNSET
    ssid_hex: str | UnsetType = UNSET


class WifiStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the link: the answer to `wifi.status`, and what the notification carries.

    Args:
        ssid: the network's name in the states 2 and 3, otherwise `""`.
        state: how far the link is.
        signal: signal strength in dBm in the states 2 and 3, otherwise 0.
        bssid, channel, security, ssid_hex: as in `AccessPoint`.
    """

    ssid: str = ""
    state: WifiState
    signal: int = 0
    bssid: str | UnsetType = UNSET
    channel: int | UnsetType = UNSET
    security: str | UnsetType = UNSET
    ssid_hex: str | UnsetType = UNSET


# The lengths only document, as JSON Schema counts characters, not bytes. `_check_ssid` and
# `_check_psk` hold the whole rule, for calls from Python as well.
Ssid = Annotated[
    str,
    Meta(
        description="1 to 32 bytes in UTF-8",
        extra_json_schema={"minLength": 1, "maxLength": MAX_SSID_BYTES},
    ),
]
Psk = Annotated[
    str,
    Meta(
        description="8 to 63 characters, or 64 hexadecimal digits; empty for an open network",
        extra_json_schema={"maxLength": 64},
    ),
]


_SCAN = Example(
    "two networks",
    result=[AccessPoint(ssid="home-network", rssi=-46), AccessPoint(ssid="workshop", rssi=-81)],
)
_JOIN = Example("a network with a key", {"ssid": "home-network", "psk": "correct horse battery"})
_JOIN_OPEN = Example("an open network", {"ssid": "coffee-corner"})
_STATUS = Example(
    "connected", result=WifiStatus(ssid="home-network", state=WifiState.CONNECTED, signal=-46)
)


def decode_ssid(raw: bytes) -> tuple[str, str | UnsetType]:
    """The two forms of an SSID on the wire: `ssid`, and `ssid_hex` where `ssid` cannot say it all.

    Args:
        raw: the SSID as the radio reports it.
    """
    try:
        return raw.decode(), UNSET
    except UnicodeDecodeError:
        return raw.decode(errors="replace"), raw.hex()


def _check_ssid(ssid: str) -> None:
    # A lone surrogate comes from Python callers only; it has a length and matches no network.
    size = len(ssid.encode(errors="surrogatepass"))
    if not 1 <= size <= MAX_SSID_BYTES:
        _refuse("ssid", f"Expected 1 to {MAX_SSID_BYTES} bytes, got {size}")


def _check_psk(psk: str) -> None:
    # The protocol counts characters. Radios count bytes, and refuse by themselves what is too long.
    is_passphrase = 8 <= len(psk) <= 63
    is_raw_key = len(psk) == 64 and set(psk) <= set(string.hexdigits)
    if psk and not is_passphrase and not is_raw_key:
        _refuse("psk", "Expected 8 to 63 characters, or 64 hexadecimal digits")


def _refuse(name: str, message: str) -> None:
    raise InvalidParams(data={"path": f"$.{name}", "message": message})


class _Attempt:
    """A running `connect`, as `disconnect` sees it."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.ended = anyio.Event()


@service("wifi")
class Wifi(abc.ABC):
    """The `wifi` service. A backend is a subclass that fills in the four hooks.

    The methods check, sort and keep order; the hooks do the work:

    - `_scan` gives the access points in range, in any order, within a few seconds;
    - `_join` returns once the link has an address, and otherwise raises an `RpcError`; it stays on
      the present network until it knows that there is another. Cancelled, it leaves what it was
      joining and lets the cancellation pass;
    - `_leave` ends the link, if there is one; no `_join` runs when it begins;
    - `_report` gives the present status, also while `_join` runs.

    Whenever the state changes, whoever changed it, the backend calls `self.status_changed.emit`
    with what `_report` gives from then on. Every hook raises `NoWifiHardware` where there is no
    radio.
    """

    status_changed = Event[WifiStatus]("status")

    _attempt: _Attempt | None = None

    @method(
        idempotent=True,
        effect="read",
        errors=(WifiBusy, NoWifiHardware),
        tags=("wifi",),
        examples=(_SCAN,),
    )
    async def scan(self) -> list[AccessPoint]:
        """Looks for networks; strongest first.

        Scans may overlap. While `connect` runs, the radio has to stay on one channel, so a scan is
        refused then.

        Raises:
            WifiBusy: a `connect` is running.
            NoWifiHardware: the device has no radio.
        """
        if self._attempt is not None:
            raise WifiBusy("Cannot scan while connecting")
        found = await self._scan()
        return sorted(found, key=lambda access_point: access_point.rssi, reverse=True)

    @method(
        timeout=CONNECT_TIMEOUT,
        effect="danger",  # whoever calls over that network may never reach the device again
        errors=(NetworkNotFound, WrongKey, WifiBusy, NoWifiHardware, Cancelled),
        tags=("wifi",),
        examples=(_JOIN, _JOIN_OPEN),
    )
    async def connect(self, ssid: Ssid, psk: Psk = "") -> None:
        """Joins a network, and returns once the link has an address.

        What can be refused is refused before the present network is left. Who calls over that
        network may be cut off, and learns from `status` what has come of it. Called through a
        dispatcher, it ends after 20 s with `DeadlineExceeded`.

        Args:
            ssid: the network's name, 1 to 32 bytes in UTF-8; for a network whose name is no UTF-8,
                the text that `scan` shows.
            psk: the key, 8 to 63 characters or 64 hexadecimal digits; empty for an open network.

        Raises:
            InvalidParams: `ssid` or `psk` has a length that no network has.
            NetworkNotFound: no such network is in range.
            WrongKey: the network does not accept the key.
            WifiBusy: another `connect` is running.
            NoWifiHardware: the device has no radio.
            Cancelled: `disconnect` was called meanwhile.
        """
        _check_ssid(ssid)
        _check_psk(psk)
        if self._attempt is not None:
            raise WifiBusy("Already connecting")
        attempt = self._attempt = _Attempt()
        try:
            with attempt.scope:
                await self._join(ssid, psk)
        finally:
            self._attempt = None
            attempt.ended.set()
        if attempt.scope.cancelled_caught:
            raise Cancelled("Disconnected while connecting")

    @method(idempotent=True, effect="danger", errors=(NoWifiHardware,), tags=("wifi",))
    async def disconnect(self) -> None:
        """Leaves the network; does nothing when there is none. A running `connect` is cancelled.

        Raises:
            NoWifiHardware: the device has no radio.
        """
        while (attempt := self._attempt) is not None:
            attempt.scope.cancel()
            await attempt.ended.wait()
        await self._leave()

    @method(
        idempotent=True,
        effect="read",
        errors=(NoWifiHardware,),
        tags=("wifi",),
        examples=(_STATUS,),
    )
    async def status(self) -> WifiStatus:
        """The state of the link.

        Raises:
            NoWifiHardware: the device has no radio.
        """
        return await self._report()

    @abc.abstractmethod
    async def _scan(self) -> list[AccessPoint]: ...

    @abc.abstractmethod
    async def _join(self, ssid: str, psk: str) -> None: ...

    @abc.abstractmethod
    async def _leave(self) -> None: ...

    @abc.abstractmethod
    async def _report(self) -> WifiStatus: ...
