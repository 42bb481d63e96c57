"""`Improv` over Bluetooth LE: what its characteristics hold, whichever Bluetooth carries them.

Source: "Improv via BLE", https://www.improv-wifi.com/ble.
"""

import logging
import math
from collections.abc import Callable, Hashable, Iterable, Sequence

import anyio
from anyio.abc import TaskGroup

from jsonrpc_iot import MalformedFrame
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
)

from ..wifi import AccessPoint
from .device import Improv
from .errors import ImprovError

logger = logging.getLogger("jsonrpc_iot.wifi")

AUTHORIZED_SECONDS = 60.0
"""How long a press of a button counts, as the standard suggests."""

_MOST_CALLS = 8  # that run at once, of all centrals
_MOST_CENTRALS = 32  # with an unfinished command
_SILENCE_SECONDS = 5.0  # after which the rest of a command does not come
_ROOM = 255
_LONGEST_FIELD = _ROOM // 4 - 1
_AUTHENTICATION = {"open": "NO", "owe": "NO", "wep": "WEP", "wpa": "WPA"}

Publish = Callable[[str, bytes, Hashable | None], object]
"""Gets a characteristic's UUID, its new value, and whom to notify: a central, or all (`None`)."""


class Characteristics:
    """Improv's characteristics. Who serves them calls `start`, and then `read`, `write` and `left`.

    Whoever is near may connect. So a device with a button wants it pressed first, and one that is
    on a network takes another only after `authorize`, with a button or not.

    Args:
        improv: the device; its block has been entered.
        publish: has centrals notified; it must not wait.
        identify: shows people which device it is, such as by its light; `None` if it cannot.
        wants_button: whether `authorize` has to be called before a network is taken.
        authorized_seconds: how long that counts.
    """

    def __init__(
        self,
        improv: Improv,
        publish: Publish,
        *,
        identify: Callable[[], object] | None = None,
        wants_button: bool = False,
        authorized_seconds: float = AUTHORIZED_SECONDS,
    ) -> None:
        self._improv = improv
        self._publish = publish
        self._identify = identify
        self._wants_button = wants_button
        self._seconds = authorized_seconds
        self._authorized_until = -math.inf
        self._revoking: anyio.CancelScope | None = None
        self._assemblers: dict[Hashable, tuple[CallAssembler, float]] = {}
        self._calls = 0
        self._told = self.state
        self._error = ErrorState.NONE
        self._result = b""
        self._tasks: TaskGroup | None = None

    def start(self, tasks: TaskGroup) -> Callable[[], None]:
        """Begin to take commands.

        Args:
            tasks: run them.

        Returns:
            What ends that.
        """
        self._tasks = tasks
        return self._improv.watch(lambda _: self._tell_state())

    @property
    def state(self) -> State:
        """How far the device is, for those who come over Bluetooth."""
        state = self._improv.state
        if state is State.AUTHORIZED and not self._is_authorized:
            return State.AUTHORIZATION_REQUIRED
        return state

    @property
    def capabilities(self) -> Capabilities:
        """The commands that it knows."""
        can = Capabilities.DEVICE_INFO | Capabilities.SCAN
        return can if self._identify is None else can | Capabilities.IDENTIFY

    @property
    def service_data(self) -> bytes:
        """What is advertised beside the service; it changes with the state."""
        return ble.service_data(self.state, self.capabilities)

    def authorize(self) -> None:
        """Somebody has pressed the button: a network is taken for a while."""
        assert self._tasks is not None
        if self._revoking is not None:
            self._revoking.cancel()
        self._authorized_until = anyio.current_time() + self._seconds
        self._revoking = anyio.CancelScope()
        self._tasks.start_soon(self._revoke, self._revoking)
        self._tell_state()

    def read(self, uuid: str) -> bytes:
        """The value of a characteristic; nothing of one that is only written."""
        match uuid:
            case ble.STATE:
                return bytes((self.state,))
            case ble.ERROR:
                return bytes((self._error,))
            case ble.RESULT:
                return self._result
            case ble.CAPABILITIES:
                return bytes((self.capabilities,))
        return b""

    def write(self, central: Hashable, data: bytes) -> None:
        """Take what a central wrote to the characteristic of commands; returns at once.

        Args:
            central: stands for it.
            data: a command or a piece of one.
        """
        assert self._tasks is not None
        now = anyio.current_time()
        assembler, heard = self._assemblers.pop(central, (CallAssembler(), now))
        if now >= heard + _SILENCE_SECONDS:
            assembler.reset()
        try:
            call = assembler.feed(data)
        except MalformedFrame as error:
            logger.info("Improv: %s", error)
            self._tell_error(ErrorState.INVALID_PACKET, central)
            return
        if call is None:
            self._assemblers[central] = assembler, now
            if len(self._assemblers) > _MOST_CENTRALS:
                del self._assemblers[next(iter(self._assemblers))]
        elif self._calls >= _MOST_CALLS:
            self._tell_error(ErrorState.UNKNOWN, central)
        else:
            self._calls += 1
            self._tasks.start_soon(self._answer, call, central)

    def left(self, central: Hashable) -> None:
        """A central is gone; what it has asked for goes on."""
        self._assemblers.pop(central, None)

    @property
    def _is_authorized(self) -> bool:
        return not self._wants_button or self._revoking is not None

    async def _revoke(self, scope: anyio.CancelScope) -> None:
        with scope:
            await anyio.sleep_until(self._authorized_until)
            self._revoking = None
            self._tell_state()

    async def _answer(self, call: Call, central: Hashable) -> None:
        try:
            self._tell_error(ErrorState.NONE, central)
            strings = await self._run(call)
        except MalformedFrame:
            self._tell_error(ErrorState.INVALID_PACKET, central)
        except ImprovError as error:
            self._tell_error(ErrorState(error.code), central)
        else:
            if strings is not None:
                self._result = encode_call(Call(call.command, _fitting(strings)))
                self._publish(ble.RESULT, self._result, central)
        finally:
            self._calls -= 1

    async def _run(self, call: Call) -> Sequence[str] | None:
        """The strings of a result, or `None` where there is none."""
        match call.command:
            case Command.WIFI_SETTINGS:
                return await self._join(WifiSettings.decode(call.data))
            case Command.IDENTIFY if self._identify is not None:
                self._identify()
                return None
            case Command.DEVICE_INFO:
                info = self._improv.info
                fields = (info.firmware, info.version, info.hardware, info.name)
                return [clip(each, _LONGEST_FIELD) for each in fields]
            case Command.SCAN:
                found = map(_described, await self._improv.networks())
                return [text for each in _whole(found) for text in each]
        raise ImprovError(ErrorState.UNKNOWN_COMMAND)

    async def _join(self, settings: WifiSettings) -> list[str]:
        may_repeat = self._improv.state is State.PROVISIONING
        is_first = not self._wants_button and self._improv.state is State.AUTHORIZED
        if self._revoking is None and not is_first and not may_repeat:
            raise ImprovError(ErrorState.NOT_AUTHORIZED)
        try:
            return await self._improv.join(settings)
        except ImprovError:
            if self._revoking is not None:
                self.authorize()  # the time starts over, for another try
            raise

    def _tell_state(self) -> None:
        if self.state is not self._told:
            self._told = self.state
            self._publish(ble.STATE, bytes((self._told,)), None)

    def _tell_error(self, error: ErrorState, central: Hashable) -> None:
        if error is not ErrorState.NONE or self._error is not ErrorState.NONE:
            self._error = error
            self._publish(ble.ERROR, bytes((error,)), central)


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
