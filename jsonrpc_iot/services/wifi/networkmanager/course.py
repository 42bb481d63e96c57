"""What becomes of an attempt to join a network, as the signals tell, and whose fault it is.

Source: NetworkManager's D-Bus reference, "NMDeviceState", "NMDeviceStateReason",
"NMActiveConnectionState" and "NMActiveConnectionStateReason".
"""

from collections.abc import Sequence
from typing import Any

from jsonrpc_iot import RpcError

from ..interface import NetworkNotFound, NoWifiHardware, WifiBusy, WifiError, WrongKey
from .mirror import Mirror
from .names import (
    ACTIVATED,
    ACTIVE,
    ACTIVE_NO_MORE,
    ACTIVE_NOW,
    DEACTIVATING,
    DEVICE,
    FAILED,
    GONE_DEVICE,
    GONE_LOGIN_FAILED,
    GONE_NO_SECRETS,
    IP_CONFIG,
    NEED_AUTH,
    NEW_ACTIVATION,
    NO_ADDRESS,
    NO_SECRETS,
    PREPARE,
    REMOVED,
    SSID_NOT_FOUND,
    SUPPLICANT_CONFIG_FAILED,
    SUPPLICANT_DISCONNECT,
    SUPPLICANT_FAILED,
    SUPPLICANT_TIMEOUT,
)

_UNANSWERED = {SUPPLICANT_DISCONNECT, SUPPLICANT_FAILED, SUPPLICANT_TIMEOUT}
_ENDED = -1  # a reason of our own: the connection's object is gone


class Course:
    """How far an attempt is.

    Args:
        mirror: of NetworkManager's objects.
        device: the adapter's path.
        ssid: the network's name, for texts.
        has_key: whether a key is tried.

    Attributes:
        is_accepted: the network has let the adapter in; what is left is an address.
        is_joined: there is an address.
        failure: why it has failed, once it has.
    """

    def __init__(self, mirror: Mirror, device: str, ssid: str, *, has_key: bool) -> None:
        self.is_accepted = False
        self.is_joined = False
        self.failure: RpcError | None = None
        self._mirror = mirror
        self._device = device
        self._ssid = ssid
        self._has_key = has_key
        self._active = ""
        self._has_begun = False
        self._has_looked_for_key = False
        self._ended: dict[str, int] = {}  # before it was known which connection is ours

    def begin(self, active: str) -> None:
        """Tell which active connection is the attempt's.

        Args:
            active: its path.
        """
        self._active = active
        if active in self._ended:
            self._end(self._ended[active])

    def hear(self, path: str, member: str, body: Sequence[Any]) -> None:
        """Take a signal into account."""
        match member, body:
            case "StateChanged", [int(state), int(), int(reason)] if path == self._device:
                self._enter(state, reason)
            case "StateChanged", [int(state), int(reason)]:
                if state == ACTIVE_NO_MORE:
                    self._note_end(path, reason)
                elif state == ACTIVE_NOW and path == self._active:
                    self.is_accepted = self.is_joined = True
            case "InterfacesRemoved", [str(removed), list(interfaces)]:
                if ACTIVE in interfaces:
                    self._note_end(removed, _ENDED)
                elif removed == self._device:
                    self._fail(NoWifiHardware("the Wi-Fi adapter is gone"))
            case "NameOwnerChanged", _:
                self._fail(NoWifiHardware("NetworkManager has ended meanwhile"))

    def _enter(self, state: int, reason: int) -> None:
        """The adapter has entered a state."""
        if state == PREPARE:
            self._has_begun = True
        if not self._has_begun or self._is_another():  # it still leaves that, or joins it already
            return
        if state == NEED_AUTH:
            # Once it looks for the key, which it has been given; then it wants another one.
            if reason or self._has_looked_for_key:
                self._fail(WrongKey(f"{self._ssid!r} does not accept the key"))
            self._has_looked_for_key = True
        elif IP_CONFIG <= state <= ACTIVATED:
            self.is_accepted = True
            self.is_joined = state == ACTIVATED
        elif state == FAILED:
            self._fail(self._failed(reason))
        elif state == DEACTIVATING and reason == NEW_ACTIVATION:
            self._fail(WifiBusy("another program has had NetworkManager join another network"))

    def _is_another(self) -> bool:
        """Whether the adapter is known to be about another connection."""
        active = self._mirror.text(self._device, DEVICE, "ActiveConnection")
        return bool(self._active) and self._mirror.has(active, ACTIVE) and active != self._active

    def _failed(self, reason: int) -> RpcError:
        """The error of a device that has failed."""
        if reason == SSID_NOT_FOUND:
            return NetworkNotFound(f"{self._ssid!r} does not answer")
        if reason in NO_ADDRESS:
            return WifiError(f"{self._ssid!r} has given no address")
        if reason == REMOVED:
            return NoWifiHardware("the Wi-Fi adapter is gone")
        if reason == SUPPLICANT_CONFIG_FAILED:
            return WifiError(f"wpa_supplicant or the adapter cannot join {self._ssid!r} as it is")
        if reason == NO_SECRETS or (reason in _UNANSWERED and self._has_key):
            return WrongKey(f"{self._ssid!r} does not accept the key")
        if reason in _UNANSWERED:
            return NetworkNotFound(f"{self._ssid!r} does not let the adapter in")
        return WifiError(f"NetworkManager has failed to join {self._ssid!r}: reason {reason}")

    def _note_end(self, active: str, reason: int) -> None:
        """An active connection is no more."""
        if active == self._active:
            self._end(reason)
        else:
            self._ended.setdefault(active, reason)

    def _end(self, reason: int) -> None:
        if reason in {GONE_NO_SECRETS, GONE_LOGIN_FAILED}:
            self._fail(WrongKey(f"{self._ssid!r} does not accept the key"))
        elif reason == GONE_DEVICE:
            self._fail(NoWifiHardware("the Wi-Fi adapter is gone"))
        else:
            self._fail(WifiError(f"NetworkManager has ended the attempt to join {self._ssid!r}"))

    def _fail(self, failure: RpcError) -> None:
        # The first to tell knows best: what follows are consequences.
        if self.failure is None:
            self.failure = failure
