"""Which adapter is driven, and what to do where it cannot be."""

from ..interface import NoWifiHardware
from .manager import Manager
from .mirror import Mirror
from .names import DEVICE, MANAGER, MANAGER_PATH, UNAVAILABLE, UNMANAGED, WIRELESS


def find_adapter(mirror: Mirror, name: str) -> str:
    """The path of an adapter, `""` where there is none.

    Args:
        mirror: of NetworkManager's objects.
        name: of its interface; `""` for the first by name.
    """
    adapters = _adapters(mirror)
    return adapters.get(name or min(adapters, default=""), "")


def need_adapter(manager: Manager, name: str) -> str:
    """The path of an adapter that can be used.

    Args:
        manager: knows them.
        name: as above.

    Raises:
        NoWifiHardware: it cannot be used; the text says why, and what to do.
    """
    manager.need()
    mirror = manager.mirror
    path = find_adapter(mirror, name)
    if problem := _problem(mirror, name, path):
        raise NoWifiHardware(problem)
    return path


def _adapters(mirror: Mirror) -> dict[str, str]:
    """The paths of all adapters by the names of their interfaces."""
    return {mirror.text(path, DEVICE, "Interface"): path for path in mirror.paths(WIRELESS)}


def _problem(mirror: Mirror, name: str, path: str) -> str:
    """Why an adapter cannot be used, `""` where it can."""
    if not path:
        if not (adapters := sorted(_adapters(mirror))):
            return "NetworkManager has no Wi-Fi adapter; nmcli device shows what it has"
        return f"there is no Wi-Fi adapter {name}; there are: {', '.join(adapters)}"
    name = mirror.text(path, DEVICE, "Interface")
    if not mirror.number(MANAGER_PATH, MANAGER, "WirelessHardwareEnabled"):
        return "Wi-Fi is switched off by a switch of the machine; rfkill list shows it"
    if not mirror.number(MANAGER_PATH, MANAGER, "WirelessEnabled"):
        return "Wi-Fi is switched off; switch it on: nmcli radio wifi on"
    if not mirror.number(MANAGER_PATH, MANAGER, "NetworkingEnabled"):
        return "networking is switched off; switch it on: nmcli networking on"
    state = mirror.number(path, DEVICE, "State")
    if state <= UNMANAGED:
        return f"NetworkManager leaves {name} alone; have it: nmcli device set {name} managed yes"
    if state <= UNAVAILABLE:
        return (
            f"{name} is not ready; has wpa_supplicant (the package wpasupplicant) been installed, "
            "and the adapter's firmware?"
        )
    return ""
