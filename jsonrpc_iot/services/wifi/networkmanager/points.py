"""Access points as NetworkManager sees them.

Sources: NetworkManager's D-Bus reference, "org.freedesktop.NetworkManager.AccessPoint" and
"NM80211ApSecurityFlags"; for strengths, its `nm_wifi_utils_level_to_quality`.
"""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from ..interface import MAX_SSID_BYTES, AccessPoint, decode_ssid
from .mirror import Mirror
from .names import ACCESS_POINT, WIRELESS

_PRIVACY = 0x1
_PSK = 0x100
_ENTERPRISE = 0x200 | 0x2000  # 802.1X, and with suite B
_SAE = 0x400
_OWE = 0x800

_WEAKEST_DBM, _STRONGEST_DBM = -100, -40

MIXED = "wpa2/wpa3"
"""Who has WPA3 uses that, and others WPA2."""
WITH_SAE = frozenset({"wpa3", MIXED})
PERSONAL = frozenset({"wpa", "wpa2", *WITH_SAE})
"""These take a key."""
OPEN = frozenset({"open", "owe"})
"""These take none; `owe` is encrypted all the same."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One access point.

    Args:
        path: of its object.
        raw_ssid: its network's name as it goes over the air.
        rssi: signal strength in dBm.
        bssid: its address, `""` where NetworkManager does not say.
        frequency: in MHz, 0 where NetworkManager does not say.
        security: a word as in `AccessPoint`.
    """

    path: str
    raw_ssid: bytes
    rssi: int
    bssid: str
    frequency: int
    security: str

    @property
    def ssid(self) -> str:
        """The network's name as text."""
        return decode_ssid(self.raw_ssid)[0]

    @property
    def is_hidden(self) -> bool:
        """It does not say its network's name, or only how long that is."""
        return not self.raw_ssid.strip(b"\0") or len(self.raw_ssid) > MAX_SSID_BYTES

    def shown(self) -> AccessPoint:
        """As an entry of a scan."""
        ssid, ssid_hex = decode_ssid(self.raw_ssid)
        return AccessPoint(
            ssid=ssid,
            rssi=self.rssi,
            bssid=self.bssid or UNSET,
            channel=channel_of(self.frequency) or UNSET,
            security=self.security,
            ssid_hex=ssid_hex,
        )


def point_at(mirror: Mirror, path: str) -> Point | None:
    """The access point at that path, if it is there.

    Args:
        mirror: of NetworkManager's objects.
        path: of the access point.
    """
    if not mirror.has(path, ACCESS_POINT):
        return None
    flags, wpa, rsn, strength, frequency = (
        mirror.number(path, ACCESS_POINT, name)
        for name in ("Flags", "WpaFlags", "RsnFlags", "Strength", "Frequency")
    )
    return Point(
        path=path,
        raw_ssid=mirror.raw(path, ACCESS_POINT, "Ssid"),
        rssi=_dbm(strength),
        bssid=mirror.text(path, ACCESS_POINT, "HwAddress").lower(),
        frequency=frequency,
        security=security_of(flags, wpa, rsn),
    )


def points_of(mirror: Mirror, device: str) -> Iterator[Point]:
    """The access points that an adapter sees and that say their names, each address once.

    Args:
        mirror: of NetworkManager's objects.
        device: the adapter's path.
    """
    points: dict[str, Point] = {}
    for path in mirror.texts(device, WIRELESS, "AccessPoints"):
        point = point_at(mirror, path)
        if point is not None and not point.is_hidden:
            key = point.bssid or path
            if key not in points or points[key].rssi < point.rssi:
                points[key] = point
    return iter(points.values())


def nameless(mirror: Mirror, device: str) -> set[str]:
    """The addresses of the access points that an adapter sees and that hide their names.

    One that has been asked by its name is there a second time, with the name.

    Args:
        mirror: of NetworkManager's objects.
        device: the adapter's path.
    """
    points = (point_at(mirror, path) for path in mirror.texts(device, WIRELESS, "AccessPoints"))
    return {point.bssid for point in points if point is not None and point.is_hidden}


def security_of(flags: int, wpa: int, rsn: int) -> str:
    """How an access point is protected, in one word.

    Args:
        flags: NM80211ApFlags.
        wpa: NM80211ApSecurityFlags of WPA.
        rsn: those of WPA2 and WPA3.
    """
    if rsn & _SAE:
        return MIXED if rsn & _PSK else "wpa3"
    if (wpa | rsn) & _PSK:
        return "wpa2" if rsn & _PSK else "wpa"
    if (wpa | rsn) & _ENTERPRISE:
        return "enterprise"
    if rsn & _OWE:
        return "owe"
    return "wep" if flags & _PRIVACY else "open"


def channel_of(frequency: int) -> int:
    """The number of a channel, 0 for a frequency that is none.

    Source: IEEE 802.11-2020, annex E; for 6 GHz, 802.11ax.

    Args:
        frequency: of its middle, in MHz.
    """
    if frequency == 2484:
        return 14
    for first, last, base in ((2412, 2472, 2407), (5150, 5895, 5000), (5955, 7115, 5950)):
        if first <= frequency <= last:
            return (frequency - base) // 5
    return 0


def _dbm(percent: int) -> int:
    """A strength as the radio gave it, before NetworkManager made it a percentage."""
    span = _STRONGEST_DBM - _WEAKEST_DBM
    return _WEAKEST_DBM + round(min(max(percent, 0), 100) * span / 100)
