"""What BlueZ is called on the system's D-Bus, what is heard of it, and what to do where it fails.

Source: BlueZ, doc/org.bluez.*.rst; for errors, BlueZ's `src/error.c`.
"""

from ...dbus import OBJECT_MANAGER, BusError

BLUEZ = "org.bluez"
ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
GATT_MANAGER = "org.bluez.GattManager1"
ADVERTISING_MANAGER = "org.bluez.LEAdvertisingManager1"

SIGNALS = (
    f"member='PropertiesChanged',arg0='{DEVICE}'",
    f"member='PropertiesChanged',arg0='{ADAPTER}'",
    f"interface='{OBJECT_MANAGER}'",
)
"""What is heard of bluetoothd, its adapters and devices."""


def advice(error: BusError) -> str:
    """What is wrong with bluetoothd, and what to do."""
    if error.is_denied:
        return (
            f"no permission to use bluetoothd: {error}; run as root, or as a user whom "
            "/etc/dbus-1/system.d/bluetooth.conf allows it, often the group bluetooth"
        )
    if error.is_absence:
        return (
            f"bluetoothd does not answer: {error}; install BlueZ (the package bluez) and start "
            "it: systemctl start bluetooth"
        )
    return f"bluetoothd refuses: {error}"
