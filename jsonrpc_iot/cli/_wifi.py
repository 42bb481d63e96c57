"""`--wifi RADIO`: what drives the radio of the wifi service."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from .command.declare import Given, Offer

if TYPE_CHECKING:
    from jsonrpc_iot.services.wifi import Wifi

_RADIOS = {
    "simulated": "No hardware.",
    "networkmanager": "NetworkManager over D-Bus; ?adapter=wlan1 takes another adapter.",
}
_IWD = (
    "iwd is not supported, since it does not say whether there is an address; NetworkManager can "
    "use it (wifi.backend=iwd in its settings): give networkmanager"
)


class Radio(NamedTuple):
    """A radio.

    Args:
        wifi: the service.
        block: has to be entered while it is served.
    """

    wifi: "Wifi"
    block: AbstractAsyncContextManager[object]


def check_radio(value: str) -> str | None:
    """Why there is no such radio."""
    name, _, query = value.partition("?")
    if name == "iwd":
        return _IWD
    if name not in _RADIOS:
        return f"one of: {', '.join(_RADIOS)}"
    options = parse_qsl(query, keep_blank_values=True)
    if name == "networkmanager" and [key for key, text in options if text] == ["adapter"]:
        return None
    return f"{name} has no options {query!r}" if query else None


def complete_radio(beginning: str, given: Given) -> Iterator[Offer]:
    """The radios there are."""
    return (Offer(name, text) for name, text in _RADIOS.items())


def make_radio(value: str, seed: int = 0) -> Radio:
    """The radio of that name.

    Args:
        value: one that has passed `check_radio`.
        seed: of the simulated one.

    Raises:
        MissingExtra: what it needs is not installed.
    """
    if value == "simulated":
        from jsonrpc_iot.services.wifi import SimulatedWifi

        return Radio(SimulatedWifi(seed), nullcontext())
    from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi

    options = dict(parse_qsl(value.partition("?")[2]))
    wifi = NetworkManagerWifi(options.get("adapter", ""))
    return Radio(wifi, wifi)
