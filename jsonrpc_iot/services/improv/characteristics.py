"""`Improv` over Bluetooth LE: what its characteristics hold, whichever Bluetooth carries them.

Source: "Improv via BLE", https://www.improv-wifi.com/ble.
"""

import logging
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import anyio
from anyio.abc import TaskGroup

from jsonrpc_iot import MalformedFrame, Trace
from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.ble import CallAssembler, encode_call
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Capabilities,
    Command,
    ErrorState,
    State,
    WifiSettings,
    clip,
    encode_strings,
    without_key,
)
from jsonrpc_iot.transports.gatt.served import Flag, ServedService

from ..wifi import AccessPoint
from .device import Improv
from .errors import ImprovError

logger = logging.getLogger("jsonrpc_iot.wifi")

_MOST_CALLS = 8  # that run at once, of all centrals
_SILENCE_SECONDS = 5.0  # after which the rest of a command does not come
_ROOM = 255
_LONGEST_FIELD = _ROOM // 4 - 1
_AUTHENTICATION = {
    "open": "NO",
    "owe": "NO",
    "wep": "WEP",
    "wpa": "WPA",
    "wpa2/wpa3": "WPA2/WPA3",
    "wpa3": "WPA3",
    "enterprise": "WPA2 EAP",
}

Publish = Callable[[str, bytes, Hashable | None], object]
"""Gets a characteristic's UUID, its new value, and whom to notify: a central, or all (`None`)."""


