"""Wi-Fi on Linux: the `wifi` service on NetworkManager, over D-Bus.

`backend` has the hooks of `Wifi`; `joining` is one attempt to join a network, and `course` what the
signals say of it; `manager` follows NetworkManager, and `mirror` has its objects, which `adapters`,
`points` and `profiles` read.

`iwd` has no backend: it asks for keys through an agent, and does not say whether there is an
address, which is what tells the states 2 and 3 apart. NetworkManager can use it in place of
wpa_supplicant.
"""

from jsonrpc_iot.transports.requirements import require_extra

require_extra("wifi", "NetworkManager is spoken to with dbus-fast", "wifi", "dbus_fast")

from .backend import NetworkManagerWifi  # noqa: E402  # says what is missing first

__all__ = ["NetworkManagerWifi"]
