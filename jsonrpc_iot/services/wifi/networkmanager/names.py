"""What NetworkManager calls things on D-Bus.

Source: NetworkManager's D-Bus reference, "D-Bus API" and "Types"; version 1.16 or newer.
"""

SERVICE = "org.freedesktop.NetworkManager"
ROOT = "/org/freedesktop"
"""Of its object manager."""
MANAGER_PATH = f"{ROOT}/NetworkManager"

MANAGER = SERVICE
DEVICE = f"{SERVICE}.Device"
WIRELESS = f"{SERVICE}.Device.Wireless"
ACCESS_POINT = f"{SERVICE}.AccessPoint"
ACTIVE = f"{SERVICE}.Connection.Active"
PROFILE = f"{SERVICE}.Settings.Connection"
KEPT = frozenset({MANAGER, DEVICE, WIRELESS, ACCESS_POINT, ACTIVE, PROFILE})
"""The interfaces of interest."""

# NMDeviceState
UNMANAGED = 10
UNAVAILABLE = 20
DISCONNECTED = 30
PREPARE = 40
NEED_AUTH = 60
IP_CONFIG = 70
ACTIVATED = 100
DEACTIVATING = 110
FAILED = 120

# NMDeviceStateReason
NO_SECRETS = 7
SUPPLICANT_DISCONNECT = 8
SUPPLICANT_CONFIG_FAILED = 9
SUPPLICANT_FAILED = 10
SUPPLICANT_TIMEOUT = 11
REMOVED = 36
SSID_NOT_FOUND = 53
NEW_ACTIVATION = 60
NO_ADDRESS = frozenset({4, 5, 6, 15, 16, 17, 29, 30, 31})
"""How an address can fail to come: by DHCP, by itself, by what is configured."""

# NMActiveConnectionState, and its reasons
ACTIVE_NOW = 2
ACTIVE_NO_MORE = 4
GONE_NO_SECRETS = 9
GONE_LOGIN_FAILED = 10
GONE_DEVICE = 14

# NMSettingsUpdate2Flags
TO_DISK = 0x1
IN_MEMORY = 0x2