class Characteristics(ServedService):
    """Improv's characteristics; what is read and written there.

    Whoever is near may connect. So a device with a button wants it pressed first, and one that is
    on a network takes another only after `Improv.authorize`, with a button or not. What it was told
    already may be said again, by who has missed the answer.

    What a central is told it may also read. Each sees its own errors and results.

    Args:
        improv: the device; its block has been entered.
        publish: has centrals notified; it must not wait.
        advertise: has `advertised` advertised anew; it must not wait.
        trace: is shown whole commands and what is notified, without keys.
    """

    uuid = ble.SERVICE
    characteristics: Mapping[str, Sequence[Flag]] = {
        ble.STATE: ("read", "notify"),
        ble.ERROR: ("read", "notify"),
        ble.CALL: ("write", "write-without-response"),
        ble.RESULT: ("read", "notify"),
        ble.CAPABILITIES: ("read",),
    }

    def __init__(
        self,
        improv: Improv,
        publish: Publish,
        advertise: Callable[[], object] = bool,
        trace: Trace | None = None,
    ) -> None:
        self._improv = improv
        self._publish = publish
        self._advertise = advertise
        self._trace = trace
        self._centrals: dict[Hashable, _Central] = {}
        self._calls = 0
        self._told = self.state
        self._tasks: TaskGroup | None = None

    def start(self, tasks: TaskGroup) -> Callable[[], None]:
        """See `ServedService.start`."""
        self._tasks = tasks
        with ExitStack() as stack:
            stack.callback(self._improv.watch(lambda _: self._tell_state()))
            stack.callback(self._improv.authorization.watch(self._tell_state))
            return stack.pop_all().close

    @property
    def state(self) -> State:
        """How far the device is, for those who come over Bluetooth."""
        state = self._improv.state
        if state is State.AUTHORIZED and self._improv.wants_button and not self._is_authorized:
            return State.AUTHORIZATION_REQUIRED
        return state

    @property
    def capabilities(self) -> Capabilities:
        """The commands that it knows."""
        can = Capabilities.DEVICE_INFO | Capabilities.SCAN
        if self._improv.can_identify:
            can |= Capabilities.IDENTIFY
        if self._improv.names is not None:
            can |= Capabilities.HOSTNAME
        return can

    @property
    def advertised(self) -> tuple[str, bytes]:
        """See `ServedService.advertised`."""
        return ble.SERVICE_DATA, ble.service_data(self.state, self.capabilities)

    def read(self, uuid: str, central: Hashable) -> bytes:
        """See `ServedService.read`."""
        known = self._centrals.get(central, _Central())
        match uuid:
            case ble.STATE:
                return bytes((self.state,))
            case ble.ERROR:
                return bytes((known.error,))
            case ble.RESULT:
                return known.result
            case ble.CAPABILITIES:
                return bytes((self.capabilities,))
        return b""

    def write(self, uuid: str, central: Hashable, value: bytes) -> None:
        """Take a command or a piece of one; see `ServedService.write`."""
        assert self._tasks is not None
        now = anyio.current_time()
        known = self._centrals.setdefault(central, _Central())
        if now >= known.heard + _SILENCE_SECONDS:
            known.assembler.reset()
        known.heard = now
        try:
            call = known.assembler.feed(value)
        except MalformedFrame as error:
            logger.info("Improv: %s", error)
            self._tell_error(ErrorState.INVALID_PACKET, central)
            return
        if call is None:
            return
        if self._trace is not None:
            self._trace("<=", encode_call(without_key(call)))
        if self._calls >= _MOST_CALLS:
            self._tell_error(ErrorState.UNKNOWN, central)
            return
        self._calls += 1
        self._tasks.start_soon(self._answer, call, central)

    def left(self, central: Hashable) -> None:
        """See `ServedService.left`; what it has asked for goes on."""
        self._centrals.pop(central, None)

    @property
    def _is_authorized(self) -> bool:
        return self._improv.authorization.is_given

    async def _answer(self, call: Call, central: Hashable) -> None:
        try:
            self._tell_error(ErrorState.NONE, central)
            strings = await self._run(call)
        except MalformedFrame:
            self._tell_error(ErrorState.INVALID_PACKET, central)
        except ImprovError as error:
            self._tell_error(ErrorState(error.code), central)
        else:
            if strings is not None and central in self._centrals:
                result = encode_call(Call(call.command, _fitting(strings)))
                self._centrals[central].result = result
                self._notify(ble.RESULT, result, central)
        finally:
            self._calls -= 1

    async def _run(self, call: Call) -> Sequence[str] | None:
        """The strings of a result, or `None` where there is none."""
        match call.command:
            case Command.WIFI_SETTINGS:
                return await self._join(WifiSettings.decode(call.data))
            case Command.IDENTIFY:
                self._improv.identify()
                return None
            case Command.DEVICE_INFO:
                info = self._improv.info
                fields = (info.firmware, info.version, info.hardware, info.name)
                return [clip(each, _LONGEST_FIELD) for each in fields]
            case Command.SCAN:
                found = map(_described, await self._improv.networks())
                return [text for each in _whole(found) for text in each]
            case Command.HOSTNAME | Command.DEVICE_NAME if self._improv.names is not None:
                if call.data:
                    self._check_authorized()
                return [await self._improv.names.answer(call)]
        raise ImprovError(ErrorState.UNKNOWN_COMMAND)

    async def _join(self, settings: WifiSettings) -> list[str]:
        may_repeat = self._improv.state is State.PROVISIONING or self._improv.is_on(settings)
        if not may_repeat:
            self._check_authorized()
        try:
            return await self._improv.join(settings)
        except ImprovError:
            self._improv.prolong()
            raise

    def _check_authorized(self) -> None:
        is_first = not self._improv.wants_button and self._improv.state is State.AUTHORIZED
        if not self._is_authorized and not is_first:
            raise ImprovError(ErrorState.NOT_AUTHORIZED)

    def _tell_state(self) -> None:
        if self.state is not self._told:
            self._told = self.state
            self._notify(ble.STATE, bytes((self._told,)), None)
            self._advertise()

    def _tell_error(self, error: ErrorState, central: Hashable) -> None:
        known = self._centrals.get(central)
        if known is not None and (error is not ErrorState.NONE or known.error is not error):
            known.error = error
            self._notify(ble.ERROR, bytes((error,)), central)

    def _notify(self, uuid: str, value: bytes, central: Hashable | None) -> None:
        if self._trace is not None:
            self._trace("=>", value)
        self._publish(uuid, value, central)


class _Central:
    """What one of them was told, and has begun to say."""

    def __init__(self) -> None:
        self.assembler = CallAssembler()
        self.heard = -math.inf  # when it has written last
        self.error = ErrorState.NONE
        self.result = b""


def _described(point: AccessPoint) -> tuple[str, str, str]:
    return point.ssid, str(point.rssi), _AUTHENTICATION.get(str(point.security), "WPA2")


def _whole(found: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """As many networks as one result holds."""
    whole: list[tuple[str, str, str]] = []
    room = _ROOM
    for each in found:
        room -= len(encode_strings(each))
        if room < 0:
            break
        whole.append(each)
    return whole


def _fitting(strings: Sequence[str]) -> bytes:
    """As many of the strings as fit, in order."""
    fitting = b""
    for string in strings:
        more = fitting + encode_strings([clip(string, _ROOM)])
        if len(more) > _ROOM:
            break
        fitting = more
    return fitting
