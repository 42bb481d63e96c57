"""The end that tells a device of a network: any Improv device, on any link."""

import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import anyio
import msgspec
from anyio.abc import ByteStream

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
from .port import read_url
from .ways import GattWay, SerialWay, Way

PROVISION_SECONDS = 40.0

_ANSWER_SECONDS = 10.0
_REPEAT_SECONDS = 1.0  # a device that has not said anything by then has not heard
_TRIES = 3
_ASK_AGAIN_SECONDS = 0.3
_MOST_RESULTS = 1000  # of one scan

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
        line: a serial line, or another way; it is left open.
        trace: is shown the packets of a line, without keys.
    """

    def __init__(self, line: ByteStream | Way, trace: Trace | None = None) -> None:
        self._way = line if isinstance(line, Way) else SerialWay(line, trace)
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
            is_elsewhere = self._states[-1:] != [State.PROVISIONED]
            return bool(self._states) and (is_elsewhere or bool(results))

        with _within(timeout, "no Improv device answers"):
            results = await self._ask(Call(Command.REQUEST_STATE), is_done, math.inf)
        try:
            state = State(self._states[-1])
        except ValueError:
            raise MalformedResponse(f"Improv has no state {self._states[-1]}") from None
        return state, results[0] if state is State.PROVISIONED else []

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
            *results, _ = await self._ask(Call(Command.SCAN), lambda found: found[-1:] == [[]])
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
            (urls,) = await self._ask(Call(Command.WIFI_SETTINGS, settings.encode()), bool)
        return [url for url in urls if url]

    async def _ask(
        self, call: Call, is_done: Callable[[Results], bool], tries: float = _TRIES
    ) -> Results:
        """Send a command until the device hears it, and gather its results."""
        results: Results = []
        self._way.forget()
        while True:
            tries -= 1
            is_heard = False
            await self._way.send(call)
            while not is_done(results):
                patience = math.inf if is_heard or tries < 1 else _REPEAT_SECONDS
                answer = None
                with anyio.move_on_after(patience):
                    answer = await self._way.receive()
                if answer is None or self._is_bad_news(answer, may_repeat=tries >= 1):
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
    if parsed.scheme in ("gatt", "gatt+bumble"):
        async with open_attributes(parsed, ble.SERVICE) as attributes:
            way = GattWay(attributes, trace)
            await way.listen()
            yield ImprovClient(way)
        return
    parsed, options = read_url(url)
    async with await options.open(parsed) as stream:
        yield ImprovClient(stream, trace)


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
