"""Profiles: what NetworkManager remembers of a network, and how a new one is written.

Source: NetworkManager's D-Bus reference, "Settings.Connection", and nm-settings-dbus(5).
"""

from collections.abc import Mapping

import msgspec
from dbus_fast import Variant

from jsonrpc_iot import Forbidden

from .manager import Manager, Refused
from .mirror import Mirror
from .names import ACTIVE, PROFILE
from .points import MIXED, Point

Settings = Mapping[str, Mapping[str, Variant]]

_WIRELESS = "802-11-wireless"
_SECURITY = "802-11-wireless-security"
_SETTINGS = "a{sa{sv}}"
# What one profile is called, and has seen, is not another one's.
_OF_ITS_OWN = {"uuid", "timestamp", "seen-bssids", "bssid", "read-only"}
_KEY_MANAGEMENT = {"wpa": "wpa-psk", "wpa2": "wpa-psk", MIXED: "wpa-psk", "wpa3": "sae"}


class Profile(msgspec.Struct, frozen=True):
    """One that is known.

    Args:
        path: of its object.
        settings: all but its secrets.
    """

    path: str
    settings: Settings


async def known_profiles(manager: Manager, raw_ssid: bytes, adapter: str) -> list[Profile]:
    """The profiles of a network that an adapter may use, the last used first.

    Args:
        manager: is asked.
        raw_ssid: the network's name.
        adapter: the name of the adapter's interface.

    Raises:
        NoWifiHardware: NetworkManager is gone.
    """
    found = []
    for path in list(manager.mirror.paths(PROFILE)):
        try:
            body = await manager.call(path, PROFILE, "GetSettings", gives=_SETTINGS)
        except (Refused, Forbidden):  # gone meanwhile, or somebody else's alone
            continue
        settings: Settings = body[0]
        bound_to = _value(settings, "connection", "interface-name")
        if _value(settings, _WIRELESS, "ssid") == raw_ssid and bound_to in {None, "", adapter}:
            found.append(Profile(path, settings))
    return sorted(found, key=_last_used, reverse=True)


def _last_used(profile: Profile) -> int:
    seconds = _value(profile.settings, "connection", "timestamp")
    return seconds if isinstance(seconds, int) else 0


def is_used_elsewhere(mirror: Mirror, profile: Profile, device: str) -> bool:
    """Whether a profile is what another adapter is connected by.

    Args:
        mirror: of NetworkManager's objects.
        profile: the profile.
        device: this adapter's path.
    """
    return any(
        mirror.text(active, ACTIVE, "Connection") == profile.path
        and mirror.texts(active, ACTIVE, "Devices") not in ([], [device])
        for active in mirror.paths(ACTIVE)
    )


async def has_key(manager: Manager, profile: Profile, psk: str) -> bool:
    """Whether a profile has that key; not where NetworkManager does not tell.

    Args:
        manager: is asked.
        profile: the profile.
        psk: the key, `""` for an open network.
    """
    if _SECURITY not in profile.settings:
        return psk == ""
    try:
        body = await manager.call(
            profile.path, PROFILE, "GetSecrets", "s", _SECURITY, gives=_SETTINGS
        )
    except (Refused, Forbidden):
        return False
    return psk != "" and _value(body[0], _SECURITY, "psk") == psk


def new_settings(
    point: Point, psk: str, *, is_hidden: bool, adapter: str, like: Settings | None
) -> dict[str, dict[str, Variant]]:
    """The settings of a new profile.

    Args:
        point: an access point of the network.
        psk: its key, `""` for none.
        is_hidden: whether the network is found only by asking for it; as in `like` otherwise.
        adapter: the name of the only interface that may use it, `""` for any.
        like: those of a profile that it replaces; addresses and the like stay as they are there.
    """
    kept = {
        section: {name: value for name, value in values.items() if name not in _OF_ITS_OWN}
        for section, values in (like or {}).items()
        if section not in {_SECURITY, "802-1x"}
    }
    connection = kept.setdefault("connection", {})
    connection.setdefault("id", Variant("s", point.ssid.replace("\0", "\N{REPLACEMENT CHARACTER}")))
    connection["type"] = Variant("s", _WIRELESS)
    if adapter:
        connection["interface-name"] = Variant("s", adapter)
    wireless = kept.setdefault(_WIRELESS, {})
    wireless.pop("security", None)  # a name for the section, of old
    wireless |= {
        "ssid": Variant("ay", point.raw_ssid),
        "mode": Variant("s", "infrastructure"),
        "hidden": Variant("b", is_hidden or _value(kept, _WIRELESS, "hidden") is True),
    }
    if psk:
        kind = _KEY_MANAGEMENT[point.security]
        kept[_SECURITY] = {"key-mgmt": Variant("s", kind), "psk": Variant("s", psk)}
    elif point.security == "owe":
        kept[_SECURITY] = {"key-mgmt": Variant("s", "owe")}
    return kept


def _value(settings: Settings, section: str, name: str) -> object:
    value = settings.get(section, {}).get(name)
    return value.value if isinstance(value, Variant) else None
