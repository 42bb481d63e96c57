"""A Wi-Fi radio that is not there: for tests, demos and virtual devices.

It takes the time that a radio takes, its signals drift, and it is deterministic: the same seed,
clock and calls give the same answers. The rules that every backend shares are in `interface`.
"""

import hashlib
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Literal

import anyio
import msgspec

from .interface import (
    AccessPoint,
    NetworkNotFound,
    NoWifiHardware,
    Wifi,
    WifiError,
    WifiState,
    WifiStatus,
    WrongKey,
    decode_ssid,
)

WEAKEST, STRONGEST = -95, -20  # dBm that a real receiver reports


class SimulatedNetwork(msgspec.Struct, frozen=True):
    """One access point of the simulated neighbourhood.

    Args:
        ssid: the network's name; bytes where it is no UTF-8.
        bssid: the access point's address.
        channel: the channel's number.
        rssi: mean signal strength in dBm.
        security: how it is protected.
        key: what opens it; empty when open.
        hidden: whether scans leave it out. `connect` finds it all the same.
    """

    ssid: str | bytes
    bssid: str
    channel: int
    rssi: int
    security: Literal["open", "wpa2", "wpa3"] = "open"
    key: str = ""
    hidden: bool = False

    @property
    def raw_ssid(self) -> bytes:
        """The SSID as it goes over the air."""
        return self.ssid.encode() if isinstance(self.ssid, str) else self.ssid

    def accepts(self, psk: str) -> bool:
        """Whether that key opens the network.

        WPA2 also takes the 64 hexadecimal digits that passphrase and SSID give (IEEE 802.11, J.4);
        WPA3 has no such form. A key for an open network is refused, as a station that was told to
        use one does not join a network of that name without protection.

        Args:
            psk: the key that `connect` was called with.
        """
        if psk == self.key:
            return True
        if self.security != "wpa2" or len(psk) != 64:
            return False
        raw_key = hashlib.pbkdf2_hmac("sha1", self.key.encode(), self.raw_ssid, 4096, 32)
        return psk.lower() == raw_key.hex()


DEFAULT_NETWORKS: tuple[SimulatedNetwork, ...] = (
    SimulatedNetwork(
        "home-network-2g", "02:5e:10:00:24:01", 6, -46, "wpa2", "correct horse battery"
    ),
    SimulatedNetwork(
        "home-network-5g", "02:5e:10:00:50:01", 36, -54, "wpa3", "correct horse battery"
    ),
    SimulatedNetwork("office-mesh", "02:5e:20:00:00:01", 1, -58, "wpa2", "meeting room 4"),
    SimulatedNetwork("office-mesh", "02:5e:20:00:00:02", 11, -67, "wpa2", "meeting room 4"),
    SimulatedNetwork("coffee-corner", "02:5e:30:00:00:01", 11, -63),
    SimulatedNetwork(b"caf\xe9", "02:5e:40:00:00:01", 3, -72, "wpa2", "deux croissants"),
    SimulatedNetwork("workshop", "02:5e:50:00:00:01", 13, -81, "wpa2", "measure twice"),
    SimulatedNetwork(
        "backstage", "02:5e:60:00:00:01", 44, -70, "wpa2", "break a leg!", hidden=True
    ),
)
"""The neighbourhood of `SimulatedWifi`. Its docstring lists the names and keys."""


class _Station:
    """An access point of the neighbourhood, with what the radio knows about it.

    Its strength is its mean, an offset for the place, and slow waves: a function of time alone, so
    it needs no task, and asking more often does not change it.
    """

    _WAVES = 3

    def __init__(self, network: SimulatedNetwork, seed: int) -> None:
        self.network = network
        self.ssid, self.ssid_hex = decode_ssid(network.raw_ssid)
        chance = random.Random(f"{seed}/{network.bssid}")
        self._mean = network.rssi + chance.uniform(-3, 3)
        self._waves = [
            (chance.uniform(0.5, 1.5), math.tau / chance.uniform(20, 200), chance.uniform(0, 9))
            for _ in range(self._WAVES)
        ]

    def rssi_at(self, seconds: float) -> int:
        drift = sum(size * math.sin(speed * seconds + start) for size, speed, start in self._waves)
        return min(max(round(self._mean + drift), WEAKEST), STRONGEST)


