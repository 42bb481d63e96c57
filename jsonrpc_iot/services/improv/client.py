"""The end that tells a device of a network: any Improv device, on any link."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import anyio
import msgspec

from jsonrpc_iot import (
    CallTimeout,
    MalformedFrame,
    MalformedResponse,
    Trace,
    Url,
    UsageError,
)
from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Command,
    DeviceInfo,
    ErrorState,
    State,
    WifiSettings,
    decode_strings,
)
from jsonrpc_iot.protocol.improv.serial import Packet, PacketType
from jsonrpc_iot.transports.gatt.attributes import open_attributes

from .errors import ImprovError
from .joining import Joining
from .packets import PacketLine, SerialLine
from .port import open_line, read_url
from .ways import GattWay, SerialWay, Way

PROVISION_SECONDS = 40.0

REPEAT_SECONDS = 1.0

_ANSWER_SECONDS = 10.0
_SCAN_SECONDS = 12.0  # of a radio that looks around
_ASK_AGAIN_SECONDS = 0.3
_MOST_SPOILT = 10  # commands in succession
_MOST_ASKED = 3  # for the URLs of a device that is on a network; it may have none to tell
_MOST_RESULTS = 1000  # of one scan
_OFFLINE = ([State.AUTHORIZATION_REQUIRED], [State.AUTHORIZED])

Results = list[list[str]]


class SeenNetwork(msgspec.Struct, frozen=True):
    """A network that the device sees.

    Args:
        ssid: its name.
        rssi: signal strength in dBm.
        has_key: whether it wants a key.
    """

    ssid: str
    rssi: int
    has_key: bool


class ImprovClient:
    """Provisions the device at the other end of a link. One call at a time.

    Every method raises `ImprovError` where the device says what went wrong, `CallTimeout` where it
    says nothing, `MalformedResponse` where that makes no sense, and `ChannelClosed` once the link
    is gone.

    Args:
        line: a stream, or a `TuyaLink`, `TuyaMcu` or `TuyaModule`, whose line is shared with what
            else they carry; or another way. It is left open.
        trace: is shown the packets of a line, without keys.
        repeat_seconds: without an answer, after which the device is asked again: bytes get lost.
    """

    def __init__(
        self,
        line: SerialLine | Way,
        trace: Trace | None = None,
        *,
        repeat_seconds: float = REPEAT_SECONDS,
    ) -> None:
        self._way = line if isinstance(line, Way) else SerialWay(PacketLine(line, trace))
        self._repeat_seconds = repeat_seconds
        self._states: list[int] = []

    async def find(self, timeout: float = _ANSWER_SECONDS) -> tuple[State, list[str]]:
        """Ask until a device answers: it may be starting.

        Args:
            timeout: seconds.

        Returns:
            Its state, and where it is on a network its URLs.
        """
        self._states.clear()

        def is_done(results: Results) -> bool:
            if self._states[-1:] != [State.PROVISIONED]:
                return bool(self._states)
            return bool(results) or len(self._states) > _MOST_ASKED

        with _within(timeout, "no Improv device answers"):
            results = await self._ask(Call(Command.REQUEST_STATE), is_done)
        try:
            state = State(self._states[-1])
        except ValueError:
            raise MalformedResponse(f"Improv has no state {self._states[-1]}") from None
        return state, results[0] if results and state is State.PROVISIONED else []

    async def authorized(self, timeout: float = 60.0) -> None:
        """Wait until somebody has pressed the device's button, where it wants that.

        Args:
            timeout: seconds.
        """
        with _within(timeout, "nobody has pressed the device's button"):
            # It is asked again and again, since a device may be slow to tell, or never.
            while (await self.find(timeout))[0] is State.AUTHORIZATION_REQUIRED:  # noqa: ASYNC110
                await anyio.sleep(_ASK_AGAIN_SECONDS)

    async def info(self, timeout: float = _ANSWER_SECONDS) -> DeviceInfo:
        """What the device says of itself.

        Args:
            timeout: seconds.
        """
        with _within(timeout, "the device does not say what it is"):
            (strings,) = await self._ask(Call(Command.DEVICE_INFO), bool)
        if len(strings) < 4:
            raise MalformedResponse(f"{len(strings)} strings about a device, which are at least 4")
        return DeviceInfo(*strings[:4])

    async def scan(self, timeout: float = 30.0) -> list[SeenNetwork]:
        """The networks that the device sees, in its order.

        Args:
            timeout: seconds.
        """
        with _within(timeout, "the device does not say which networks it sees"):
            *results, _ = await self._ask(
                Call(Command.SCAN), lambda found: found[-1:] == [[]], _SCAN_SECONDS
            )
        return [_seen(each) for each in results]

    async def provision(
        self, ssid: str, key: str = "", timeout: float = PROVISION_SECONDS
    ) -> list[str]:
        """Have the device join a network.

        Args:
            ssid: its name, 1 to 32 bytes in UTF-8.
            key: 8 to 63 bytes in UTF-8, or 64 hexadecimal digits; empty for an open network.
            timeout: seconds.

        Returns:
            Where the device is reached then, as it says; that may be nowhere.

        Raises:
            UsageError: no network has such a name or key.
        """
        settings = WifiSettings(ssid, key)
        _check(settings)
        with _within(timeout, "the device does not say whether it is on the network"):
            joining = Joining(
                self._way,
                settings,
                was_online=self._states[-1:] not in _OFFLINE,
                repeat_seconds=self._repeat_seconds,
            )
            self._states.clear()
            return await joining.run()

    async def _ask(
        self, call: Call, is_done: Callable[[Results], bool], first_seconds: float = 0.0
    ) -> Results:
        """Send a command until all its results have come.

        Args:
            call: the command.
            is_done: says whether they have.
            first_seconds: that a device which has heard it may need for the first one.
        """
        self._way.forget()
        spoilt = 0
        while True:
            results: Results = []
            is_heard = False
            await self._way.send(call)
            while not is_done(results):
                is_at_work = is_heard and not results
                answer = None
                with anyio.move_on_after(
                    max(self._repeat_seconds, first_seconds if is_at_work else 0)
                ):
                    answer = await self._way.receive()
                if answer is None or self._is_bad_news(answer, may_repeat=spoilt < _MOST_SPOILT):
                    spoilt = 0 if answer is None else spoilt + 1
                    break
                is_heard = True
                if answer.type == PacketType.RESULT and answer.call.command == call.command:
                    results.append(decode_strings(answer.call.data))
                    if len(results) > _MOST_RESULTS:
                        raise MalformedResponse(f"more than {_MOST_RESULTS} results of a command")
            else:
                return results

    def _is_bad_news(self, packet: Packet, *, may_repeat: bool) -> bool:
        """Note a state or error; says whether the command came to the device in pieces."""
        if packet.type == PacketType.STATE:
            self._states.append(packet.value)
        if packet.type != PacketType.ERROR or packet.value == ErrorState.NONE:
            return False
        if packet.value == ErrorState.INVALID_PACKET and may_repeat:
            return True
        raise ImprovError(packet.value)


@asynccontextmanager
async def open_client(url: str, trace: Trace | None = None) -> AsyncIterator[ImprovClient]:
    """Open a link to an Improv device.

    Args:
        url: `uart:///dev/ttyUSB0`, with `baudrate` and the like, or `uart://socket/HOST:PORT`;
            `gatt://NAME` or `gatt+bumble://TRANSPORT?name=NAME`.
        trace: is shown the packets, without keys.

    Raises:
        ConnectFailed: there is no such port or device.
        InvalidUrl: the URL names none.
        MissingExtra: the extra `uart`, `gatt` or `bumble` is not installed.
    """
    parsed = Url.parse(url)
    if is_bluetooth(parsed):
        async with open_attributes(parsed, ble.SERVICE) as attributes:
            way = GattWay(attributes, trace)
            await way.listen()
            yield ImprovClient(way)
        return
    parsed, options = read_url(url)
    async with open_line(parsed, options) as line:
        yield ImprovClient(line, trace)


def is_bluetooth(url: Url) -> bool:
    """Whether a device is to be found over Bluetooth LE, and else at a serial port."""
    return url.scheme in ("gatt", "gatt+bumble")


@contextmanager
def _within(seconds: float, problem: str) -> Iterator[None]:
    """Give the block so much time, and say what is wrong with the answers in it."""
    try:
        with anyio.fail_after(seconds):
            yield
    except MalformedFrame as error:
        raise MalformedResponse(str(error)) from None
    except TimeoutError:
        raise CallTimeout(f"{problem}, in {seconds:g} s") from None


def _check(settings: WifiSettings) -> None:
    try:
        size, key_size = len(settings.ssid.encode()), len(settings.key.encode())
    except UnicodeEncodeError:
        raise UsageError("a network's name and key are texts in UTF-8") from None
    if not 1 <= size <= 32:
        raise UsageError(f"a network's name has 1 to 32 bytes, and this has {size}")
    key = settings.key
    is_digits = len(key) == 64 and all(each in "0123456789abcdefABCDEF" for each in key)
    if key and not 8 <= key_size <= 63 and not is_digits:
        raise UsageError("a key has 8 to 63 bytes, or 64 hexadecimal digits")


def _seen(strings: Sequence[str]) -> SeenNetwork:
    try:
        ssid, rssi, protection = strings[:3]
        return SeenNetwork(ssid, int(rssi), protection != "NO")
    except ValueError:
        raise MalformedResponse("a network that has no name, strength and protection") from None
