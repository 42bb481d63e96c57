"""One try to get a device onto a network, by a way that may lose what either end says.

Settings are sent once, as some devices begin anew with each. Where nothing comes for a while the
device is asked for its state, which says how to go on: it has not heard the settings, it is
joining, it is on the network and its result was lost, or it has failed and its error was lost.
"""

import anyio

from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Command,
    ErrorState,
    State,
    WifiSettings,
    decode_strings,
)
from jsonrpc_iot.protocol.improv.serial import Packet, PacketType

from .errors import ImprovError
from .ways import Way

_PATIENCE_WHILE_JOINING = 3  # times that for an answer
_MOST_ASKED = 3  # for the URLs of a device that is on the network; it may have none to tell
_MOST_SPOILT = 10


class Joining:
    """The try.

    Args:
        way: leads to the device.
        settings: of the network.
        was_online: whether the device may have been on a network before.
        repeat_seconds: without an answer, after which the device is asked.
    """

    def __init__(
        self, way: Way, settings: WifiSettings, *, was_online: bool, repeat_seconds: float
    ) -> None:
        self._way = way
        self._settings = Call(Command.WIFI_SETTINGS, settings.encode())
        self._was_online = was_online
        self._repeat_seconds = repeat_seconds
        self._is_heard = self._is_online = self._has_failed = False
        self._is_asked = False
        self._asked = self._spoilt = 0
        self._urls: list[str] | None = None

    async def run(self) -> list[str]:
        """Make the try; no time limits it.

        Returns:
            Where the device says that it is reached; that may be nowhere.

        Raises:
            ImprovError: it failed.
            MalformedFrame: what the device says makes no sense.
            ChannelClosed: the way is gone.
        """
        self._way.forget()
        await self._way.send(self._settings)
        while self._urls is None:
            is_joining = self._is_heard and not (self._is_online or self._has_failed)
            times = _PATIENCE_WHILE_JOINING if is_joining else 1
            packet = None
            with anyio.move_on_after(times * self._repeat_seconds):
                packet = await self._way.receive()
            if packet is None:
                await self._ask()
            else:
                await self._take(packet)
        return self._urls

    async def _ask(self) -> None:
        self._asked += 1
        if self._is_online and self._asked > _MOST_ASKED:
            self._urls = []
            return
        self._is_asked = True
        await self._way.send(Call(Command.REQUEST_STATE))

    async def _take(self, packet: Packet) -> None:
        match packet.type:
            case PacketType.STATE:
                await self._take_state(packet.value)
            case PacketType.ERROR:
                await self._take_error(packet.value)
            case PacketType.RESULT:
                self._take_result(packet.call)

    def _take_result(self, call: Call) -> None:
        urls = [url for url in decode_strings(call.data) if url]
        is_late = call.command == Command.REQUEST_STATE and self._is_online and urls
        if call.command == Command.WIFI_SETTINGS or is_late:
            self._urls = urls

    async def _take_state(self, state: int) -> None:
        is_answer, self._is_asked = self._is_asked, False
        if state == State.PROVISIONING:
            self._is_heard = True
        elif state == State.PROVISIONED and (self._is_heard or not self._was_online):
            self._is_online = True
        elif self._is_heard:
            if self._has_failed and is_answer:
                raise ImprovError(ErrorState.UNABLE_TO_CONNECT)
            self._has_failed = True  # which error, is about to be told
        elif is_answer:
            await self._way.send(self._settings)

    async def _take_error(self, error: int) -> None:
        if error == ErrorState.NONE:
            return
        self._spoilt += 1
        if error != ErrorState.INVALID_PACKET or self._spoilt > _MOST_SPOILT:
            raise ImprovError(error)
        if not self._is_heard:
            await self._way.send(self._settings)