class SimulatedWifi(Wifi):
    """A simulated radio. These networks are in range unless others are given.

    | SSID              | security | key                     | what is special           |
    |-------------------|----------|-------------------------|---------------------------|
    | `home-network-2g` | WPA2     | `correct horse battery` |                           |
    | `home-network-5g` | WPA3     | `correct horse battery` |                           |
    | `office-mesh`     | WPA2     | `meeting room 4`        | two access points         |
    | `coffee-corner`   | open     |                         |                           |
    | `caf` + U+FFFD    | WPA2     | `deux croissants`       | no UTF-8: `63 61 66 e9`   |
    | `workshop`        | WPA2     | `measure twice`         | far away                  |
    | `backstage`       | WPA2     | `break a leg!`          | hidden: no scan shows it  |

    `connect` chooses the strongest access point of that name, and leaves the present network once
    it has found one. It passes the states 1, 2 and 3, or 1 and 4; cancelled, it ends in 0.

    Args:
        seed: chooses the place among the networks: offsets and drift of the signals, and how long
            each attempt takes.
        networks: the access points in range.
        hardware: `False` plays a device without a radio.
        scan_time: seconds that a scan takes, also the fruitless one for an unknown SSID.
        connect_time: seconds that an attempt takes with a good signal, ±20 %; with a weak one up
            to half as much again.
        clock: monotonic time in seconds, for the drift.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        networks: Sequence[SimulatedNetwork] = DEFAULT_NETWORKS,
        hardware: bool = True,
        scan_time: float = 0.4,
        connect_time: float = 1.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stations = [_Station(network, seed) for network in networks]
        self._hardware = hardware
        self._scan_time = scan_time
        self._connect_time = connect_time
        self._clock = clock
        self._started = clock()
        self._chance = random.Random(f"{seed}/attempts")
        self._state = WifiState.DISCONNECTED
        self._station: _Station | None = None

    async def _scan(self) -> list[AccessPoint]:
        self._need_hardware()
        await anyio.sleep(self._scan_time)
        return [
            AccessPoint(
                ssid=station.ssid,
                rssi=self._rssi(station),
                bssid=station.network.bssid,
                channel=station.network.channel,
                security=station.network.security,
                ssid_hex=station.ssid_hex,
            )
            for station in self._stations
            if not station.network.hidden
        ]

    async def _join(self, ssid: str, psk: str) -> None:
        self._need_hardware()
        if self._station is None:
            self._enter(WifiState.CONNECTING)
        try:
            station = await self._find(ssid)
            self._enter(WifiState.CONNECTING)
            seconds = self._attempt_seconds(station)
            await anyio.sleep(0.6 * seconds)
            if not station.network.accepts(psk):
                raise WrongKey
            self._enter(WifiState.ASSOCIATED, station)
            await anyio.sleep(0.4 * seconds)
            self._enter(WifiState.CONNECTED, station)
        except (WifiError, anyio.get_cancelled_exc_class()) as error:
            if self._station is None or self._state is WifiState.ASSOCIATED:
                failed = isinstance(error, WifiError)
                self._enter(WifiState.FAILED if failed else WifiState.DISCONNECTED)
            raise

    async def _leave(self) -> None:
        self._need_hardware()
        self._enter(WifiState.DISCONNECTED)

    async def _report(self) -> WifiStatus:
        self._need_hardware()
        return self._present_status()

    def _need_hardware(self) -> None:
        if not self._hardware:
            raise NoWifiHardware

    async def _find(self, ssid: str) -> _Station:
        stations = [station for station in self._stations if station.ssid == ssid]
        if not stations:
            await anyio.sleep(self._scan_time)
            raise NetworkNotFound
        return max(stations, key=self._rssi)

    def _attempt_seconds(self, station: _Station) -> float:
        weakness = (STRONGEST - self._rssi(station)) / (STRONGEST - WEAKEST)
        return self._connect_time * self._chance.uniform(0.8, 1.2) * (1 + 0.5 * weakness)

    def _rssi(self, station: _Station) -> int:
        return station.rssi_at(self._clock() - self._started)

    def _enter(self, state: WifiState, station: _Station | None = None) -> None:
        if state is self._state:
            return
        self._state = state
        self._station = station
        self.status_changed.emit(self._present_status())

    def _present_status(self) -> WifiStatus:
        station = self._station
        if station is None:
            return WifiStatus(state=self._state)
        return WifiStatus(
            ssid=station.ssid,
            state=self._state,
            signal=self._rssi(station),
            bssid=station.network.bssid,
            channel=station.network.channel,
            security=station.network.security,
            ssid_hex=station.ssid_hex,
        )
